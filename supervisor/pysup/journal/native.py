"""The journal by libsystemd: the fast reader. Only this module touches systemd-python.

``systemd._reader`` and not ``systemd.journal``: the latter costs 16 ms to import and converts every field.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from systemd import _reader

from pysup.errors import EnvironmentProblem
from pysup.journal.lines import Joiner
from pysup.journal.matches import Group
from pysup.journal.record import Get, Position, Record, Suspects
from pysup.journal.seen import Seen
from pysup.journal.sigbus import survive

_BASE = 16  # entries before the last one at which following begins
_BATCH = 1000

# journald shows an entry before the last of its values, and libsystemd leaves out a value that it meets between the two
# stores that show it: once in a million lines, when journald is interrupted just there, the newest entry lacks its
# message for a moment. What is this young is asked again, this often, with a millisecond in between.
_UNSETTLED_USEC = 1_000_000
_TRIES = 50


class NativeReader:
    """A `Reader` on this machine's journal."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def open(self) -> _reader._Reader:
        """A journal with our matches; its messages are never cut."""
        survive()
        journal = _reader._Reader()
        journal.data_threshold = 0
        add_matches(journal, self._groups)
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

    def messages(
        self, since: int | None, until: int | None, suspects: Suspects, unless: Callable[[Get], bool]
    ) -> Iterator[bytes]:
        """See `Quick`. Asks for just the fields that are needed: a third of the cost of `forward`."""
        with self.open() as journal:
            get = _getter(journal)
            joiner = Joiner()
            # What the journal has nowhere need not be asked of each entry; and a field that is not there costs most.
            has_pieces = b"line-max" in journal.query_unique("_LINE_BREAK")
            asked = [(field, values) for field, values in suspects.items() if self._has(field, values)]
            seek(journal, since)
            while journal._next():
                if until is not None and journal._get_realtime() > until:
                    break
                if asked and any(get(field) in values for field, values in asked) and unless(get):
                    continue
                if joiner.is_holding or (has_pieces and get("_LINE_BREAK") == b"line-max"):
                    record = read(journal)
                    line = joiner.add(record) if record else None
                    if line is not None:
                        yield line.data("MESSAGE")
                else:
                    yield get("MESSAGE") or _message(journal)
            yield from (line.data("MESSAGE") for line in joiner.overdue(0))

    def _has(self, field: str, values: Iterable[bytes]) -> bool:
        """Whether any of our entries has one of these values; the journal's indexes tell without reading them all."""
        more = tuple(f"{field}={value.decode()}" for value in values)
        with NativeReader([(*group, *more) for group in self._groups]).open() as journal:
            seek(journal, None)
            return bool(journal._next())

    def base(self) -> str | None:
        """See `Reader.base`."""
        with NativeReader(()).open() as journal:
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
    the next one. So after a call we go back to an entry that has been settled for a second and take what was
    not seen: `Seen` tells which.
    """

    interval = 0.02

    def __init__(self, journal: _reader._Reader, at: Position, seen: Counter[str]) -> None:
        self._journal = journal
        try:
            self._fd = int(journal.fileno())
        except OSError as exc:
            raise EnvironmentProblem(
                f"the journal cannot be watched: {exc.strerror}",
                hint="Too many watches: raise the sysctl fs.inotify.max_user_instances.",
            ) from exc
        self._seen = Seen(at, seen)
        self._called = False
        self.is_through = False
        seek(journal, at)

    def fileno(self) -> int:
        """Readable when journald calls; see ``interval``."""
        return self._fd

    def available(self) -> list[Record]:
        """What has arrived, in the journal's order, about a thousand at once; empty when that was all."""
        journal, seen = self._journal, self._seen
        self._called |= journal.process() != _reader.NOP
        if self._called and self.is_through and seen.is_due():
            self._called = False
            seek(journal, seen.begin())
        found: list[Record] = []
        while len(found) < _BATCH:
            self.is_through = not journal._next()
            if self.is_through:
                break
            record = read(journal) if seen.is_new(journal._get_cursor()) else None
            if record is not None:
                found.append(record)
        return found

    def widen(self, groups: Sequence[Group], seen: Iterable[str]) -> None:
        """See `Live.widen`."""
        self._journal.flush_matches()
        add_matches(self._journal, groups)
        seek(self._journal, self._seen.begin())
        self._seen.add(seen)
        self.is_through = False

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()


def add_matches(journal: _reader._Reader, groups: Sequence[Group]) -> None:
    """Have it give the entries that one of the groups matches."""
    for group in groups:
        for match in group:
            journal.add_match(match)
        journal.add_disjunction()


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


def _getter(journal: _reader._Reader) -> Get:
    ask = journal._get

    def get(field: str) -> bytes:
        try:
            return bytes(ask(field))
        except (KeyError, OSError):
            return b""

    return get


def read(journal: _reader._Reader) -> Record | None:
    """The entry that the journal stands on; None if its file has gone or is damaged just there."""
    try:
        record = Record(journal._get_cursor(), journal._get_realtime(), journal._get_all())
        for _ in range(_TRIES):
            if "MESSAGE" in record.fields or time.time_ns() // 1000 - record.at_usec > _UNSETTLED_USEC:
                break
            time.sleep(0.001)
            record.fields = journal._get_all()
    except OSError:
        return None
    return record


def _message(journal: _reader._Reader) -> bytes:
    record = read(journal)
    return record.data("MESSAGE") if record else b""
