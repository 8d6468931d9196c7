"""(what was known of a unit, what systemd says now) -> what happened in between: pure, so no event can be lost unseen.

systemd sends the newest values, not every step: under load several steps come as one signal. The restart counter tells
how many there were, so each restart is reported, with the exits that are still known.
"""

from __future__ import annotations

from collections.abc import Iterator

from pysup.events import Event, Exited, Failed, Reloading, Restarting, Started, Starting, Stopped, Stopping
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.unit import ActiveState

_UP = (ActiveState.ACTIVE, ActiveState.RELOADING, ActiveState.REFRESHING)


def happened(name: InstanceName, before: UnitState, now: UnitState, at: float) -> Iterator[Event]:
    """The events that lead from one state to the other, in order."""
    exited = now.last_exit is not None and now.last_exit != before.last_exit
    if exited and now.last_exit is not None:
        end = now.last_exit
        yield Exited(name=name, at=end.at or at, pid=now.exit_pid, code=end.code, signal=end.signal, dumped=end.dumped)
    counted_from = before.restarts if now.restarts >= before.restarts else 0
    for number in range(counted_from + 1, now.restarts + 1):
        yield Restarting(name=name, at=at, number=number)
    restarted = now.restarts > counted_from
    came_up = now.active_state in _UP and (
        before.active_state not in _UP or restarted or now.invocation_id != before.invocation_id
    )
    if (
        now.active_state is ActiveState.ACTIVATING
        and now.sub_state != "auto-restart"
        and now.pid not in (0, before.pid)
    ):
        yield Starting(name=name, at=at, pid=now.pid)
    if came_up:
        yield Started(name=name, at=now.since or at, pid=now.pid, invocation_id=now.invocation_id)
    if now.active_state is not before.active_state:
        yield from _arrived(name, before.active_state, now, at)


def _arrived(name: InstanceName, before: ActiveState, now: UnitState, at: float) -> Iterator[Event]:
    match now.active_state:
        case ActiveState.FAILED if not is_passing(now):
            yield Failed(name=name, at=now.since or at, result=now.result)
        case ActiveState.DEACTIVATING:
            yield Stopping(name=name, at=now.since or at)
        case ActiveState.INACTIVE if not is_passing(now) and before is not ActiveState.FAILED:
            yield Stopped(name=name, at=now.since or at)
        case ActiveState.RELOADING:
            yield Reloading(name=name, at=now.since or at)
        case _:
            pass


def is_passing(now: UnitState) -> bool:
    """Whether systemd itself says that it will go on from here: ``dead-before-auto-restart`` and its like (254)."""
    return now.sub_state.endswith("-before-auto-restart")


def goes_on(before: UnitState, now: UnitState) -> bool:
    """Whether an end that was seen before turns out to be a step of an automatic restart.

    systemd 252 passes through ``failed`` or ``inactive`` on its way to ``auto-restart``, and again on its way out; the
    second time a job is under way.
    """
    return now.sub_state == "auto-restart" or now.restarts > before.restarts or before.job != 0


def gone(name: InstanceName, before: UnitState, at: float) -> Iterator[Event]:
    """What it means that systemd has unloaded the unit."""
    if before.active_state is not ActiveState.INACTIVE:
        yield from happened(
            name, before, before._replace(active_state=ActiveState.INACTIVE, sub_state="dead", since=at), at
        )
