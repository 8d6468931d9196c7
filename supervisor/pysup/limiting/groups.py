"""The control groups in which an app runs, and what each is to be held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pysup import companions, names, states, status
from pysup.app import App
from pysup.bus.call import Conversation
from pysup.limits import Limits
from pysup.states import UnitState
from pysup.unit import ActiveState

_IDLE = (ActiveState.INACTIVE, ActiveState.FAILED)


class Kind(StrEnum):
    """Whose control group it is."""

    INSTANCE = "instance"
    APP = "app"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A control group that is there. ``name`` is ``web@0``, ``web`` or ``shop/``; ``since`` in seconds of the epoch."""

    name: str
    kind: Kind
    unit: str
    control_group: str
    since: float | None = None

    def wanted(self, app: App) -> Limits:
        """What *app* says of it."""
        instance = names.parse_instance(self.unit)
        return companions.limits(app, instance.number) if instance else app.total


def running(app: App) -> Conversation[list[Group]]:
    """The app's slice and its instances, as far as they are there."""
    units = yield from states.loaded(status.patterns([app.name]))
    return of_app(app, units)


def of_app(app: App, units: Mapping[str, UnitState]) -> list[Group]:
    """The same, of units that are known: the app first, then its instances in order."""
    instances = [
        Group(
            name=str(name),
            kind=Kind.INSTANCE,
            unit=unit,
            control_group=state.control_group or (status.control_group(state.pid, unit) if state.pid else ""),
            since=state.since,
        )
        for unit, state in units.items()
        if (name := names.parse_instance(unit)) and name.app == app.name and state.active_state not in _IDLE
    ]
    instances.sort(key=lambda group: (len(group.name), group.name))
    inside = next((group.control_group for group in instances if group.control_group), "")
    if not inside:
        return instances
    whole = Group(
        name=app.name,
        kind=Kind.APP,
        unit=names.slice_unit(app.name, app.namespace),
        control_group=inside.rpartition("/")[0],
        since=min((group.since for group in instances if group.since), default=None),
    )
    return [whole, *instances]


def of_namespace(name: str, member: Group) -> Group:
    """The namespace around an app, given the app's group."""
    return Group(
        name=f"{name}/",
        kind=Kind.NAMESPACE,
        unit=names.slice_unit(name),
        control_group=member.control_group.rpartition("/")[0],
        since=member.since,
    )
