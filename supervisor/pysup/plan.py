"""(what is wanted, what is there) -> what to do: pure decisions, carried out by the manager."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pysup import companions, names, sockets
from pysup.app import App
from pysup.errors import Conflict
from pysup.selector import Chosen
from pysup.states import UnitState
from pysup.store import Stored
from pysup.unit import ActiveState

_IDLE = (ActiveState.INACTIVE, ActiveState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in their order. ``start`` is the target that wants all instances, or just some of them.

    ``begun`` are the instances that will have been started anew. One job for the target starts any number of them: with
    one for each, systemd asks the bus for more than it gives to one connection (seen at 1,000).
    """

    write: bool
    reload: bool
    stop: tuple[str, ...]
    reset: tuple[str, ...]
    restart: tuple[str, ...]
    start: tuple[str, ...]
    begun: tuple[str, ...]


def begin(app: App, found: Stored | None, units: Mapping[str, UnitState], *, force: bool) -> None:
    """Raise Conflict if the app runs already as something else, and is not to be replaced."""
    if found is None or found.app == app or force:
        return
    running = [state for state in units.values() if state.active_state not in _IDLE]
    if running:
        raise Conflict(
            f"app {app.name!r} runs already, with other settings",
            hint=f"Change it with: pysup start --force …, or take another --name; pysup stop {app.name} ends it.",
        )


def converge(
    app: App,
    numbers: tuple[int, ...],
    found: Stored | None,
    units: Mapping[str, UnitState],
    *,
    restart: bool = False,
) -> Plan:
    """What makes *numbers* of the app run, as *app* says, and no others.

    ``restart`` starts those anew that run; a changed app is read again by systemd only where it knows the old one, or
    one of that name which is gone but for a process.
    """
    changed = found is None or found.app != app or found.numbers != numbers
    wanted = {names.instance_unit(app.name, number) for number in numbers}
    known = {unit: state for unit, state in units.items() if _is_of(app.name, unit)}
    running = {unit for unit, state in known.items() if state.active_state not in _IDLE}
    return Plan(
        write=changed,
        reload=changed and bool(units),
        stop=_in_order(running - wanted),
        reset=_in_order({unit for unit in known if unit not in running or restart}),
        restart=_in_order(running & wanted) if restart else (),
        start=(names.target_unit(app.name),),
        begun=_in_order(wanted if restart else wanted - running),
    )


def await_connections(steps: Plan, app: App, numbers: tuple[int, ...], units: Mapping[str, UnitState]) -> Plan:
    """The plan for an app that the first connection starts: nothing is, if nothing of it runs, but its sockets."""
    states = {unit: state.active_state for unit, state in units.items() if _is_of(app.name, unit)}
    is_up = any(state not in _IDLE for state in states.values())
    coming = {unit for unit in states if states[unit] is ActiveState.ACTIVATING} - set(steps.stop)
    begun = _in_order({*steps.begun, *coming}) if is_up else ()
    listening = sockets.all_units(app, numbers)
    return replace(
        steps,
        reset=(*steps.reset, *listening),
        start=(*steps.start, *listening, *(unit for unit in begun if unit not in steps.restart)),
        begun=begun,
    )


def closes_first(before: App, app: App) -> str:
    """Why the sockets of *app* cannot be opened beside those that it has now; empty if they can."""
    if before.spread != app.spread and before.listen and app.listen:
        return "a port is either shared or each instance's own"
    kept = {one.key: one for one in before.listen if one in app.listen}
    for new in app.listen:
        clash = next((old for old in before.listen if old.key not in kept and old.excludes(new)), None)
        if new.key not in kept and clash:
            return f"{new.address} cannot be open beside {clash.address}"
    return ""


def change_sockets(steps: Plan, before: App, app: App, numbers: tuple[int, ...], listening: Collection[str]) -> Plan:
    """The plan with the stops of sockets that are no longer wanted, or wanted otherwise.

    A socket cannot change under running instances: it takes them down with it, and comes back with them. Nor can it be
    opened while that runs which a connection starts.
    """
    texts, wanted = sockets.files(before, numbers), sockets.files(app, numbers)
    wake = names.wake_unit(app.name)
    files = {unit: names.socket_file(unit) for unit in listening if unit != wake}
    changed = {unit for unit, file in files.items() if file not in wanted or wanted[file] != texts.get(file)}
    woken = {wake} & {*listening} if changed else set()
    return replace(steps, stop=(*sorted(changed | woken), *steps.stop))


def change_companions(
    steps: Plan, before: Mapping[str, str], wanted: Mapping[str, str], up: Collection[str], *, is_known: bool
) -> Plan:
    """The plan with the companions: those that are *up* and no longer wanted so stop, and the target starts the others.

    *before* and *wanted* are their texts; *is_known* says whether systemd has any of them loaded.
    """
    made_from = {unit: names.companion_file(unit) for unit in up}
    changed = sorted(unit for unit, file in made_from.items() if wanted.get(file) != before.get(file))
    begun = [unit for unit in companions.wanted(wanted) if unit not in up or unit in changed]
    reload = steps.reload or (steps.write and is_known)
    return replace(steps, reload=reload, stop=(*changed, *steps.stop), begun=(*steps.begun, *begun))


def wait_for_time(steps: Plan, app: App, *, run: bool) -> Plan:
    """The plan for a job: it is begun by its timer, unless it is to *run* now."""
    units = {names.instance_unit(app.name, 0)}
    if run:
        return replace(steps, restart=(), start=(*steps.start, *sorted(units)))
    return replace(steps, restart=(), begun=tuple(unit for unit in steps.begun if unit not in units))


def narrow(steps: Plan, only: Chosen) -> Plan:
    """The part of a plan that touches just some instances."""
    units = {names.instance_unit(only.app, number) for number in only.numbers}

    def kept(of: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unit for unit in of if unit in units)

    begun = kept(steps.begun)
    restart = kept(steps.restart)
    start = tuple(unit for unit in begun if unit not in restart)
    return replace(steps, stop=(), reset=kept(steps.reset), restart=restart, start=start, begun=begun)


def _is_of(app: str, unit: str) -> bool:
    name = names.parse_instance(unit)
    return name is not None and name.app == app


def _in_order(units: set[str]) -> tuple[str, ...]:
    return tuple(sorted(units, key=lambda unit: (len(unit), unit)))
