"""Following the journal, with the seam between what was there and what comes made exact.

Both sides begin at one entry, the base, a little before the end of the journal: what the history gives from there on is
counted, and the live side leaves that out. So nothing depends on where the one ended when the other began.
"""

from __future__ import annotations

import select as polling
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from types import TracebackType
from typing import Self

from pysup.journal import access, reading
from pysup.journal.lines import Joiner, joined
from pysup.journal.matches import Selector
from pysup.journal.query import Entry, Query
from pysup.journal.reading import Line
from pysup.journal.record import Record, identity, realtime

_BATCH = 1000
_OVERLAP_USEC = 60_000_000  # history this close before the base is counted as well: too much does no harm
_GRACE_USEC = 1_000_000  # journald may be this late with what was written before ``until_usec``


More = Callable[[], Query | None]


def follow(query: Query, *, more: More | None = None, wake_fd: int | None = None) -> Iterator[Entry]:
    """What `read` gives, and then all that comes, until *wake_fd* becomes readable or ``until_usec`` has passed.

    With ``lines=0`` only what comes. Waits no longer than for the next line, the wake or a signal; *more* is `Tail`'s.
    """
    with Tail(query, more) as tail:
        for found in follow_tail(tail, wake_fd=wake_fd):
            yield from (entry for _, entry in found)


def follow_tail(tail: Tail, *, wake_fd: int | None = None) -> Iterator[list[Line]]:
    """What the tail gives, as it comes, until the wake or the query's end."""
    until = tail.query.until_usec
    while tail.query.sources:
        found = tail.lines()
        if found:
            yield found
        elif until is not None and time.time_ns() // 1000 > until + _GRACE_USEC:
            return
        if wait([tail.fileno()], wake_fd, 0.0 if found else tail.interval):
            return


def wait(fds: Iterable[int], wake_fd: int | None, seconds: float) -> bool:
    """Wait for any of them, for the wake, or so long; whether it was the wake."""
    poll = polling.poll()
    for fd in fds:
        poll.register(fd, polling.POLLIN)
    if wake_fd is not None:
        poll.register(wake_fd, polling.POLLIN)
    return any(ready == wake_fd for ready, _ in poll.poll(seconds * 1000))


class Tail:
    """The building block of `follow`, for an event loop: nothing here waits for entries to come.

    Call `available` until it returns an empty list, and again when ``fileno()`` is readable or ``interval`` seconds
    have gone by, whichever comes first. The first calls give what is there. Not for two threads at once.
    *more* is asked again and again whether another question, which differs in its sources and its times, is to be
    followed as well from then on.
    """

    def __init__(self, query: Query, more: More | None = None) -> None:
        access.check(query.scope)
        self.query = query
        self._more = more
        self._newcomers: list[Query] = []
        self._selector = Selector(query)
        self._joiner = Joiner()
        self._seen: Counter[str] = Counter()
        reader = reading.open_forward(query)
        self._base = reader.base()
        after = query.after_cursor
        if after is not None and (self._base is None or realtime(after) >= realtime(self._base)):
            self._base = after
            self._seen[identity(after)] = 1
        self._history = self._everything() if query.lines is None or after is not None else self._last_lines()
        self._live = reader.live(self._base, self._seen)
        self.interval = self._live.interval

    def fileno(self) -> int:
        """Readable when something may have come."""
        return self._live.fileno()

    def available(self) -> list[Entry]:
        """The entries that are there and were not given before; at most some thousand at once, empty if none."""
        return [entry for _, entry in self.lines()]

    def lines(self) -> list[Line]:
        """`available`, with the records."""
        found = list(islice(self._history, _BATCH))
        while not found and (records := self._live.available()):
            whole = (line for record in records if (line := self._joiner.add(record)))
            found = list(reading.select(whole, self._selector))
        own = found or list(reading.select(self._joiner.overdue(), self._selector))
        return own + self._of_newcomers()

    def close(self) -> None:
        """Let go of the journal."""
        self._history = iter(())
        self._live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _of_newcomers(self) -> list[Line]:
        if self._more and (query := self._more()):
            self._newcomers.append(query)
        if not self._newcomers or not self._live.is_through:
            return []
        return self._take_up(self._newcomers.pop(0))

    def _take_up(self, query: Query) -> list[Line]:
        """Follow the sources of another question as well; what they have said in its time."""
        records = list(reading.from_start(query))
        since = query.since_usec or 0
        sources = (replace(one, since_usec=max(one.since_usec or 0, since)) for one in query.sources)
        self.query = replace(self.query, sources=(*self.query.sources, *sources))
        self._selector = Selector(self.query)
        self._live.widen(reading.forward_groups(self.query), (identity(record.cursor) for record in records))
        return list(reading.select(joined(records), Selector(query)))

    def _everything(self) -> Iterator[Line]:
        return reading.first(self.query, self._counted(reading.from_start(self.query)), self._selector)

    def _last_lines(self) -> Iterator[Line]:
        # What is there from the base on is read now: what comes after this moment is new, whoever asks when.
        recent = list(self._counted(reading.open_forward(self.query).forward(self._base)))
        if not self.query.lines:
            return iter(())
        older = reading.open_backward(self.query).backward(self._base)
        before = (record for record in older if record.cursor != self._base)
        return reading.last(self.query, chain(reversed(recent), before), self._selector)

    def _counted(self, records: Iterator[Record]) -> Iterator[Record]:
        """The records, noted as seen where the live side will meet them too."""
        begin = realtime(self._base) - _OVERLAP_USEC if self._base else 0
        for record in records:
            if record.at_usec >= begin:
                self._seen[identity(record.cursor)] += 1
            yield record
