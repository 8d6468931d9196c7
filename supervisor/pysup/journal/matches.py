"""From a query to the journal's matches, and from a record to the entry that it is or is not: pure.

An app's line is found by its unit, or by its identifier together with its user, because journald cannot tell the
unit of a process that is gone (and never forgets the user): design, section 5. systemd's own words about a unit
carry its name in ``UNIT=`` or ``USER_UNIT=``, and come from root or from the owner of the manager.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pysup.journal.query import Entry, Kind, Query, Source
from pysup.journal.record import Get, Record, Suspects
from pysup.unit import Scope

# One group: values of one field are alternatives, different fields must all match.
Group = tuple[str, ...]

# With more sources than this, reading what others write as well and dropping it is cheaper than to have libsystemd
# look up every match for every entry (100 sources: 24 µs an entry, 1,000: 360 µs, no match at all: 3 µs).
EXACT_MAX = 64

_INFO = 6  # what a line without PRIORITY= counts as, like in journalctl


def groups(query: Query) -> tuple[Group, ...]:
    """Matches that together find all that the query may want, and nothing of anybody else. Empty: nothing."""
    apps, words = _application(query), _words(query)
    return tuple(group for group in (*apps, *words) if group)


def coarse(query: Query) -> tuple[Group, ...]:
    """Few matches that find more than is wanted; empty: everything."""
    return ((f"_UID={query.manager_uid}",),) if query.scope is Scope.USER else ()


def is_filtered(query: Query) -> bool:
    """Whether entries that match may still be dropped by what they say."""
    return (
        query.grep is not None
        or query.invocation_id is not None
        or query.priority is not None
        or query.kinds != frozenset(Kind)
        or any(source.since_usec is not None for source in query.sources)
    )


def is_exact(query: Query) -> bool:
    """Whether the groups find just what the query wants, strays (see `Selector.is_stray`) aside."""
    return (
        0 < len(query.sources) <= EXACT_MAX
        and query.grep is None
        and query.invocation_id is None
        and (query.priority is None or query.priority < _INFO)
        and (Kind.ERR in query.kinds or Kind.OUT not in query.kinds)
        and all(source.since_usec is None for source in query.sources)
    )


def _application(query: Query) -> list[Group]:
    bound = query.priority if query.priority is not None else 7
    if not query.kinds & {Kind.OUT, Kind.ERR} or (Kind.ERR not in query.kinds and bound <= 3):
        return []
    if Kind.OUT not in query.kinds:
        bound = min(bound, 3)
    priority = _priorities(bound)
    units = [source.instance.unit for source in query.sources]
    found: list[Group] = []
    for uid, sources in _by_uid(query.sources).items():
        found.append((*(f"SYSLOG_IDENTIFIER={s.instance.identifier}" for s in sources), f"_UID={uid}", *priority))
        if query.scope is Scope.SYSTEM and uid != 0:
            # A child of systemd that has become the app's user and could not execute the app says so itself.
            found.append((*(f"UNIT={s.instance.unit}" for s in sources), f"_UID={uid}", *priority))
    if query.scope is Scope.SYSTEM:
        found.append((*(f"_SYSTEMD_UNIT={unit}" for unit in units), *priority))
    else:
        found.append((*(f"_SYSTEMD_USER_UNIT={u}" for u in units), f"_UID={query.manager_uid}", *priority))
    return found if units else []


def _words(query: Query) -> list[Group]:
    if Kind.SYSTEMD not in query.kinds or not query.sources:
        return []
    field = _word_field(query.scope)
    priority = _priorities(query.priority if query.priority is not None else 7)
    return [(*(f"{field}={s.instance.unit}" for s in query.sources), f"_UID={query.manager_uid}", *priority)]


def _priorities(bound: int) -> Group:
    # From info on, lines without any priority count too, and a match cannot say that: the selector does.
    return tuple(f"PRIORITY={number}" for number in range(bound + 1)) if bound < _INFO else ()


def _by_uid(sources: Sequence[Source]) -> dict[int, list[Source]]:
    found: dict[int, list[Source]] = {}
    for source in sources:
        if source.uid is not None:
            found.setdefault(source.uid, []).append(source)
    return found


def _word_field(scope: Scope) -> str:
    return "UNIT" if scope is Scope.SYSTEM else "USER_UNIT"


class Selector:
    """Turns records into entries; those that the query does not want, or that are forged, into None."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._units = {source.instance.unit: source for source in query.sources}
        self._unit_bytes = frozenset(unit.encode() for unit in self._units)
        self._identifiers = {source.instance.identifier: source for source in query.sources}
        self._grep = re.compile(query.grep) if query.grep is not None else None
        system = query.scope is Scope.SYSTEM
        self._unit_field, self._twin_field = (
            ("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT") if system else ("_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT")
        )
        self._word_field = _word_field(query.scope)
        self._word_invocation = "INVOCATION_ID" if system else "USER_INVOCATION_ID"

    def __call__(self, record: Record) -> Entry | None:
        """The entry, or None."""
        query = self._query
        if query.since_usec is not None and record.at_usec < query.since_usec:
            return None
        if query.until_usec is not None and record.at_usec > query.until_usec:
            return None
        said = self._said(record)
        if said is None:
            return None
        source, of_systemd = said
        if source.since_usec is not None and record.at_usec < source.since_usec:
            return None
        priority = _number(record.text("PRIORITY"))
        priority = _INFO if priority is None or priority > 7 else priority
        kind = Kind.SYSTEMD if of_systemd else Kind.ERR if priority <= 3 else Kind.OUT
        if kind not in query.kinds or (query.priority is not None and priority > query.priority):
            return None
        message = record.text("MESSAGE")
        if self._grep is not None and not self._grep.search(message):
            return None
        invocation = record.text(self._word_invocation) or record.text("_SYSTEMD_INVOCATION_ID")
        if query.invocation_id and invocation and invocation != query.invocation_id:
            return None
        return Entry(
            at_usec=record.at_usec,
            message=message,
            instance=source.instance,
            kind=kind,
            priority=priority,
            pid=_number(record.text("_PID")),
            invocation_id=invocation,
            cursor=record.cursor,
            message_id=record.text("MESSAGE_ID"),
        )

    def _said(self, record: Record) -> tuple[Source, bool] | None:
        """Whose line it is, and whether systemd says it; None if it is nobody's of ours."""
        uid = _number(record.text("_UID"))
        query = self._query
        source = self._units.get(record.text(self._word_field))
        if source is not None and uid is not None:
            if uid == query.manager_uid:
                return source, True
            if query.scope is Scope.SYSTEM and uid == source.uid:
                return source, False
        source = self._units.get(record.text(self._unit_field))
        if source is not None and (query.scope is Scope.SYSTEM or uid == query.manager_uid):
            return source, False
        source = self._identifiers.get(record.text("SYSLOG_IDENTIFIER"))
        if source is not None and uid is not None and uid == source.uid and not self._is_twin(record):
            return source, False
        return None

    def suspects(self) -> Suspects:
        """What an entry has that may be a stray."""
        fields = (self._twin_field,) if Kind.SYSTEMD in self._query.kinds else (self._twin_field, self._word_field)
        return dict.fromkeys(fields, self._unit_bytes)

    def is_stray(self, get: Get) -> bool:
        """Whether an entry is not wanted though exact matches found it; cheaper than to make it a record."""
        if get(self._twin_field) in self._unit_bytes:
            return True
        if Kind.SYSTEMD in self._query.kinds or get(self._word_field) not in self._unit_bytes:
            return False
        return _number(get("_UID").decode()) == self._query.manager_uid

    def _is_twin(self, record: Record) -> bool:
        # Of the same name and user, but under the other manager: the machine's, or the user's.
        return record.text(self._twin_field) in self._units


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
