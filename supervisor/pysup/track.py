"""(what was known of a unit, what systemd says now) -> what happened in between: pure, so no event can be lost unseen.

systemd sends the newest values, not every step: under load several steps come as one signal. The restart counter tells
how many there were, so each restart is reported, and before each an exit: of the last one systemd still knows how.
"""

from __future__ import annotations

from collections.abc import Iterator

from pysup.events import (
    NO_BRAKE,
    Brake,
    Exited,
    Failed,
    OfInstance,
    Reloading,
    Restarting,
    Started,
    Starting,
    Stopped,
    Stopping,
)
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.unit import ActiveState, Exit

_ENDED = (ActiveState.INACTIVE, ActiveState.FAILED)
_AFTER_THE_END = ("stop-post", "final-")  # SubStates of a service whose main process has ended


def happened(
    name: InstanceName, before: UnitState, now: UnitState, at: float, brake: Brake = NO_BRAKE
) -> Iterator[OfInstance]:
    """The events that lead from one state to the other, in order."""
    exited = now.last_exit is not None and now.last_exit != before.last_exit
    yield from _ends_and_restarts(name, before, now, at, brake)
    restarted = now.restarts > _counted_from(before, now)
    came_up = now.active_state.is_up and (
        not before.active_state.is_up or restarted or now.invocation_id != before.invocation_id
    )
    if (
        now.active_state is ActiveState.ACTIVATING
        and now.sub_state != "auto-restart"
        and now.pid not in (0, before.pid)
    ):
        yield Starting(name=name, at=at, pid=now.pid, invocation_id=now.invocation_id)
    if came_up:
        yield Started(name=name, at=now.since or at, pid=now.pid, invocation_id=now.invocation_id)
    if now.active_state is not before.active_state:
        yield from _arrived(name, before, now, at, exited=exited, limit=brake.limit)


def _counted_from(before: UnitState, now: UnitState) -> int:
    return before.restarts if now.restarts >= before.restarts else 0


def _ends_and_restarts(
    name: InstanceName, before: UnitState, now: UnitState, at: float, brake: Brake
) -> Iterator[OfInstance]:
    """Restarts, each behind the exit that it followed; and an exit that none has followed yet."""
    known = now.last_exit if now.last_exit is not None and now.last_exit != before.last_exit else None
    was_told = before.pid == 0 and (before.active_state not in _ENDED or (before.last_exit is not None and not known))
    numbers = range(_counted_from(before, now) + 1, now.restarts + 1)
    for number in numbers:
        if not was_told:
            is_last = number == numbers[-1]
            yield _exited(name, before, now, at, known if is_last else None)
            known = None if is_last else known
        was_told = False
        yield Restarting(
            name=name, at=at, invocation_id=now.invocation_id, number=number, limit=brake.limit, delay=brake.delay
        )
    if known or (not numbers and _was_replaced(before, now)):
        yield _exited(name, before, now, at, known)


def _exited(name: InstanceName, before: UnitState, now: UnitState, at: float, end: Exit | None) -> Exited:
    """The end of the main process; None for one of which systemd says no more than that it was."""
    if end is None:
        asked = before.active_state is ActiveState.DEACTIVATING
        return Exited(name=name, at=at, pid=before.pid, invocation_id=before.invocation_id, asked=asked)
    is_old = before.pid == now.exit_pid
    return Exited(
        name=name,
        at=end.at or at,
        pid=now.exit_pid,
        invocation_id=before.invocation_id if is_old else now.invocation_id,
        code=end.code,
        signal=end.signal,
        dumped=end.dumped,
        result=now.result if now.result != "success" else _usual_result(end, now),
        asked=_was_asked(before, now),
    )


def _was_replaced(before: UnitState, now: UnitState) -> bool:
    """Whether there is another process though no end was seen: it was restarted by hand, and quickly."""
    return 0 not in (before.pid, now.pid) and now.pid != before.pid and now.invocation_id != before.invocation_id


def _was_asked(before: UnitState, now: UnitState) -> bool:
    """Whether somebody had asked it to end; at a watchdog's or another timeout systemd stops it by itself."""
    if before.active_state is ActiveState.DEACTIVATING:
        return before.result == "success"
    return before.active_state.is_up and (before.job or now.job) != 0


def _usual_result(end: Exit, now: UnitState) -> str:
    """What systemd makes of such an end; it says ``success`` also when it has gone on since."""
    if end.code == 0 or now.active_state in _ENDED or now.active_state is ActiveState.DEACTIVATING:
        return "success"
    if end.signal is None:
        return "exit-code"
    return "core-dump" if end.dumped else "signal"


def _arrived(
    name: InstanceName, before: UnitState, now: UnitState, at: float, *, exited: bool, limit: int
) -> Iterator[OfInstance]:
    at = now.since or at
    invocation = now.invocation_id
    match now.active_state:
        case ActiveState.FAILED if not is_passing(now):
            gave_up = not exited and 0 < limit <= now.restarts  # 252 keeps the last exit as the result
            result = "start-limit-hit" if gave_up else now.result
            yield Failed(name=name, at=at, invocation_id=invocation, result=result)
        case ActiveState.DEACTIVATING if now.result == "success" and not (exited or _is_over(now)):
            yield Stopping(name=name, at=at, pid=now.pid, invocation_id=invocation)
        case ActiveState.INACTIVE if not is_passing(now) and before.active_state is not ActiveState.FAILED:
            yield Stopped(name=name, at=at, invocation_id=invocation)
        case ActiveState.RELOADING:
            yield Reloading(name=name, at=at, pid=now.pid, invocation_id=invocation)
        case _:
            pass


def _is_over(now: UnitState) -> bool:
    return now.sub_state.startswith(_AFTER_THE_END)


def is_passing(now: UnitState) -> bool:
    """Whether systemd itself says that it will go on from here: ``dead-before-auto-restart`` and its like (254)."""
    return now.sub_state.endswith("-before-auto-restart")


def goes_on(before: UnitState, now: UnitState) -> bool:
    """Whether an end that was seen before turns out to be a step of an automatic restart.

    systemd 252 passes through ``failed`` or ``inactive`` on its way to ``auto-restart``, and again on its way out; the
    second time a job is under way.
    """
    return now.sub_state == "auto-restart" or now.restarts > before.restarts or before.job != 0


def gone(name: InstanceName, before: UnitState, at: float) -> Iterator[OfInstance]:
    """What it means that systemd has unloaded the unit."""
    if before.active_state is not ActiveState.INACTIVE:
        yield from happened(
            name, before, before._replace(active_state=ActiveState.INACTIVE, sub_state="dead", since=at), at
        )
