"""How instances are now: conversations with systemd, the same for a blocking and an asynchronous connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from pysup import names
from pysup.bus import systemd1
from pysup.bus.call import Call, Conversation, Reply
from pysup.bus.call import check as check_reply
from pysup.errors import PysupError
from pysup.unit import ActiveState, Exit

OURS = (names.instance_pattern("*"), names.socket_pattern("*"))
"""What matches the instances of all apps, and the sockets whose connections may start them."""

# What a table needs of a unit, and what only its details do. A Get takes systemd 0.08 ms and a GetAll 0.6 ms.
BRIEF = (
    (systemd1.SERVICE, "MainPID"),
    (systemd1.SERVICE, "NRestarts"),
    (systemd1.UNIT, "StateChangeTimestamp"),
)
DETAIL = (
    *BRIEF,
    (systemd1.SERVICE, "Result"),
    (systemd1.SERVICE, "ExecMainPID"),
    (systemd1.SERVICE, "ExecMainCode"),
    (systemd1.SERVICE, "ExecMainStatus"),
    (systemd1.SERVICE, "ExecMainExitTimestamp"),
    (systemd1.SERVICE, "ControlGroup"),
    (systemd1.UNIT, "InvocationID"),
)

_NEVER = (2**64 - 1) / 1_000_000

# What state_of reads: all that is worth keeping of a unit's 300 properties.
READ = (
    *("LoadState", "ActiveState", "SubState", "Result", "MainPID", "NRestarts", "StateChangeTimestamp", "InvocationID"),
    *("StateChangeTimestampMonotonic", "ControlGroup", "Job"),
    *("ExecMainPID", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestamp"),
)

_AT_ONCE = 50

_EXITED, _KILLED, _DUMPED = 1, 2, 3  # CLD_EXITED, CLD_KILLED, CLD_DUMPED: waitid(2)


class UnitState(NamedTuple):
    """A loaded unit. ``since`` is when it came into this state, in seconds since the epoch."""

    unit: str
    load_state: str = "loaded"
    active_state: ActiveState = ActiveState.INACTIVE
    sub_state: str = "dead"
    result: str = "success"
    pid: int = 0
    restarts: int = 0
    since: float | None = None
    last_exit: Exit | None = None
    exit_pid: int = 0
    control_group: str = ""
    invocation_id: str = ""
    job: int = 0


def loaded(
    patterns: Sequence[str], *, detail: bool = False, brief: Sequence[tuple[str, str]] = BRIEF
) -> Conversation[dict[str, UnitState]]:
    """The loaded units that match, by name; services with their process and restarts, or what *brief* says.

    Failed ones always come in detail.
    """
    (reply,) = yield [systemd1.list_units(patterns)]
    rows = cast("list[Sequence[object]]", check_reply(reply)[0])
    wanted: list[tuple[Sequence[object], tuple[tuple[str, str], ...]]] = []
    for row in rows:
        service = str(row[0]).endswith(".service")
        idle = row[3] == ActiveState.INACTIVE and not detail
        failed = row[3] == ActiveState.FAILED or row[4] == "auto-restart"
        wanted.append((row, () if not service or idle else DETAIL if detail or failed else tuple(brief)))
    calls = [_get(str(row[6]), *property_) for row, properties in wanted for property_ in properties]
    replies = iter((yield calls) if calls else [])
    return {str(row[0]): _row_state(row, _read(properties, replies)) for row, properties in wanted}


def active(patterns: Sequence[str]) -> Conversation[list[str]]:
    """The units that match and are not inactive, failed ones included."""
    (reply,) = yield [systemd1.list_units(patterns)]
    rows = cast("list[Sequence[object]]", check_reply(reply)[0])
    return [str(row[0]) for row in rows if row[3] != ActiveState.INACTIVE]


def snapshot(patterns: Sequence[str]) -> Conversation[dict[str, dict[str, object]]]:
    """What ``state_of`` reads of the loaded units that match, each unit's at one moment."""
    (reply,) = yield [systemd1.list_units(patterns)]
    rows = cast("list[Sequence[object]]", check_reply(reply)[0])
    found: dict[str, dict[str, object]] = {}
    for start in range(0, len(rows), _AT_ONCE):  # a reply has 300 properties: a thousand of them are 100 MB
        some = rows[start : start + _AT_ONCE]
        replies = yield [systemd1.get_all(str(row[6])) for row in some]
        for row, reply in zip(some, replies, strict=True):
            if not isinstance(reply, PysupError):
                found[str(row[0])] = kept(cast("dict[str, object]", reply[0]))
    return found


def kept(values: Mapping[str, object]) -> dict[str, object]:
    """Those of a unit's properties that ``state_of`` reads."""
    return {name: values[name] for name in READ if name in values}


class Times(NamedTuple):
    """When a timer will elapse and when it did, in seconds since the epoch; None for never, or a timer that is off."""

    next: float | None = None
    last: float | None = None


def times(timers: Sequence[str]) -> Conversation[dict[str, Times]]:
    """Of timers for calendar events, by name."""
    properties = ("NextElapseUSecRealtime", "LastTriggerUSec")
    calls = [_get(systemd1.unit_path(unit), systemd1.TIMER, name) for unit in timers for name in properties]
    replies = iter((yield calls) if calls else [])
    found: dict[str, Times] = {}
    for unit in timers:
        values = [
            None if isinstance(reply, PysupError) else seconds(reply[0]) for reply in (next(replies), next(replies))
        ]
        found[unit] = Times(*(value if value and value < _NEVER else None for value in values))
    return found


def load_states(units: Iterable[str]) -> Conversation[dict[str, str]]:
    """Whether units are there: ``loaded``, ``not-found``, ``masked`` …; loads them from disk to find out."""
    asked = list(units)
    paths = yield [systemd1.load_unit(unit) for unit in asked]
    calls = [_get(str(check_reply(path)[0]), systemd1.UNIT, "LoadState") for path in paths]
    replies = yield calls
    return {unit: str(check_reply(reply)[0]) for unit, reply in zip(asked, replies, strict=True)}


def _get(path: str, interface: str, name: str) -> Call:
    return systemd1.get(path, interface, name)


def _read(properties: Iterable[tuple[str, str]], replies: Iterable[Reply]) -> dict[str, object]:
    """Values by name; a unit that went away between the two questions has none."""
    values: dict[str, object] = {}
    for (_, name), reply in zip(properties, replies, strict=False):
        if not isinstance(reply, PysupError):
            values[name] = reply[0]
    return values


def _row_state(row: Sequence[object], values: Mapping[str, object]) -> UnitState:
    """The state from a row of ListUnits, and properties that were asked for besides."""
    return state_of(
        str(row[0]), {**values, "LoadState": row[2], "ActiveState": row[3], "SubState": row[4], "Job": (row[7],)}
    )


def state_of(unit: str, values: Mapping[str, object]) -> UnitState:
    """The state of a unit from those of its properties that are there."""
    invocation, job = values.get("InvocationID"), values.get("Job")
    return UnitState(
        unit=unit,
        load_state=str(values.get("LoadState", "loaded")),
        active_state=active_state(str(values.get("ActiveState", "inactive"))),
        sub_state=str(values.get("SubState", "dead")),
        result=str(values.get("Result", "success")),
        pid=_int(values.get("MainPID")),
        restarts=_int(values.get("NRestarts")),
        since=seconds(values.get("StateChangeTimestamp")),
        last_exit=exit_of(values),
        exit_pid=_int(values.get("ExecMainPID")),
        control_group=str(values.get("ControlGroup", "")),
        invocation_id=bytes(invocation).hex() if isinstance(invocation, (bytes, bytearray, list)) else "",
        job=_int(job[0]) if isinstance(job, (tuple, list)) and job else 0,
    )


def active_state(text: str) -> ActiveState:
    """The state of that name; states that a newer systemd may have are ``unknown``."""
    try:
        return ActiveState(text)
    except ValueError:
        return ActiveState.UNKNOWN


def exit_of(values: Mapping[str, object]) -> Exit | None:
    """How the main process last ended, from the properties of a service."""
    code, status = _int(values.get("ExecMainCode")), _int(values.get("ExecMainStatus"))
    at = seconds(values.get("ExecMainExitTimestamp"))
    if code == _EXITED:
        return Exit(code=status, at=at)
    if code in (_KILLED, _DUMPED):
        return Exit(signal=status, dumped=code == _DUMPED, at=at)
    return None


def seconds(microseconds: object) -> float | None:
    """A time of systemd's as seconds since the epoch; None for never."""
    return _int(microseconds) / 1_000_000 or None


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
