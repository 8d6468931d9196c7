"""The journal by libsystemd: the fast reader. Only this module touches systemd-python.

``systemd._reader`` and not ``systemd.journal``: the latter costs 16 ms to import and converts every field.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from systemd import _reader

from pysup.errors import EnvironmentProblem
from pysup.journal.lines import Joiner
from pysup.journal.matches import Group
from pysup.journal.record import Position, Record, identity

_BASE = 16  # entries before the last one at which following begins
_BATCH = 1000
_PAUSE = 1.0  # seconds between two passes: four times as long as journald may take to call


class NativeReader:
    """A `Reader` on this machine's journal."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def open(self) -> _reader._Reader:
        """A journal with our matches; its messages are never cut."""
        journal = _reader._Reader()
        journal.data_threshold = 0
        for group in self._groups:
            for match in group:
                journal.add_match(match)
            journal.add_disjunction()
        return journal

    def forward(self, at: Position) -> Iterator[Record]:
        """What there is, from *at* on, oldest first."""
        with self.open() as journal:
            seek(journal, at)
            while journal._next():
                record = read(journal)
                if record is not None:
                    yield record

    def backward(self, at: Position) -> Iterator[Record]:
        """What there is, from *at* back, newest first."""
        with self.open() as journal:
            seek(journal, at, back=True)
            while journal._previous():
                record = read(journal)
                if record is not None:
                    yield record

    def messages(self, since: int | None, until: int | None, unless: tuple[str, frozenset[bytes]]) -> Iterator[bytes]:
        """See `Quick`. Asks for just the fields that are needed: half the cost of `forward`."""
        field, values = unless
        with self.open() as journal:
            # What the journal has nowhere need not be asked of each entry; and a field that is not there costs most.
            has_pieces = b"line-max" in journal.query_unique("_LINE_BREAK")
            has_twins = not values.isdisjoint(journal.query_unique(field))
            joiner = Joiner()
            seek(journal, since)
            get = journal._get
            while journal._next():
                if until is not None and journal._get_realtime() > until:
                    break
                if has_twins and _value(get, field) in values:
                    continue
                if joiner.is_holding or (has_pieces and _value(get, "_LINE_BREAK") == b"line-max"):
                    record = read(journal)
                    line = joiner.add(record) if record else None
                    if line is not None:
                        yield line.data("MESSAGE")
                else:
                    yield _value(get, "MESSAGE")
            yield from (line.data("MESSAGE") for line in joiner.overdue(0))

    def base(self) -> str | None:
        """See `Reader.base`."""
        with _reader._Reader() as journal:
            journal.seek_tail()
            return str(journal._get_cursor()) if journal._previous(_BASE) else None

    def live(self, at: Position, seen: Counter[str]) -> NativeLive:
        """See `Reader.live`."""
        return NativeLive(self.open(), at, seen)


class NativeLive:
    """Follows by looking again and again, and makes sure of what it saw when journald calls.

    journald calls (inotify) up to 250 ms after it wrote, so ``interval`` asks for a look every 20 ms; a look that
    finds nothing costs microseconds. But a look may fall between the two steps in which journald makes an entry
    visible, or between two files while both are written: libsystemd then passes the entry over, for good or until
    the next one. So after a call, at most once a second, we go back to an entry that has been settled for a second and
    take what was not seen: `_Seen` tells which.
    """

    interval: float | None = 0.02

    def __init__(self, journal: _reader._Reader, at: Position, seen: Counter[str]) -> None:
        self._journal = journal
        try:
            self._fd = int(journal.fileno())
        except OSError as exc:
            raise EnvironmentProblem(
                f"the journal cannot be watched: {exc.strerror}",
                hint="Too many watches: raise the sysctl fs.inotify.max_user_instances.",
            ) from exc
        self._seen = _Seen(at, seen)
        self._called = False
        seek(journal, at)

    def fileno(self) -> int:
        """Readable when journald calls; see ``interval``."""
        return self._fd

    def available(self) -> list[Record]:
        """What has arrived, in the journal's order, about a thousand at once; empty when that was all."""
        journal, seen = self._journal, self._seen
        self._called |= journal.process() != _reader.NOP
        if self._called and seen.is_due():
            self._called = False
            seek(journal, seen.begin())
        found: list[Record] = []
        while len(found) < _BATCH and journal._next():
            record = read(journal) if seen.is_new(journal._get_cursor()) else None
            if record is not None:
                found.append(record)
        return found

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()


class _Seen:
    """Which entries were seen, since a settled one: makes reading a stretch again harmless.

    Entries are counted by identity, not listed: equal lines of one moment cannot be told apart, and need not be.
    """

    def __init__(self, at: Position, seen: Counter[str]) -> None:
        self._settled: Position = at  # where every pass begins; what comes before it is not looked at again
        self._counts = seen  # all that was seen from there on
        self._met: Counter[str] = Counter()  # what this pass has met
        self._mark: Position = at  # the last entry of a while ago: to be the next settled one
        self._from_mark: Counter[str] = Counter()  # what this pass has met from the mark on
        self._last: Position = at
        self._pass_at = self._mark_at = time.monotonic() - _PAUSE

    def is_due(self) -> bool:
        return time.monotonic() - self._pass_at >= _PAUSE

    def begin(self) -> Position:
        """Begin to read again, from the position returned."""
        if self._pass_at - self._mark_at >= _PAUSE:
            if self._from_mark:
                self._settled, self._counts = self._mark, self._from_mark
            self._mark, self._mark_at = self._last, time.monotonic()
        self._pass_at = time.monotonic()
        self._met = Counter()
        self._from_mark = Counter()
        return self._settled

    def is_new(self, cursor: str) -> bool:
        """Take note of an entry that was met; whether it had not been seen before."""
        key = identity(cursor)
        self._met[key] += 1
        self._last = cursor
        if self._from_mark or cursor == self._mark:
            self._from_mark[key] += 1
        if self._met[key] <= self._counts[key]:
            return False
        self._counts[key] += 1
        return True


def seek(journal: _reader._Reader, at: Position, *, back: bool = False) -> None:
    """Stand before the entry at *at*, or behind it to go *back*."""
    if isinstance(at, str):
        journal.seek_cursor(at)
    elif isinstance(at, int):
        journal.seek_realtime(at)
    elif back:
        journal.seek_tail()
    else:
        journal.seek_head()


def _value(get: Callable[[str], bytes], field: str) -> bytes:
    try:
        return get(field)
    except (KeyError, OSError):
        return b""


def read(journal: _reader._Reader) -> Record | None:
    """The entry that the journal stands on; None if its file has gone or is damaged just there."""
    try:
        return Record(journal._get_cursor(), journal._get_realtime(), journal._get_all())
    except OSError:
        return None
