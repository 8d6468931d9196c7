"""Long lines, made whole again: journald cuts at 48 K (``LineMax=``) and marks each piece but the last."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pysup.journal.record import Record

_LONGEST = 16 * 2**20  # a program that never ends its line must not fill our memory
_PATIENCE = 1.0  # seconds to wait for the rest of a line while following
_REACH = 64  # how many entries back to look for the beginning of a line
_MOST = 512  # pieces of one line, when reading backward


def is_piece(record: Record) -> bool:
    """Whether its line goes on in the next entry of the same stream."""
    return "_LINE_BREAK" in record.fields and record.text("_LINE_BREAK") == "line-max"


def join(pieces: list[Record]) -> Record:
    """One record of a line's pieces, oldest first; it stands where the last piece stands."""
    last = pieces[-1]
    if len(pieces) == 1:
        return last
    message = b"".join(piece.data("MESSAGE") for piece in pieces)
    return Record(last.cursor, last.at_usec, {**last.fields, "MESSAGE": message})


@dataclass(slots=True)
class _Held:
    pieces: list[Record] = field(default_factory=list)
    size: int = 0
    since: float = 0.0


class Joiner:
    """Joins while reading forward, by stream."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    @property
    def is_holding(self) -> bool:
        """Whether some line is not complete yet."""
        return bool(self._held)

    def add(self, record: Record) -> Record | None:
        """The record, or the whole line that it ends; None if the line goes on."""
        piece = is_piece(record)
        if not piece and not self._held:
            return record
        stream = record.text("_STREAM_ID")
        held = self._held.setdefault(stream, _Held(since=time.monotonic()))
        held.pieces.append(record)
        held.size += len(record.data("MESSAGE"))
        if piece and held.size < _LONGEST:
            return None
        del self._held[stream]
        return join(held.pieces)

    def overdue(self, patience: float = _PATIENCE) -> list[Record]:
        """Lines whose end has not come for too long (0: all that are held)."""
        now = time.monotonic()
        late = [stream for stream, held in self._held.items() if now - held.since >= patience]
        return [join(self._held.pop(stream).pieces) for stream in late]


def joined(records: Iterable[Record]) -> Iterator[Record]:
    """Whole lines, oldest first; what is not complete at the end comes as it is."""
    joiner = Joiner()
    for record in records:
        line = joiner.add(record)
        if line is not None:
            yield line
    yield from joiner.overdue(0)


def joined_backward(records: Iterable[Record]) -> Iterator[Record]:
    """Whole lines from records that come newest first, newest first.

    A line is whole when the entry before it in its stream does not go on in it: looked for ``_REACH`` entries back.
    """
    waiting: deque[tuple[int, list[Record]]] = deque()  # where its last piece stood, and its pieces, newest first
    streams: dict[str, list[Record]] = {}  # of each stream the line that may go on further back
    for position, record in enumerate(records):
        stream = record.text("_STREAM_ID")
        line = streams.get(stream)
        if line is not None and len(line) < _MOST and is_piece(record):
            line.append(record)
        else:
            line = [record]
            waiting.append((position, line))
            if stream:
                streams[stream] = line
        while waiting and (position - waiting[0][0] >= _REACH or _is_whole(waiting[0][1], streams)):
            yield _finish(waiting.popleft()[1], streams)
    for _, line in waiting:
        yield join(line[::-1])


def _is_whole(line: list[Record], streams: dict[str, list[Record]]) -> bool:
    return streams.get(line[0].text("_STREAM_ID")) is not line


def _finish(line: list[Record], streams: dict[str, list[Record]]) -> Record:
    stream = line[0].text("_STREAM_ID")
    if streams.get(stream) is line:
        del streams[stream]
    return join(line[::-1])
