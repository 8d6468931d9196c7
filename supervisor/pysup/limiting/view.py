"""How near apps and instances come to their limits: limit, use, peak, pressure, what was hit; found out for showing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pysup import preflight, states, status
from pysup.app import App
from pysup.bus.call import Conversation
from pysup.host import cgroups
from pysup.host.cgroups import InForce
from pysup.host.cgroups.reading import Reader, Reading
from pysup.host.features import Feature
from pysup.limiting import namespaces
from pysup.limiting.groups import Group, Kind, of_app, of_namespace
from pysup.limits import Limits
from pysup.limits.table import BY_FIELD
from pysup.selector import Chosen, select
from pysup.store import Store, Stored
from pysup.unit import Scope

_PAGE = 2**16
"""The kernel rounds limits of memory down to pages, of 64 kB at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A control group: what it is to be held to (``wanted``), what the kernel holds it to, and what it counts.

    ``unmet`` are the limits that are not in force as wanted, though they could be.
    """

    group: Group
    wanted: Limits
    in_force: InForce
    reading: Reading
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsView:
    """An app, or a namespace (with a ``/`` behind its name): its limits, and the groups of it that run.

    ``each`` are the limits of each instance, ``single`` those that the chosen ones have of their own, by number,
    ``total`` those of all together; ``memory_restart`` is where an instance is restarted, in bytes. ``notes`` say what
    of them does nothing here, or has to wait.
    """

    name: str
    each: Limits
    total: Limits
    single: Mapping[int, Limits] = field(default_factory=dict)
    memory_restart: int | None = None
    groups: tuple[GroupView, ...] = ()
    notes: tuple[str, ...] = ()


def apps(store: Store, scope: Scope, selectors: str | Sequence[str]) -> Conversation[list[LimitsView]]:
    """The chosen apps, with the chosen ones of their instances."""
    stored = status.read(store)
    chosen = select(selectors, status.known(stored))
    units = (yield from states.loaded(status.patterns([one.app for one in chosen]))) if chosen else {}
    views = []
    for one in chosen:
        app = stored[one.app].require()
        vain = yield from preflight.in_vain(app, scope)
        meant = [group for group in of_app(app, units) if _is_meant(group, one)]
        single = {number: own for number, own in app.instance_limits.items() if one.whole or number in one.numbers}
        view = _of_app(store, app, meant, vain, preflight.said(vain, scope))
        views.append(replace(view, single=single))
    return views


def namespace(store: Store, scope: Scope, name: str) -> Conversation[LimitsView]:
    """A namespace. Raises NotFound if no app is in it."""
    members = namespaces.members(store, name)
    limits = namespaces.read(store, name)
    units = yield from states.loaded(status.patterns([one.name for one in members]))
    vain = yield from preflight.limits_in_vain(limits, scope)
    groups = namespaces.running(name, members, units)
    wanted = [(group, limits if group.kind is Kind.NAMESPACE else _total(members, group)) for group in groups]
    return LimitsView(
        name=f"{name}/", each=Limits(), total=limits, groups=_views(wanted, vain), notes=preflight.said(vain, scope)
    )


def _of_app(
    store: Store, app: App, groups: Sequence[Group], vain: Collection[Feature], notes: tuple[str, ...]
) -> LimitsView:
    wanted = [(group, group.wanted(app)) for group in groups]
    if app.namespace and groups and groups[0].kind is Kind.APP:
        around = of_namespace(app.namespace, groups[0])
        wanted.insert(0, (around, namespaces.read(store, app.namespace)))
    return LimitsView(
        name=app.name,
        each=app.limits,
        total=app.total,
        memory_restart=app.memory_restart,
        groups=_views(wanted, vain),
        notes=notes,
    )


def _total(members: Iterable[Stored], group: Group) -> Limits:
    return next(one.app.total for one in members if one.app and one.name == group.name)


def _views(groups: Iterable[tuple[Group, Limits]], vain: Collection[Feature]) -> tuple[GroupView, ...]:
    trees = cgroups.here()
    reader = Reader(trees)
    lost = {feature.directive for feature in vain}
    untold = lost if trees.hierarchy is cgroups.Hierarchy.V2 else {*lost, "IOWeight"}
    views = []
    for group, wanted in groups:
        in_force = trees.limits(group.control_group)
        views.append(
            GroupView(
                group=group,
                wanted=wanted,
                in_force=in_force,
                reading=reader.read(group.control_group),
                unmet=tuple(_unmet(wanted, in_force, untold)) if group.control_group else (),
            )
        )
    return tuple(views)


def _unmet(wanted: Limits, in_force: InForce, untold: Collection[str]) -> Iterator[str]:
    for name in wanted.given:
        told = hasattr(in_force, name) and BY_FIELD[name].directive not in untold
        if told and not _is_met(getattr(wanted, name), getattr(in_force, name)):
            yield name


def _is_meant(group: Group, chosen: Chosen) -> bool:
    return chosen.whole or group.name in {f"{chosen.app}@{number}" for number in chosen.numbers}


def _is_met(wanted: object, found: object) -> bool:
    if isinstance(wanted, tuple):  # which CPUs a group has is the business of those above, too
        return True
    if not isinstance(wanted, (int, float)) or not isinstance(found, (int, float)):
        return False
    return abs(wanted - found) <= (_PAGE if wanted > _PAGE else 0.02)
