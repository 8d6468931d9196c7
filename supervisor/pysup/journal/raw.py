"""Messages alone, as bytes, as fast as they can be had."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from pysup.journal import access, reading
from pysup.journal.matches import Selector, is_exact
from pysup.journal.query import Query
from pysup.journal.record import Quick

_BATCH = 2000


def write_raw(query: Query, out: BinaryIO) -> int:
    """Write the message of each entry that the query wants, byte for byte, and a newline; how many they were."""
    count = 0
    messages = _messages(query)
    while batch := list(islice(messages, _BATCH)):
        out.write(b"\n".join([*batch, b""]))
        out.flush()
        count += len(batch)
    return count


def _messages(query: Query) -> Iterator[bytes]:
    if query.lines is None and query.after_cursor is None and is_exact(query):
        access.check(query.scope)
        reader = reading.open_forward(query)
        if isinstance(reader, Quick):
            selector = Selector(query)
            return reader.messages(query.since_usec, query.until_usec, selector.suspects(), selector.is_stray)
    return (record.data("MESSAGE") for record, _ in reading.lines(query))
