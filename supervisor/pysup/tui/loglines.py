"""The log lines that are at hand: the last so many, those of them that pass a filter, and where a word is found."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rich.cells import chop_cells

from pysup.journal import Entry, Kind
from pysup.logfiles import FileLine
from pysup.tui.pattern import Pattern
from pysup.wording import plain

KEPT = 5000
"""So many lines are at hand."""

LONGEST = 10_000
"""So many characters of a line are; ``pysup logs`` prints all."""

_TAB = 4
_UNIT_PREFIX = re.compile(r"pysup-\S+@\d+\.service: ")


class LogLine(NamedTuple):
    """A line, safe to print; ``at`` is seconds since the epoch, None where nobody knows."""

    app: str
    number: int | None
    kind: Kind
    text: str
    at: float | None = None


def safe(message: str) -> str:
    """One line of somebody else's as it may be put on a terminal: no control characters, tabs as blanks."""
    return plain(message.expandtabs(_TAB))


def lines(found: Entry | FileLine) -> list[LogLine]:
    """What is shown of an entry (a line for each that is in it), or of a line in a file."""
    if isinstance(found, FileLine):
        file = found.file
        return [LogLine(file.app, file.number, file.kind, _begin(found.message.decode("utf-8", "backslashreplace")))]
    message = found.message
    if found.kind is Kind.SYSTEMD:
        message = _UNIT_PREFIX.sub("", message, count=1)
    name, at = found.instance, found.at_usec / 1_000_000
    return [LogLine(name.app, name.number, found.kind, _begin(text), at) for text in message.split("\n")]


def _begin(text: str) -> str:
    return safe(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def wrapped(text: str, width: int) -> list[str]:
    """The text in pieces of at most *width* cells, cut at blanks where there are some (one of them goes)."""
    width, is_ascii = max(2, width), text.isascii()
    pieces, at = [], 0
    while at < len(text):
        rest = text[at : at + 2 * width]  # no more: each look at all the rest would take as long as it is
        piece = rest[:width] if is_ascii else chop_cells(rest, width)[0]
        end = at + len(piece)
        if end < len(text) and text[end] != " ":
            piece = piece[: piece.rfind(" ") + 1] or piece
        pieces.append(piece)
        at += len(piece)
        at += text.startswith(" ", at)
    return pieces or [""]


class LogLines:
    """The last lines. While it is paused, those that come wait."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._all: deque[LogLine] = deque(maxlen=kept)
        self._waiting: deque[LogLine] = deque(maxlen=kept)
        self.filter: Pattern | None = None
        self.paused = False
        self.held = 0

    def clear(self) -> None:
        """Forget all lines."""
        self._all.clear()
        self._waiting.clear()
        self.held = 0

    def add(self, came: Sequence[LogLine]) -> list[LogLine]:
        """Take in lines; those of them that are to be shown now."""
        if self.paused:
            self.held += len(came)
            self._waiting.extend(came)
            return []
        self._all.extend(came)
        return self._passing(came)

    def resume(self) -> None:
        """Have what waited among the others, and wait no longer."""
        self._all.extend(self._waiting)
        self._waiting.clear()
        self.paused, self.held = False, 0

    def shown(self) -> list[LogLine]:
        """All that are at hand and pass the filter."""
        return self._passing(self._all)

    def _passing(self, found: Collection[LogLine]) -> list[LogLine]:
        """Those that the filter lets through. One that takes too long is taken away, and all pass."""
        if self.filter is None:
            return list(found)
        self.filter.begin()
        passing = [line for line in found if self.filter.is_in(line.text)]
        if self.filter.is_slow:
            self.filter = None
            return list(found)
        return passing
