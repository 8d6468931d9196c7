"""What is in the journal now: over either reader, one line after the other, whole and in the journal's order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile

from pysup.errors import EnvironmentProblem, SpecError
from pysup.journal import access
from pysup.journal.lines import joined, joined_backward
from pysup.journal.matches import EXACT_MAX, Group, Selector, coarse, groups, is_filtered
from pysup.journal.query import Entry, Query
from pysup.journal.record import Reader, Record

# An entry, and the record that it was made of (whose bytes `write_raw` wants).
Line = tuple[Record, Entry]


def read(query: Query) -> Iterator[Entry]:
    """What is there, oldest first, in the journal's order over all sources."""
    return (entry for _, entry in lines(query))


def lines(query: Query) -> Iterator[Line]:
    """`read`, with the records."""
    access.check(query.scope)
    if not groups(query) or query.lines == 0:
        return iter(())
    selector = Selector(query)
    if query.lines is None or query.after_cursor is not None:
        return first(query, from_start(query), selector)
    return last(query, open_backward(query).backward(query.until_usec), selector)


def first(query: Query, oldest_first: Iterable[Record], selector: Selector) -> Iterator[Line]:
    """The lines that the query wants, from records that come oldest first."""
    found = select(joined(oldest_first), selector)
    return found if query.lines is None else iter(deque(found, maxlen=query.lines))


def from_start(query: Query) -> Iterator[Record]:
    """The records from where the query begins to where it ends."""
    begin = query.after_cursor or query.since_usec
    until = query.until_usec
    for record in open_forward(query).forward(begin):
        if until is not None and record.at_usec > until:
            return
        if record.cursor != query.after_cursor:
            yield record


def last(query: Query, newest_first: Iterable[Record], selector: Selector) -> Iterator[Line]:
    """The last lines that the query wants, oldest first, from records that come newest first."""
    since = query.since_usec or 0
    recent = takewhile(lambda record: record.at_usec >= since, newest_first)
    wanted = list(islice(select(joined_backward(recent), selector), query.lines))
    return reversed(wanted)


def select(records: Iterable[Record], selector: Selector) -> Iterator[Line]:
    """Those that the query wants."""
    for record in records:
        entry = selector(record)
        if entry is not None:
            yield record, entry


def open_forward(query: Query) -> Reader:
    """A reader to go forward with."""
    return open_records(forward_groups(query))


def forward_groups(query: Query) -> Sequence[Group]:
    """What such a reader matches."""
    return groups(query) if len(query.sources) <= EXACT_MAX else coarse(query)


def open_backward(query: Query) -> Reader:
    """A reader to look for the last few lines with.

    If all that matches is wanted, exact matches find them at once, however many they are and however big the journal.
    """
    is_exact = len(query.sources) <= EXACT_MAX or not is_filtered(query)
    return open_records(groups(query) if is_exact else coarse(query))


def open_records(matches: Sequence[Group]) -> Reader:
    """The fast reader if it is installed, unless ``PYSUP_JOURNAL`` says which."""
    wanted = os.environ.get("PYSUP_JOURNAL", "")
    if wanted not in ("", "native", "journalctl"):
        raise SpecError(f"PYSUP_JOURNAL is {wanted!r}, must be 'native' or 'journalctl'")
    if wanted != "journalctl":
        try:
            from pysup.journal.native import NativeReader  # an extension that may not be there
        except ImportError as exc:
            if wanted:
                raise EnvironmentProblem(
                    "the native journal reader is not installed", hint="pip install 'pysup-systemd[native]'"
                ) from exc
        else:
            return NativeReader(matches)
    from pysup.journal.journalctl import JournalctlReader  # subprocess and tempfile are imports to pay for

    return JournalctlReader(matches)
