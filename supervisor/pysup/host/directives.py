"""The directives that this systemd knows, by its own list: ``systemd --dump-configuration-items``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from functools import cache

_PROGRAM = "/usr/lib/systemd/systemd"


def unknown(section: str, keys: Iterable[str]) -> list[str]:
    """Those that mean nothing to it in that section; none where it does not tell."""
    known = _listed().get(section, ())
    return [key for key in keys if key not in known] if known else []


@cache
def _listed() -> dict[str, set[str]]:
    try:
        said = subprocess.run(
            [_PROGRAM, "--dump-configuration-items"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, set[str]] = {}
    section: set[str] = set()
    for line in said.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), set())
        elif "=" in line:
            section.add(line.partition("=")[0])
    return found
