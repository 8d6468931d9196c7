"""An app's files in a directory change as one, or not at all.

A change is first written whole to a hidden directory beside the files, and counts from the moment that this is renamed
to its committed name. Whoever opens the app next, after a crash in between, finishes what was committed and throws away
what was not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pysup import disk, names

if TYPE_CHECKING:
    from pysup.render import File

_MANIFEST = "MANIFEST"


def current(directory: Path, name: str, file: str) -> str | None:
    """A file of the app as the last committed change has it, though it may not be in its place yet."""
    committed = _hidden(directory, name)[1]
    manifest = disk.read(committed / _MANIFEST)
    if manifest is None:
        return disk.read(directory / file)
    if file not in manifest.splitlines():
        return None
    staged = disk.read(committed / file)
    return disk.read(directory / file) if staged is None else staged


def owned(directory: Path, name: str, boot_target: str = "") -> list[str]:
    """The paths below *directory* that belong to the app."""
    app = re.escape(name)
    escaped = re.escape(names.escape(name))
    beside = "|".join(map(re.escape, (*names.COMPANIONS, *names.COMPANION_FILES)))
    own = (
        r"@\.service|@[A-Za-z0-9:_.-]+\.socket|:probe@\.socket|\.target|\.(?:env|cjs|py|conf|launch)"
        rf"|-(?:{beside})"
    )
    file = re.compile(rf"{names.PREFIX}(?:{app}(?:{own})|(?:(?:[^-]+-)?{escaped})\.slice)")
    drop_in = re.compile(rf"{names.PREFIX}{app}@\d+\.service\.d")
    found = []
    for entry in disk.entries(directory):
        if file.fullmatch(entry):
            found.append(entry)
        elif drop_in.fullmatch(entry) and (directory / entry / "instance.conf").exists():
            found.append(f"{entry}/instance.conf")
        elif entry.endswith(".service.d") and (directory / entry / f"{names.PREFIX}{name}.conf").exists():
            found.append(f"{entry}/{names.PREFIX}{name}.conf")
    link = f"{boot_target}.wants/{names.target_unit(name)}"
    if boot_target and (directory / link).is_symlink():
        found.append(link)
    return sorted(found)


def change(directory: Path, name: str, files: Mapping[str, File], links: Mapping[str, str], boot_target: str) -> None:
    """Have these be the only files and links of the app in *directory*. Its lock must be held."""
    if not files and not owned(directory, name, boot_target):
        return
    staging, committed = _hidden(directory, name)
    with disk.writing(directory):
        disk.make(directory)
        try:
            _stage(staging, files, links)
            staging.rename(committed)
        except BaseException:
            disk.discard(staging, last=_MANIFEST)
            raise
        disk.sync(directory)
        _finish(directory, name, committed, boot_target)


def settle(directory: Path, name: str, boot_target: str) -> None:
    """Finish the change that a dead writer committed, and throw away what it did not commit. The lock must be held."""
    staging, committed = _hidden(directory, name)
    with disk.writing(directory):
        disk.discard(staging, last=_MANIFEST)
        if committed.is_dir():
            _finish(directory, name, committed, boot_target)


def _finish(directory: Path, name: str, committed: Path, boot_target: str) -> None:
    """Put a committed change in place; safe to be done twice, and after a crash in the middle."""
    text = disk.read(committed / _MANIFEST)
    if text is None:  # it goes last: all is in place
        committed.rmdir()
        return
    manifest = text.splitlines()
    for path in owned(directory, name, boot_target):
        if path not in manifest:
            disk.unlink(directory / path)
    for path in manifest:
        source = committed / path.replace("/", "!")
        if source.is_symlink() or source.exists():
            (directory / path).parent.mkdir(mode=0o755, exist_ok=True)
            source.replace(directory / path)
    disk.sync(directory)
    disk.discard(committed, last=_MANIFEST)


def _hidden(directory: Path, name: str) -> tuple[Path, Path]:
    """Where a change is written, and what that is called once it counts."""
    return directory / f".{names.PREFIX}{name}.new", directory / f".{names.PREFIX}{name}.commit"


def _stage(staging: Path, files: Mapping[str, File], links: Mapping[str, str]) -> None:
    """Write everything to a directory of its own, and to the disk."""
    disk.discard(staging, last=_MANIFEST)
    staging.mkdir(mode=0o755)  # the environment in it is a file for its owner only
    manifest = "".join(f"{path}\n" for path in [*files, *links])
    for path, file in files.items():
        disk.write(staging / path.replace("/", "!"), file)
    disk.write_bytes(staging / _MANIFEST, manifest.encode(), 0o644)
    for path, goal in links.items():
        (staging / path.replace("/", "!")).symlink_to(goal)
    disk.sync(staging)
