"""The journal by the program ``journalctl``: works without the extension, some five times slower.

It follows as fast as journald calls, which is up to 250 ms after a line was written.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO

from pysup.errors import EnvironmentProblem
from pysup.journal.matches import Group
from pysup.journal.record import FIELDS, Position, Record, identity

_BASE = 16
_CHUNK = 1 << 20


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
    """Follows with ``journalctl --follow``, and starts it again where it was if it ends.

    ``--no-tail`` with a cursor: without, journalctl loses the first lines of a unit that has no entry yet; and
    ``--cursor`` rather than ``--after-cursor``, which drops an entry when the one of the cursor does not match.
    """

    interval: float | None = None

    def __init__(self, groups: Sequence[Group], at: Position, seen: Counter[str]) -> None:
        self._groups = groups
        self._at = at
        self._seen = seen
        self._rest = b""
        self._has_read = False
        self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # the same number for every journalctl
        self._start()

    def fileno(self) -> int:
        """Readable when there is something."""
        return self._fd

    def available(self) -> list[Record]:
        """What has arrived, in the journal's order; empty when that was all."""
        found: list[Record] = []
        while not found:
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                break
            if not data:
                self._restart()
                continue
            self._has_read = True
            *lines, self._rest = (self._rest + data).split(b"\n")
            found = [record for record in map(_record, lines) if self._is_new(record)]
        return found

    def close(self) -> None:
        """End journalctl."""
        self._stop()
        os.close(self._fd)

    def _stop(self) -> None:
        _end(self._process)
        self._errors.close()

    def _is_new(self, record: Record) -> bool:
        self._at = record.cursor
        key = identity(record.cursor)
        if not self._seen[key]:
            return True
        self._seen[key] -= 1
        return False

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        arguments = ["--follow", "--no-tail", *_position(self._at, "--since"), *_matches(self._groups)]
        self._process = _spawn(arguments, self._errors)
        with _output(self._process) as pipe:
            os.dup2(pipe.fileno(), self._fd, inheritable=False)
        os.set_blocking(self._fd, False)

    def _restart(self) -> None:
        if not self._has_read:
            raise _failure(self._errors)
        self._stop()
        self._rest = b""
        self._has_read = False
        if isinstance(self._at, str):
            self._seen[identity(self._at)] += 1  # the position itself comes once more
        self._start()


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
    fixed = ["journalctl", "--quiet", "--no-pager", "--all", "--output=json", f"--output-fields={','.join(FIELDS)}"]
    try:
        return subprocess.Popen(
            [*fixed, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, bufsize=_CHUNK
        )
    except FileNotFoundError as exc:
        raise EnvironmentProblem("journalctl is not on PATH", hint="Install the package systemd.") from exc


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("started without a pipe")
    return process.stdout


def _run(arguments: Sequence[str]) -> Iterator[Record]:
    with tempfile.TemporaryFile() as errors:
        process = _spawn(arguments, errors)
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
