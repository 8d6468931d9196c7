"""Whether the caller may read the journal; without asking, an ordinary user would see silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pysup.errors import NotPermitted
from pysup.unit import Scope

VOLATILE = Path("/run/log/journal")
PERSISTENT = Path("/var/log/journal")

_FIRST_USER = 1000  # journald keeps a file of their own for users from this number on, once it is persistent


def check(scope: Scope, *, volatile: Path = VOLATILE, persistent: Path = PERSISTENT) -> None:
    """Raise NotPermitted if what the scope's apps write is hidden from the caller.

    A user's own lines are in a file of their own once the journal is persistent; until then, and for the machine's
    units always, they are in files that only root and a few groups may read.
    """
    kept = list(_files(persistent))
    files = [*_files(volatile), *kept]
    hidden = [path for path in files if not os.access(path, os.R_OK)]
    if scope is Scope.SYSTEM:
        is_permitted = all(path.name.startswith("user-") for path in hidden)
    else:
        is_permitted = len(hidden) < len(files) or not files or (bool(kept) and os.getuid() >= _FIRST_USER)
    if not is_permitted:
        raise NotPermitted(
            f"this user may not read the journal ({hidden[0]})",
            hint="Join the group that may, and log in again: sudo usermod --append --groups systemd-journal $USER",
        )


def _files(root: Path) -> Iterator[Path]:
    """The journal's files under *root*, or the folder itself if it cannot be listed."""
    try:
        folder = root / Path("/etc/machine-id").read_text().strip()
        yield from (path for path in folder.iterdir() if path.suffix == ".journal")
    except PermissionError:
        yield folder
    except OSError:
        return
