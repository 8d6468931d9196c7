"""Where tests, demo and benchmark run: a box in which this checkout's commands work, for root and an ordinary user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pysup.box import Box, Share

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYSUP = BIN / "pysup"
USER = "ada"
"""The ordinary user of every box that is booted here: without rights, lingering."""

_KEPT = ("CI", "HYPOTHESIS_PROFILE", "NO_COLOR", "PYSUP_ALLOW_ROOT")
_HIDDEN = ("/tmp", "/run", "/dev")  # noqa: S108 - a box has its own of these, so a checkout there is not in its copy


@contextmanager
def booted() -> Iterator[Box]:
    """A box in which root and USER can run this checkout's Python and pysup."""
    shares = [Share(host=ROOT, inside=ROOT)] if str(ROOT).startswith(_HIDDEN) else []
    with Box.up(shares=shares) as box:
        _open_way(box)
        box.create_user(USER)
        yield box


def environment(commands: Path = BIN, /, **more: str) -> dict[str, str]:
    """What a command in the box needs on top of its user's clean environment: our commands first, and a few words."""
    path = f"{commands}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | kept | more


def python(*words: str) -> list[str]:
    """A command line for this checkout's Python."""
    return [sys.executable, *words]


def _open_way(box: Box) -> None:
    # Let everybody in the box reach this checkout and its Python; on the machine nothing changes.
    places = (ROOT, BIN, Path(sys.executable).resolve())
    parents = {str(parent) for place in places for parent in place.parents}
    box.run(["chmod", "--silent", "a+x", *sorted(parents)], check=False)  # what is shared is open, or cannot be opened
