"""(apps as they were listed, what systemd has pushed since, what was measured) -> apps as they are now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.unit import AppStatus, Instance, Usage

States = Mapping[InstanceName, UnitState]
Usages = Mapping[InstanceName, Usage]


def absorb(apps: Iterable[AppStatus], states: States, before: States) -> list[AppStatus]:
    """The apps with the newest states; *before* are those that they have. What has no state is not loaded: inactive."""

    def now(one: Instance) -> Instance:
        state = states.get(one.name)
        return one if state and state is before.get(one.name) else _in_state(one, state)

    return [_changed(app, [now(one) for one in app.instances]) for app in apps]


def measured(apps: Iterable[AppStatus], usages: Usages) -> list[AppStatus]:
    """The apps with what their instances use."""
    return [_changed(app, [_using(one, usages.get(one.name, Usage())) for one in app.instances]) for app in apps]


def _changed(app: AppStatus, instances: list[Instance]) -> AppStatus:
    is_same = all(new is old for new, old in zip(instances, app.instances, strict=True))
    return app if is_same else app._replace(instances=tuple(instances))


def _using(one: Instance, usage: Usage) -> Instance:
    return one if one.usage == usage else one._replace(usage=usage)


def _in_state(one: Instance, state: UnitState | None) -> Instance:
    state = state or UnitState(unit=one.name.unit, last_exit=one.last_exit)
    now = one._replace(
        active_state=state.active_state,
        sub_state=state.sub_state,
        result=state.result,
        pid=state.pid,
        since=state.since,
        restarts=state.restarts,
        last_exit=state.last_exit,
        invocation_id=state.invocation_id,
        control_group=state.control_group or one.control_group,  # systemd pushes it not with the rest
        usage=one.usage if state.pid == one.pid else Usage(),
    )
    return one if now == one else now
