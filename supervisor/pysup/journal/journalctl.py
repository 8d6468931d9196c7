"""The journal by the program ``journalctl``: works without the extension, several times slower.

It follows when journald calls, which is up to 250 ms after a line was written, and then has to read.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from pysup.errors import EnvironmentProblem
from pysup.journal.matches import Group
from pysup.journal.record import FIELDS, Position, Record
from pysup.journal.seen import Seen

_BASE = 16
_CHUNK = 1 << 20
_PAUSE = 0.25  # seconds between two runs of journalctl while following
_AS_RECORDS = ("--all", "--output=json", f"--output-fields={','.join(FIELDS)}")


class JournalctlReader:
    """A `Reader` on this machine's journal."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def forward(self, at: Position) -> Iterator[Record]:
        """What there is, from *at* on, oldest first."""
        yield from _run([*_position(at, "--since"), *_matches(self._groups)])

    def backward(self, at: Position) -> Iterator[Record]:
        """What there is, from *at* back, newest first."""
        yield from _run(["--reverse", *_position(at, "--until"), *_matches(self._groups)])

    def base(self) -> str | None:
        """See `Reader.base`."""
        return next((record.cursor for record in _run([f"--lines={_BASE}"])), None)

    def live(self, at: Position, seen: Counter[str]) -> JournalctlLive:
        """See `Reader.live`."""
        return JournalctlLive(self._groups, at, seen)


class JournalctlLive:
    """Follows by reading on whenever something has come, again and again from a settled entry: see `Seen`.

    ``journalctl --follow`` with our matches would lose lines: those of a unit that has no entry yet, and those that it
    passes over while journald writes to two files. So it runs without matches, and only to say when to read.
    """

    interval = 0.25

    def __init__(self, groups: Sequence[Group], at: Position, seen: Counter[str]) -> None:
        self._groups = groups
        self._seen = Seen(at, seen)
        self._bell = _Bell()
        self._reads = 2  # how often to read yet: at the last ring an entry may have been half written
        self._read_at = 0.0
        self.is_through = False
        self._pause = _PAUSE

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._bell.fileno()

    def available(self) -> list[Record]:
        """What has arrived, in the journal's order."""
        if self._bell.has_rung():
            self._reads = 2
        begin = time.monotonic()
        if self._reads and begin - self._read_at >= self._pause:
            new = [record for record in self._read() if self._seen.is_new(record.cursor)]
            self._read_at = time.monotonic()
            self._pause = max(_PAUSE, 2 * (self._read_at - begin))
            self._reads -= 1
            self.is_through = True
            return new
        return []

    def widen(self, groups: Sequence[Group], seen: Iterable[str]) -> None:
        """See `Live.widen`."""
        self._groups = groups
        self._seen.begin()
        self._seen.add(seen)
        self._reads = 2

    def close(self) -> None:
        """End journalctl."""
        self._bell.close()

    def _read(self) -> Iterator[Record]:
        return JournalctlReader(self._groups).forward(self._seen.begin())


class _Bell:
    """A journalctl that follows everything; it matters only that it says something."""

    def __init__(self) -> None:
        self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # one number for all the journalctls to come
        self._errors: IO[bytes]
        self._is_new: bool
        self._start()

    def fileno(self) -> int:
        return self._fd

    def has_rung(self) -> bool:
        """Whether it has said something; it says it no more."""
        has_rung = False
        while True:
            try:
                said = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                return has_rung
            if not said and self._is_new:
                raise _failure(self._errors)
            has_rung = True
            self._is_new = False
            if not said:  # it was killed: start another, and read in any case
                self._stop()
                self._start()

    def close(self) -> None:
        self._stop()
        os.close(self._fd)

    def _start(self) -> None:
        self._is_new = True
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = _spawn(["--follow", "--lines=1", "--output=cat", "--output-fields=_BOOT_ID"], self._errors)
        with _output(self._process) as pipe:
            os.dup2(pipe.fileno(), self._fd, inheritable=False)
        os.set_blocking(self._fd, False)

    def _stop(self) -> None:
        _end(self._process)
        self._errors.close()


def _matches(groups: Sequence[Group]) -> list[str]:
    arguments = ["--"]
    for group in groups:
        arguments += [*group, "+"]
    return arguments[:-1]


def _position(at: Position, clock_option: str) -> list[str]:
    if isinstance(at, str):
        return [f"--cursor={at}"]
    if isinstance(at, int):
        return [f"{clock_option}=@{at // 1_000_000}.{at % 1_000_000:06}"]
    return []


def _spawn(arguments: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["journalctl", "--quiet", "--no-pager", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=_CHUNK,
        )
    except FileNotFoundError as exc:
        raise EnvironmentProblem("journalctl is not on PATH", hint="Install the package systemd.") from exc


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("started without a pipe")
    return process.stdout


def _run(arguments: Sequence[str]) -> Iterator[Record]:
    with tempfile.TemporaryFile() as errors:
        process = _spawn([*_AS_RECORDS, *arguments], errors)
        try:
            with _output(process) as pipe:
                yield from map(_record, pipe)
            if process.wait() != 0:
                raise _failure(errors)
        finally:
            _end(process)


def _record(line: bytes) -> Record:
    fields = json.loads(line)
    return Record(fields["__CURSOR"], int(fields["__REALTIME_TIMESTAMP"]), fields)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _failure(errors: IO[bytes]) -> EnvironmentProblem:
    errors.seek(0)
    said = errors.read().decode(errors="backslashreplace").strip()
    return EnvironmentProblem(f"journalctl failed: {said or 'without a word'}")
