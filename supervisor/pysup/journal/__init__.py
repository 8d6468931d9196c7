"""The log of an app: its own lines and systemd's words about it, read from journald and followed."""

from pysup.journal.query import Entry, Kind, Query, Source
from pysup.journal.raw import write_raw
from pysup.journal.reading import Line, lines, read
from pysup.journal.send import send
from pysup.journal.tail import More, Tail, follow, wait

__all__ = [
    "Entry",
    "Kind",
    "Line",
    "More",
    "Query",
    "Source",
    "Tail",
    "follow",
    "lines",
    "read",
    "send",
    "wait",
    "write_raw",
]
