"""An entry as a reader hands it over, and what a reader can do; both readers hand over the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

# A value is bytes (native), str (JSON), a list of byte values (JSON, not printable), or a list of those
# (a field that the writer gave several times).
Fields = Mapping[str, object]

# Where to begin, itself included: a cursor, microseconds since the epoch, or None for the far end.
Position = str | int | None

FIELDS = (
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "MESSAGE_ID",
    "_PID",
    "_UID",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "_SYSTEMD_INVOCATION_ID",
    "UNIT",
    "INVOCATION_ID",
    "USER_UNIT",
    "USER_INVOCATION_ID",
    "_STREAM_ID",
    "_LINE_BREAK",
    "_SOURCE_REALTIME_TIMESTAMP",
    # what systemd says with its words about units, for events
    "COMMAND",
    "EXIT_CODE",
    "EXIT_STATUS",
    "N_RESTARTS",
    "UNIT_RESULT",
    "MEMORY_PEAK",
    # what systemd-coredump says
    "COREDUMP_UNIT",
    "COREDUMP_USER_UNIT",
    "COREDUMP_PID",
    "COREDUMP_EXE",
    "COREDUMP_SIGNAL",
    "COREDUMP_SIGNAL_NAME",
    "COREDUMP_FILENAME",
    # what pysup says of what it does
    "PYSUP_EVENT",
    "PYSUP_SCOPE",
    "PYSUP_APP",
    "PYSUP_INSTANCES",
    "PYSUP_BY",
    "PYSUP_VERB",
    "PYSUP_WHY",
    "PYSUP_BEFORE",
    "PYSUP_COUNT",
    "PYSUP_HOOK",
    "PYSUP_PROBLEM",
)


@dataclass(slots=True)
class Record:
    """One entry of the journal. Not frozen: 200,000 of them are made in a second, and freezing triples the cost."""

    cursor: str
    at_usec: int
    fields: Fields

    def data(self, name: str) -> bytes:
        """The field's bytes: the first value if there are several, empty if there is none."""
        value = self.fields.get(name, b"")
        if not isinstance(value, bytes):
            value = _first(value)
        return value if isinstance(value, bytes) else value.encode()

    def text(self, name: str) -> str:
        """The field as text; bytes that are not UTF-8 read as a backslash, x and two hexadecimal digits."""
        value = self.fields.get(name, "")
        if not isinstance(value, bytes):
            value = _first(value)
        return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _first(value: object) -> bytes | str:
    if isinstance(value, bytes | str):
        return value
    if isinstance(value, list) and value:
        return bytes(value) if isinstance(value[0], int) else _first(value[0])
    return b""


def identity(cursor: str) -> str:
    """The part of a cursor that an entry keeps when journald copies it from one file to another.

    Not unique: journald stamps all that it read in one go with one time, and equal lines have equal hashes.
    """
    return cursor[cursor.index(";b=") + 1 :]


def realtime(cursor: str) -> int:
    """When journald took the entry: microseconds since the epoch."""
    return int(cursor.split(";t=", 1)[1].split(";", 1)[0], 16)


class Live(Protocol):
    """What arrives, from a position on, without waiting."""

    interval: float  # seconds after which to look again though ``fileno`` is silent
    is_through: bool  # whether all has been given that was there

    def fileno(self) -> int: ...
    def available(self) -> list[Record]: ...
    def close(self) -> None: ...

    def widen(self, groups: Sequence[tuple[str, ...]], seen: Iterable[str]) -> None:
        """Follow other matches from now on, leaving out these identities, too; not unless it ``is_through``."""
        ...


class Reader(Protocol):
    """The journal as it is now, in its own order; positions are included."""

    def forward(self, at: Position) -> Iterator[Record]: ...
    def backward(self, at: Position) -> Iterator[Record]: ...

    def base(self) -> str | None:
        """The cursor of an entry a few before the last of the whole journal, None if that is empty."""
        ...

    def live(self, at: Position, seen: Counter[str]) -> Live:
        """Follow from a position, leaving out those of the identities that were seen."""
        ...


# The bytes of a field of the entry that a reader stands on; empty if there is none.
Get = Callable[[str], bytes]

# Entries that have one of these values in one of these fields.
Suspects = Mapping[str, frozenset[bytes]]


@runtime_checkable
class Quick(Protocol):
    """A reader that can hand over messages alone."""

    def messages(
        self, since: int | None, until: int | None, suspects: Suspects, unless: Callable[[Get], bool]
    ) -> Iterator[bytes]:
        """Whole messages of what matches, but for those *suspects* of which *unless* is true."""
        ...
