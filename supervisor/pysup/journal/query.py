"""What one can ask the journal, and what comes back: values that do no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pysup.errors import SpecError
from pysup.names import InstanceName
from pysup.unit import Scope

_CURSOR = re.compile(r"s=[0-9a-f]{32};i=[0-9a-f]+;b=[0-9a-f]{32};m=[0-9a-f]+;t=[0-9a-f]+;x=[0-9a-f]+")
_INVOCATION = re.compile(r"[0-9a-f]{32}")


class Kind(StrEnum):
    """Who says it: the app on stdout or on stderr, or systemd about the app.

    ``ERR`` is a line of the app with priority err (3) or worse: pysup starts apps so that stderr has it.
    """

    OUT = "out"
    ERR = "err"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of an instance, or one of systemd's own about it.

    ``at_usec`` is when journald took it, in microseconds since the epoch. Bytes of ``message`` that are not UTF-8
    read as a backslash, x and two hexadecimal digits, so that every message can be printed; `write_raw` gives
    the bytes themselves.
    ``invocation_id`` is empty when the process was gone before journald could ask.
    ``message_id`` is systemd's MESSAGE_ID, empty for most lines of apps.
    """

    at_usec: int
    message: str
    instance: InstanceName
    kind: Kind
    priority: int
    pid: int | None
    invocation_id: str
    cursor: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An instance to read, and the user under which it runs (None for not known: then it is found by unit only).

    What it wrote before ``since_usec`` does not count, if that is given.
    """

    instance: InstanceName
    uid: int | None
    since_usec: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which lines: of whom, from when to when, and which of those.

    ``lines`` is the last so many of all that pass, merged over the sources; None is all of them.
    ``priority`` is the highest number that passes (3: errors and worse), systemd's own words included.
    ``grep`` is a regular expression searched for in the message.
    ``invocation_id`` also lets lines pass whose invocation journald could not tell: a program that prints and
    dies at once must not lose its last words. Bound such a query with ``since_usec``.
    ``manager_uid`` is whose manager it is in user scope, and 0 in system scope.
    """

    sources: tuple[Source, ...]
    scope: Scope
    manager_uid: int
    since_usec: int | None = None
    until_usec: int | None = None
    lines: int | None = None
    priority: int | None = None
    grep: str | None = None
    kinds: frozenset[Kind] = frozenset(Kind)
    after_cursor: str | None = None
    invocation_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be asked, before anything is read."""
        if self.lines is not None and self.lines < 0:
            raise SpecError(f"lines is {self.lines}, must be 0 or more", hint="Leave it out for all lines.")
        if self.priority is not None and not 0 <= self.priority <= 7:
            raise SpecError(f"priority is {self.priority}, must be 0 (emerg) to 7 (debug)")
        if self.after_cursor is not None and not _CURSOR.fullmatch(self.after_cursor):
            raise SpecError(
                f"cursor {self.after_cursor!r} is not one of the journal's", hint="Take it from an entry as it is."
            )
        if self.invocation_id is not None and not _INVOCATION.fullmatch(self.invocation_id):
            raise SpecError(f"invocation {self.invocation_id!r} is not 32 hexadecimal digits")
        try:
            re.compile(self.grep or "")
        except (re.error, OverflowError, RecursionError) as exc:
            raise SpecError(
                f"grep {self.grep!r} is not a regular expression: {exc}",
                hint=r"Put a backslash before characters that are meant as they are, such as \( or \[.",
            ) from exc
