"""Log files of apps that write to files and not to the journal: where they are, their last lines, what comes."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pysup import disk, journal
from pysup.app import App
from pysup.errors import Conflict, NotPermitted
from pysup.host import trust, users
from pysup.journal import Kind, Line, More, Query, Tail
from pysup.names import InstanceName
from pysup.store import Stored

_BLOCK = 64 * 1024
_CAUGHT_UP = (
    1000  # lines that a newcomer may have written before it was noticed; what it found there cannot be told apart
)
_GRACE_USEC = 1_000_000  # so late may journald be with what was written before the query's end


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file that an app's instance writes to; ``number`` is None when all instances share it."""

    app: str
    number: int | None
    kind: Kind
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """A line of a log file."""

    file: LogFile
    message: bytes


def find(app: App, numbers: Iterable[int]) -> list[LogFile]:
    """The files of these instances, each once."""
    found: dict[str, LogFile] = {}
    for number in numbers:
        for kind, place in ((Kind.OUT, app.log.output), (Kind.ERR, app.log.error)):
            if place.startswith("/"):
                own = number if "{instance}" in place else None
                path = place.replace("{instance}", str(number))
                found.setdefault(path, LogFile(app=app.name, number=own, kind=kind, path=path))
    return list(found.values())


def of(query: Query, stored: Mapping[str, Stored]) -> list[LogFile]:
    """The files that the instances of a query write to, of the kinds that it wants."""
    found: list[LogFile] = []
    for name in dict.fromkeys(source.instance.app for source in query.sources):
        app = stored[name].app if name in stored else None
        if app:
            numbers = [source.instance.number for source in query.sources if source.instance.app == name]
            found += [file for file in find(app, numbers) if file.kind in query.kinds]
    return found


def empty(file: LogFile) -> int | None:
    """Make a file empty, and say how many bytes it held; None if it is not there. Who writes to it begins it anew.

    Only a plain file by its own name is touched: a link that somebody put in its place would lead elsewhere, and this
    may run as root.
    """
    path = Path(file.path)
    try:
        descriptor = trust.open_unlinked(path, os.O_WRONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except NotADirectoryError as exc:
        raise Conflict(
            f"{path} is not emptied: its directory is a link", hint=f"Name it by where that leads: ls -ld {path.parent}"
        ) from exc
    except PermissionError as exc:
        raise NotPermitted(f"{path} may not be emptied", hint="Type sudo before the command.") from exc
    except OSError as exc:
        raise Conflict(f"{path} is not emptied: {exc.strerror}", hint="Look what it is: ls -l.") from exc
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise Conflict(f"{path} is not emptied: it is no plain file", hint="Look what it is: ls -l.")
        os.ftruncate(descriptor, 0)
        return found.st_size
    finally:
        os.close(descriptor)


def mark_flushed(directory: Path, name: InstanceName) -> None:
    """Remember that what an instance has written to the journal until now is not to be shown; until the next boot."""
    disk.make(directory)
    mark = directory / f"{name}.flushed"
    mark.touch(mode=0o644)
    os.utime(mark)


def flushed(directory: Path, name: InstanceName) -> int | None:
    """Since when its lines in the journal are to be shown, in microseconds since the epoch; None for ever."""
    try:
        return os.stat(f"{directory}/{name}.flushed").st_mtime_ns // 1000  # noqa: PTH116 (cheaper than a Path)
    except OSError:
        return None


def last(file: LogFile, lines: int | None) -> list[FileLine]:
    """The last *lines* of a file, or all; none if it is not there (yet) or may not be read."""
    try:
        descriptor = _opened(file.path)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return []
            data = stream.read() if lines is None else _end(stream, lines)
    except OSError:
        return []
    whole = data.split(b"\n")
    whole = whole[:-1] if whole[-1] == b"" else whole
    wanted = whole if lines is None else whole[len(whole) - min(lines, len(whole)) :]
    return [FileLine(file=file, message=line) for line in wanted]


def _opened(path: str) -> int:
    """A file's descriptor; a FIFO is not waited for, and root follows no links of somebody else's."""
    flags = os.O_RDONLY | os.O_NONBLOCK
    return os.open(path, flags | os.O_CLOEXEC) if _stranger(path) is None else trust.open_unlinked(path, flags)


def _stranger(path: str) -> int | None:
    """Whose directory it is in, if root asks, and it is not root's."""
    return trust.stranger(Path(path).parent) if os.geteuid() == 0 else None


def _end(stream: BinaryIO, lines: int) -> bytes:
    """The end of a file, with at least so many lines in it if there are."""
    position = stream.seek(0, os.SEEK_END)
    data = b""
    while position and data.count(b"\n") <= lines:
        size = min(_BLOCK, position)
        position = stream.seek(position - size)
        data = stream.read(size) + data
    return data


class FileTail:
    """The last lines of a file, and what is added to it from then on, by ``tail -F``.

    That waits by inotify, goes on with a file that replaces this one, and waits for one that is not there yet.
    """

    def __init__(self, file: LogFile, lines: int | None) -> None:
        self.file = file
        self._rest = b""
        whose = _stranger(file.path)  # who could have it follow a link to what only root may read
        group = None if whose is None else users.group_of(whose)
        self._process = subprocess.Popen(
            [
                *("tail", "-F", "-q", "-n", "+1" if lines is None else str(lines)),
                *(f"--pid={os.getpid()}", "--", file.path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us
            user=whose,
            group=group,
            extra_groups=None if whose is None else [],
            # They may look into a process of theirs: neither root's environment nor its directory is to be found there.
            env=None if whose is None else {},
            cwd="/",
        )
        os.set_blocking(self.fileno(), False)

    def fileno(self) -> int:
        """Readable when something may have come."""
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 (Popen was asked for it)
        return stdout.fileno()

    def available(self) -> list[FileLine] | None:
        """The whole lines that have come since the last call; None when no more will."""
        data, ended = self._rest, False
        while not ended:
            try:
                piece = os.read(self.fileno(), _BLOCK)
            except BlockingIOError:
                break
            data += piece
            ended = not piece
        *whole, self._rest = data.split(b"\n")
        if ended and not whole:
            return None
        return [FileLine(file=self.file, message=line) for line in whole]

    def close(self) -> None:
        """Stop following."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def follow(
    query: Query,
    files_of: Callable[[Query], Sequence[LogFile]],
    *,
    lines: int | None,
    more: More,
    wake_fd: int | None = None,
    interval: float = 0.0,
) -> Iterator[list[Line | FileLine]]:
    """What the journal and the files have, and then all that comes, until *wake_fd* is ready or the query's end.

    Who can wait for *interval* seconds spares the looks that are taken before journald calls: 50 a second, 1 % of one.
    """
    with ExitStack() as closing:
        others: list[FileTail] = []
        known: set[str] = set()

        def add(question: Query, count: int | None) -> None:
            for file in files_of(question):
                if file.path not in known:
                    known.add(file.path)
                    others.append(closing.enter_context(FileTail(file, count)))

        def joined() -> Query | None:
            if question := more():
                add(question, None if lines is None else max(lines, _CAUGHT_UP))
            return question

        tail = closing.enter_context(Tail(query, joined))
        add(query, lines)
        while True:
            found: list[Line | FileLine] = [*tail.lines()]
            for other in others.copy():
                come = other.available()
                others.remove(other) if come is None else found.extend(come)
            if found:
                yield found
            elif query.until_usec is not None and time.time() * 1e6 > query.until_usec + _GRACE_USEC:
                return
            pause = 0.0 if found else max(tail.interval, interval)
            if journal.wait([tail.fileno(), *(other.fileno() for other in others)], wake_fd, pause):
                return
