"""Files and directories as the store needs them: on the disk before they count, and errors in the user's words."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pysup.errors import Conflict, NotPermitted, PysupError, StoreError

if TYPE_CHECKING:
    from pysup.render import File


def write(path: Path, file: File) -> None:
    """Write a new file, and to the disk; nobody else can read it before its mode is set."""
    write_bytes(path, file.text.encode(), file.mode)


def write_bytes(path: Path, content: bytes, mode: int) -> None:
    """The same of bytes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())


def replace(directory: Path, path: str, file: File) -> None:
    """Put one file in the place of another."""
    replace_bytes(directory, path, file.text.encode(), file.mode)


def replace_bytes(directory: Path, path: str, content: bytes, mode: int) -> None:
    """The same of bytes."""
    staged = directory / f".{path}.new"
    staged.unlink(missing_ok=True)
    write_bytes(staged, content, mode)
    staged.rename(directory / path)


def create(path: Path, text: str, *, replace: bool) -> None:
    """Write a file of the caller's for all to read, and never through a link that somebody has put there."""
    try:
        if replace:
            replace_bytes(path.parent, path.name, text.encode(), 0o644)
        else:
            write_bytes(path, text.encode(), 0o644)
    except FileExistsError as exc:
        raise Conflict(f"{path} is there already", hint="Look what it is (ls -l), or take another name.") from exc


def make(directory: Path, *, mode: int = 0o755) -> None:
    """Have a directory, and those above it: nobody else may write to any of them, however open the umask is."""
    if not directory.is_dir():
        make(directory.parent)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=mode)


def discard(directory: Path, *, last: str) -> None:
    """Remove a directory with the files in it, of which one goes after all others."""
    for entry in sorted(entries(directory), key=lambda entry: entry == last):
        (directory / entry).unlink()
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def unlink(path: Path) -> None:
    """Remove a file, and the directory of drop-ins or links that it was the last in."""
    path.unlink(missing_ok=True)
    if path.parent.name.endswith((".d", ".wants")):
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # only when nothing of anybody's is left in it


def changed(directory: Path) -> int:
    """When an entry of a directory came, went or was replaced last, in nanoseconds; 0 if there is none."""
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def sync(directory: Path) -> None:
    """Have a directory's entries on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entries(directory: Path) -> list[str]:
    """The names in a directory; none if it cannot be read."""
    try:
        return os.listdir(directory)  # noqa: PTH208 (names are wanted; Path objects cost ten times as much)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def read(path: Path) -> str | None:
    """A file's text, or None if it is not there."""
    try:
        return path.read_bytes().decode(errors="replace")  # as it is: text mode would change line ends
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as exc:
        raise NotPermitted(f"{path} may not be read", hint="Run as its owner, or with sudo.") from exc


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Translate what the file system says into what the user can do."""
    try:
        yield
    except PysupError:
        raise
    except PermissionError as exc:
        raise NotPermitted(
            f"{exc.filename or directory} may not be written", hint="Run it with sudo, or without --system as yourself."
        ) from exc
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            f"unit files in {directory} could not be written: {exc.strerror or exc}",
            hint=f"Make room on its file system (df -h {directory}); nothing was changed."
            if full
            else "Nothing was changed.",
        ) from exc
