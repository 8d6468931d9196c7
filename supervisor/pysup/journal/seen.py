"""What was seen of the journal lately, so that reading a stretch of it again gives only what is new."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from pysup.journal.record import Position, identity

PAUSE = 1.0  # seconds after which an entry is settled: four times as long as journald may take to call
_REST = 1e-4  # seconds to leave between passes for each entry that the last one met: up to PAUSE, and 10 % of a CPU


class Seen:
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
        self._pass_at = self._mark_at = time.monotonic() - PAUSE

    def is_due(self) -> bool:
        """Whether the last pass began long enough ago, for what it cost."""
        return time.monotonic() - self._pass_at >= min(PAUSE, _REST * self._met.total())

    def begin(self) -> Position:
        """Begin to read again, from the position returned."""
        if self._pass_at - self._mark_at >= PAUSE:
            if self._from_mark:
                self._settled, self._counts = self._mark, self._from_mark
            self._mark, self._mark_at = self._last, time.monotonic()
        self._pass_at = time.monotonic()
        self._met = Counter()
        self._from_mark = Counter()
        return self._settled

    def add(self, identities: Iterable[str]) -> None:
        """Take note of entries that were seen elsewhere, at the beginning of a pass."""
        self._counts.update(identities)

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
