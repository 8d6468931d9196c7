"""Messages alone, as bytes, as fast as they can be had."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from pysup.journal import access, reading
from pysup.journal.matches import Selector, is_exact
from pysup.journal.query import Query
from pysup.journal.record import Quick
from pysup.journal.tail import More, Tail, follow_tail

_BATCH = 2000


def write_raw(
    query: Query, out: BinaryIO, *, follow: bool = False, more: More | None = None, wake_fd: int | None = None
) -> int:
    """Write the message of each entry that the query wants, byte for byte, and a newline; how many they were.

    What is there goes out in big pieces, what comes while following line by line (and *out* is flushed).
    """
    count = 0
    if follow:
        with Tail(query, more) as tail:
            for found in follow_tail(tail, wake_fd=wake_fd):
                _write(out, [record.data("MESSAGE") for record, _ in found])
                count += len(found)
        return count
    messages = _messages(query)
    while batch := list(islice(messages, _BATCH)):
        _write(out, batch)
        count += len(batch)
    return count


def _write(out: BinaryIO, messages: list[bytes]) -> None:
    out.write(b"\n".join([*messages, b""]))
    out.flush()


def _messages(query: Query) -> Iterator[bytes]:
    if query.lines is None and query.after_cursor is None and is_exact(query):
        access.check(query.scope)
        reader = reading.open_forward(query)
        if isinstance(reader, Quick):
            selector = Selector(query)
            return reader.messages(query.since_usec, query.until_usec, selector.suspects(), selector.is_stray)
    return (record.data("MESSAGE") for record, _ in reading.lines(query))
