"""systemd's words and pysup's own records in the journal: what events are made of, read and followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pysup import chronicle, deeds, names
from pysup.chronicle import Word
from pysup.events import OfApp
from pysup.journal import access, reading
from pysup.journal.matches import EXACT_MAX, Group
from pysup.journal.record import Record, identity
from pysup.names import InstanceName
from pysup.unit import Scope

_TIME = "_SOURCE_REALTIME_TIMESTAMP"
_RESOURCES = "ae8f7b866b0347b9af31fe1c80b127c0"  # SD_MESSAGE_UNIT_RESOURCES
_AFTER = 120.0  # seconds that the rest of its processes may take to end, and ExecStopPost=
_FIELDS = ("COMMAND", "EXIT_CODE", "EXIT_STATUS", "N_RESTARTS", "UNIT_RESULT")


def at(record: Record) -> float:
    """When it was said: by the kernel's clock at sending, or else when journald took it."""
    text = record.text(_TIME)
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    return (int(text) if is_number else record.at_usec) / 1_000_000


def of_systemd(
    scope: Scope, uid: int, instances: Iterable[InstanceName] | None, *, since: float | None
) -> Iterator[Word]:
    """Systemd's words about these instances (None: about all of pysup's), oldest first; *uid* is the manager's."""
    access.check(scope)
    field = "UNIT" if scope is Scope.SYSTEM else "USER_UNIT"
    for record in reading.open_records(_word_groups(field, uid, instances)).forward(_usec(since)):
        word = to_word(record, scope, uid)
        if word:
            yield word


def _word_groups(field: str, uid: int, instances: Iterable[InstanceName] | None) -> list[Group]:
    units = [f"{field}={name.unit}" for name in instances] if instances is not None else []
    return [("SYSLOG_IDENTIFIER=systemd", f"_UID={uid}", *(units if len(units) <= EXACT_MAX else ()))]


def to_word(record: Record, scope: Scope, uid: int) -> Word | None:
    """What the manager of that owner says about an instance; None for anything else, and for what is forged."""
    field, invocation = ("UNIT", "INVOCATION_ID") if scope is Scope.SYSTEM else ("USER_UNIT", "USER_INVOCATION_ID")
    name = names.parse_instance(record.text(field))
    if name is None or not _is_said_by(record, scope, uid):
        return None
    message_id, message = record.text("MESSAGE_ID"), record.text("MESSAGE")
    if not chronicle.is_known(message_id, message):
        return None
    fields = {key: record.text(key) for key in _FIELDS if key in record.fields}
    return Word(name, at(record), message_id, message, record.text(invocation), fields)


def _is_said_by(record: Record, scope: Scope, uid: int) -> bool:
    """Whether the manager of that owner said it, and no other process of the same user."""
    return record.text("_UID") == str(uid) and (scope is Scope.USER or record.text("_PID") == "1")


def peak(scope: Scope, uid: int, name: InstanceName, invocation_id: str, *, ended: float) -> int | None:
    """The most memory that a run used, in bytes, by what systemd says when it has ended.

    None where it says nothing: before 255, without cgroup v2, and of a run that used neither 64 MB nor a second of CPU.
    """
    field, invocation = ("UNIT", "INVOCATION_ID") if scope is Scope.SYSTEM else ("USER_UNIT", "USER_INVOCATION_ID")
    group = (f"MESSAGE_ID={_RESOURCES}", f"_UID={uid}", f"{field}={name.unit}")
    for record in reading.open_records([group]).forward(_usec(ended)):
        if at(record) > ended + _AFTER:
            return None
        text = record.text("MEMORY_PEAK")
        if _is_said_by(record, scope, uid) and record.text(invocation) == invocation_id and text.isascii():
            return int(text) if text.isdigit() and len(text) < 19 else None
    return None


def of_pysup(scope: Scope, uid: int, *, since: float | None) -> Iterator[OfApp]:
    """Pysup's own records, oldest first; *uid* is the manager's."""
    access.check(scope)
    for record in reading.open_records(_deed_groups(uid)).forward(_usec(since)):
        event = to_deed(record, scope, uid)
        if event:
            yield event


def _deed_groups(uid: int) -> list[Group]:
    return [(f"MESSAGE_ID={deeds.MESSAGE_ID}", f"_UID={uid}")]


class DeedTail:
    """pysup's own records: what is there (``past``, from *since* on), and what comes, without a gap between.

    Call ``available`` when ``fileno()`` is readable, and once more after ``interval`` seconds.
    """

    interval = 1.0

    def __init__(self, scope: Scope, uid: int, *, since: float | None) -> None:
        access.check(scope)
        self._scope, self._uid = scope, uid
        reader = reading.open_records(_deed_groups(uid))
        seen: Counter[str] = Counter()
        base = reader.base()
        begin = _usec(since) if since is not None else base
        there = self._events(self._counted(reader.forward(begin), seen)) if begin is not None else []
        self.past = there if since is not None else []
        self._live = reader.live(base, seen)

    def fileno(self) -> int:
        """Readable when something may have come."""
        return self._live.fileno()

    def available(self) -> list[OfApp]:
        """What has come."""
        return self._events(self._live.available())

    def close(self) -> None:
        """Let go of the journal."""
        self._live.close()

    def _events(self, records: Iterable[Record]) -> list[OfApp]:
        found = (to_deed(record, self._scope, self._uid) for record in records)
        return [event for event in found if event]

    def _counted(self, records: Iterable[Record], seen: Counter[str]) -> Iterator[Record]:
        for record in records:
            seen[identity(record.cursor)] += 1
            yield record


def to_deed(record: Record, scope: Scope, uid: int) -> OfApp | None:
    """What pysup has done, in an entry of the manager's owner; None for anything else, and for what is forged."""
    if record.text("MESSAGE_ID") != deeds.MESSAGE_ID or record.text("_UID") != str(uid):
        return None
    field: Callable[[str], str] = record.text
    return deeds.decode(field, at(record), scope)


def _usec(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)
