"""Unit files, systemd and the kernel put together: how apps are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pysup import names, sockets, states
from pysup.app import App
from pysup.bus.call import Conversation
from pysup.host import cgroups, files, processes
from pysup.names import InstanceName
from pysup.selector import ALL, Chosen, Known, select
from pysup.states import Times, UnitState
from pysup.store import Store, Stored
from pysup.unit import ActiveState, AppStatus, Instance, Scope, Usage
from pysup.unitfile import parse


def known(stored: Mapping[str, Stored]) -> dict[str, Known]:
    """The apps as selectors see them."""
    return {name: Known(app.numbers, app.app.namespace if app.app else "") for name, app in stored.items()}


def read(store: Store) -> dict[str, Stored]:
    """All apps of a store by name."""
    found = {name: store.find(name) for name in store.names()}
    return {name: stored for name, stored in found.items() if stored}


def _named(store: Store, selectors: str | Sequence[str]) -> dict[str, Stored]:
    """The one app of that name, if it is all that is asked for: with 200, the others' files cost 150 ms."""
    name = selectors if isinstance(selectors, str) else selectors[0] if len(selectors) == 1 else ""
    found = store.find(name) if name != "all" and names.NAME.fullmatch(name) else None
    return {name: found} if found else {}


def patterns(apps: Sequence[str]) -> list[str]:
    """What matches the units of these apps' instances."""
    return [names.instance_pattern(app) for app in apps]


def wakes(app: App) -> bool:
    """Whether the next connection may have to start it."""
    return app.on_demand or bool(app.idle_timeout)


def apps(
    store: Store,
    scope: Scope,
    selectors: str | Sequence[str],
    *,
    detail: bool = False,
    brief: Sequence[tuple[str, str]] = states.BRIEF,
) -> Conversation[list[AppStatus]]:
    """The chosen apps, with the chosen ones of their instances.

    Without MainPID among the properties in *brief*, nothing is read of those that run: neither use nor user.
    """
    stored = _named(store, selectors) or read(store)
    chosen = select(selectors, known(stored))
    wanted = [one.app for one in chosen]
    asked = states.OURS if selectors == ALL else [*patterns(wanted), *map(names.socket_pattern, wanted)]
    units = (yield from states.loaded(asked, detail=detail, brief=brief)) if chosen else {}
    return (yield from _assembled(stored, chosen, units, scope))


def everything(store: Store, scope: Scope, units: dict[str, UnitState]) -> Conversation[list[AppStatus]]:
    """All apps, for who has asked systemd already: *units* are those that are loaded of ``states.OURS``."""
    stored = read(store)
    return (yield from _assembled(stored, select(ALL, known(stored)), units, scope))


def _assembled(
    stored: Mapping[str, Stored], chosen: Sequence[Chosen], units: dict[str, UnitState], scope: Scope
) -> Conversation[list[AppStatus]]:
    times = yield from _times([stored[one.app] for one in chosen], units)
    return [_chosen(assemble(stored[one.app], units, scope, times.get(one.app)), one) for one in chosen]


def _times(apps: Sequence[Stored], units: dict[str, UnitState]) -> Conversation[Mapping[str, Times]]:
    """The times of those that have a schedule; what is missing of the *units* that are jobs, is put in."""
    scheduled = [one.name for one in apps if one.app and one.app.schedule]
    if not scheduled:
        return {}
    jobs = [names.instance_unit(one.name, 0) for one in apps if one.app and one.app.is_job]
    if jobs:
        units |= yield from states.loaded(jobs, detail=True)
    timers = {names.companion(app, "schedule.timer"): app for app in scheduled}
    times = yield from states.times(list(timers))
    return {timers[timer]: found for timer, found in times.items()}


def assemble(stored: Stored, units: Mapping[str, UnitState], scope: Scope, times: Times | None = None) -> AppStatus:
    """An app with all its instances, and those that run though the app no longer wants them."""
    running = {
        name.number
        for name, unit in ((names.parse_instance(unit), state) for unit, state in units.items())
        if name and name.app == stored.name and unit.active_state is not ActiveState.INACTIVE
    }
    numbers = sorted({*stored.numbers, *running})
    times = times or Times()
    waits = times.next is not None and stored.app is not None and stored.app.is_job
    instances = (_instance(stored, InstanceName(stored.name, number), units, scope, waits=waits) for number in numbers)
    return AppStatus(
        name=stored.name,
        scope=scope,
        spec=stored.app,
        instances=tuple(instances),
        saved=stored.saved,
        problem=str(stored.problem or ""),
        next_run=times.next,
        last_run=times.last,
    )


def _chosen(status: AppStatus, chosen: Chosen) -> AppStatus:
    if chosen.whole:
        return status
    return status._replace(instances=tuple(one for one in status.instances if one.name.number in chosen.numbers))


def _instance(
    stored: Stored, name: InstanceName, units: Mapping[str, UnitState], scope: Scope, *, waits: bool
) -> Instance:
    unit = units.get(name.unit) or UnitState(unit=name.unit)
    group = unit.control_group or (control_group(unit.pid, name.unit) if unit.pid else "")
    uid = processes.uid_of(unit.pid) if unit.pid else None
    app = stored.app
    return Instance(
        name=name,
        scope=scope,
        active_state=unit.active_state,
        sub_state=unit.sub_state,
        result=unit.result,
        pid=unit.pid,
        since=unit.since,
        restarts=unit.restarts,
        last_exit=unit.last_exit,
        cpus=_cpus(stored, name) if app and app.is_per_core else (),
        port=app.port + name.number if app and app.port is not None else None,
        user=processes.user_name(uid) if uid is not None else app.user if app else "",
        usage=cgroups.usage(group) if group else Usage(),
        listens=app is not None and _listens(app, name.number, units),
        invocation_id=unit.invocation_id,
        control_group=group,
        waits=waits,
    )


def _listens(app: App, number: int, units: Mapping[str, UnitState]) -> bool:
    """Whether a connection would start this instance."""
    found = [units.get(unit) for unit in sockets.units(app, number)] if wakes(app) else []
    return any(unit and unit.active_state is ActiveState.ACTIVE for unit in found)


def control_group(pid: int, unit: str) -> str:
    """The control group that systemd has put a process of a unit in; empty when it is gone, or not there yet.

    A process begins in the group of the manager that started it, for a moment.
    """
    text = (files.read(f"/proc/{pid}/cgroup") or b"").decode(errors="surrogateescape")
    found = ""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "name=systemd":
            found = path
            break
        if not controllers:
            found = path
    return found if unit in found.split("/") else ""


def _cpus(stored: Stored, name: InstanceName) -> tuple[int, ...]:
    text = (files.read(f"{stored.directory}/{name.unit}.d/instance.conf") or b"").decode()
    lists = [line.value for line in parse(text) if line.key == "CPUAffinity"]
    return tuple(int(cpu) for cpu in " ".join(lists).split() if cpu.isdigit())
