"""Whether a start has come to something: readiness, survival, and why not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from pysup import names, states, status
from pysup.app import App, ReadyWhen
from pysup.bus.protocol import Bus
from pysup.errors import StartFailed
from pysup.explain import conclude
from pysup.host import ports, processes
from pysup.loopless import aside, sleep
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.store import Store
from pysup.unit import ActiveState, Exit, Instance, Scope

SURVIVAL = 0.5
BUSY = 3.0  # a program that is to fail may take so long until it does: a large one, or any on a busy machine
_PAUSE = 0.05
_SHUT = (ActiveState.INACTIVE, ActiveState.FAILED)
LOG_LINES = 10
_MANY = 20

_ENDED = "A server must stay in the foreground. What is meant to end is a job: pysup run -- COMMAND."


async def opened(bus: Bus, app: App, numbers: tuple[int, ...]) -> None:
    """Raise StartFailed if a socket of the app could not be opened, and say why."""
    if not app.listen:
        return
    owners = numbers if app.spread else (None,)
    wanted = {names.socket_unit(app.name, one.key, number): one for number in owners for one in app.listen}
    found = await bus.converse(states.loaded(list(wanted)))
    shut = [unit for unit in wanted if unit not in found or found[unit].active_state in _SHUT]
    if shut:
        first = wanted[shut[0]]
        why = await aside(lambda: ports.trouble(first.address))
        raise StartFailed(
            f"app {app.name!r} cannot listen on {first.address}: {why.what}",
            results=[(unit, "failed") for unit in shut],
            hint=why.remedy or f"See: journalctl -u {shut[0]}",
        )


async def survive(bus: Bus, store: Store, scope: Scope, app: App, units: Iterable[str], began: float) -> None:
    """Return once the instances in *units* are ready and, where systemd cannot tell, have lived half a second.

    Raises StartFailed for those that are not, with what they have written since the time *began*.
    """
    begun = {name.unit: name for name in map(names.parse_instance, units) if name}
    found = await _settled(bus, app, list(begun))
    for unit, state in found.items():
        if state.load_state == "bad-setting":
            raise await _refused(app, scope, begun[unit], began)
    failed = {
        begun[unit]
        for unit, state in found.items()
        if (not state.active_state.is_up and not (app.is_job and _is_over(state))) or state.restarts
    }
    if failed:
        instances = await _look(bus, store, scope, failed)
        raise await _failure(app, scope, instances, len(begun), began)


async def survive_alone(bus: Bus, scope: Scope, app: App, units: Mapping[str, InstanceName], began: float) -> None:
    """The same for units that are not among the app's instances; their lines are those of the names beside them."""
    found = await _settled(bus, app, list(units))
    failed = [unit for unit, state in found.items() if not state.active_state.is_up]
    if failed:
        found = await _states(bus, app, failed, detail=True)
        instances = [_alone(units[unit], scope, state) for unit, state in found.items()]
        raise await _failure(app, scope, instances, len(units), began)


async def _settled(bus: Bus, app: App, units: Sequence[str]) -> dict[str, UnitState]:
    """How units are, where systemd cannot tell whether they are ready when they have had half a second.

    Those whose main process has not come to rest by then are still about to start, and have up to three.
    """
    found = await _states(bus, app, units)
    if not found or app.ready.when is not ReadyWhen.EXEC or app.is_job:
        return found
    since = max(state.since or 0 for state in found.values())
    # Survival is a stretch of time, and nobody tells when a process comes to rest.
    await sleep(max(0.0, min(since + SURVIVAL - time.time(), SURVIVAL)))
    deadline = time.monotonic() + BUSY - SURVIVAL
    while any(state.pid and processes.is_busy(state.pid) for state in found.values()) and time.monotonic() < deadline:
        await sleep(_PAUSE)
    return await _states(bus, app, units)


async def _states(bus: Bus, app: App, units: Sequence[str], *, detail: bool = False) -> dict[str, UnitState]:
    # systemd compares each unit that it has with each pattern.
    patterns = units if len(units) < _MANY else status.patterns([app.name])
    found = await bus.converse(states.loaded(patterns, detail=detail)) if units else {}
    return {unit: found.get(unit) or UnitState(unit=unit) for unit in units}


def _alone(name: InstanceName, scope: Scope, state: UnitState) -> Instance:
    return Instance(
        name=name,
        scope=scope,
        active_state=state.active_state,
        sub_state=state.sub_state,
        result=state.result,
        last_exit=state.last_exit,
    )


def _is_over(job: UnitState) -> bool:
    """Whether a job is done, or at it."""
    return job.active_state in (ActiveState.INACTIVE, ActiveState.ACTIVATING) and job.result == "success"


async def stand_by(bus: Bus, scope: Scope, app: App, units: Iterable[str]) -> None:
    """Raise StartFailed if one of the app's companions among the *units* did not come up."""
    beside = set(names.companions(app.name)) & set(units)
    found = await bus.converse(states.loaded(sorted(beside))) if beside else {}
    for unit, state in found.items():
        if state.active_state is not ActiveState.ACTIVE:
            systemctl = "systemctl --user" if scope is Scope.USER else "systemctl"
            raise StartFailed(
                f"app {app.name!r} runs, but {unit} failed: {state.result}",
                results=[(unit, state.result)],
                hint=f"See why: {systemctl} status {unit}",
            )


async def _look(bus: Bus, store: Store, scope: Scope, begun: set[InstanceName]) -> list[Instance]:
    app = next(iter(begun)).app
    (found,) = await bus.converse(status.apps(store, scope, app, detail=True))
    return [one for one in found.instances if one.name in begun]


async def _failure(app: App, scope: Scope, failed: Sequence[Instance], begun: int, began: float) -> StartFailed:
    from pysup import logs  # what comes up needs none

    failed = await aside(lambda: [_as_it_ended(app, scope, one, began) for one in failed])
    first = failed[0]
    log = await aside(lambda: logs.last_lines(app, scope, first.name, LOG_LINES, since=began))
    why = conclude(first, app, log)
    code = "" if first.restarts else ", with exit code 0"  # systemd writes down failures only
    words = why.what if why else f"it ended by itself{code}"
    times = "once" if first.restarts == 1 else f"{first.restarts} times"
    again = f"; systemd has started it again {times}" if first.restarts else ""
    count = f"{len(failed)} of {begun} instances failed to start; " if begun > 1 else ""
    return StartFailed(
        f"app {app.name!r}: {count}{first.name}: {words}{again}",
        results=[(one.name.unit, one.result) for one in failed],
        log=log,
        hint=(why.remedy if why else _ENDED) or f"pysup logs {app.name} shows what it said.",
    )


async def _refused(app: App, scope: Scope, name: InstanceName, began: float) -> StartFailed:
    """That systemd does not take the unit as it is, which extra directives can bring about."""
    from pysup import logs  # as above

    said = await aside(lambda: logs.last_refusal(app, scope, name, since=began))
    return StartFailed(
        f"app {app.name!r}: {name}: systemd refuses its unit: {said or 'a bad setting'}",
        results=[(name.unit, "bad-setting")],
        hint=f"Look at what --unit and --service add to it: pysup cat {app.name}",
    )


def _as_it_ended(app: App, scope: Scope, one: Instance, began: float) -> Instance:
    """The instance as it was when it ended, if systemd is at it again: the exit may be forgotten, and the result is."""
    if not one.restarts:
        return one
    state = ActiveState.ACTIVATING if one.active_state.is_up else one.active_state
    if one.last_exit and one.result != "success":
        return one._replace(active_state=state)
    from pysup import logs  # as above

    end = one.last_exit or logs.last_exit(app, scope, one.name, since=began)
    result = logs.last_result(app, scope, one.name, since=began) or _result(end)
    return one._replace(active_state=ActiveState.ACTIVATING, last_exit=end, result=result)


def _result(end: Exit | None) -> str:
    """What systemd calls an end for which the journal has no other word: it is silent about a good one."""
    if end and end.signal is not None:
        return "core-dump" if end.dumped else "signal"
    return "exit-code" if end and end.code else "success"
