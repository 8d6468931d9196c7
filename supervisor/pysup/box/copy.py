"""The throw-away copy of the machine's root: overlays whose changes live in memory, in the holder's mount namespace."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from pysup.box import kernel, mounts


def make(work: Path) -> Path:
    """Mount a copy of everything that holds data below *work* and say where its root is.

    The caller is in a mount namespace of its own. All of it vanishes with that namespace, or by detaching *work*.
    """
    places = mounts.data_mounts(mounts.current())
    kernel.mount("tmpfs", work, "tmpfs", kernel.MS_NODEV | kernel.MS_NOSUID, "mode=700")
    root = work / "root"
    root.mkdir()
    _overlay("/", root, work / "changes-0")
    for number, place in enumerate(places, start=1):
        _copy(place, root / place.lstrip("/"), work / f"changes-{number}")
    return root


def _copy(place: str, target: Path, changes: Path) -> None:
    """Copy a mount; where copy-on-write is not possible (a single file, some file systems), show it read-only."""
    if target.is_dir():
        try:
            return _overlay(place, target, changes)
        except OSError as exc:
            _log(f"{place}: read-only in the box, because it takes no overlay ({exc})")
    if target.exists():  # else another mount hides it
        try:
            kernel.bind(place, target, read_only=True)
        except OSError as exc:
            _log(f"{place}: left out of the box ({exc})")
    return None


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _overlay(lower: str, target: Path, changes: Path) -> None:
    upper, work = changes / "upper", changes / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    options = f"lowerdir={_escape(lower)},upperdir={_escape(str(upper))},workdir={_escape(str(work))}"
    kernel.mount("overlay", target, "overlay", data=options)
    # The overlay's top folder is the upper one's: give it the owner and mode of what it stands for.
    like = Path(lower).stat()
    target.chmod(like.st_mode & 0o7777)
    os.chown(target, like.st_uid, like.st_gid)


def _escape(path: str) -> str:
    return re.sub(r"([\\,:])", r"\\\1", path)
