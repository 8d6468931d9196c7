"""Limits of what runs, changed while it runs: control groups by systemd, processes by the kernel.

A changed unit file is not enough: systemd 252 applies it to what runs when it reads it, 257 does not (tried). So
systemd is told the properties; the drop-ins that it writes for them go again: they would outrank the app's own files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import check
from pysup.bus.protocol import Bus
from pysup.errors import BusError, SpecError
from pysup.host import cgroups, tuning
from pysup.limiting.groups import Group, Kind
from pysup.limits import Limits, table
from pysup.limits.table import BY_FIELD, ROWS, Row, property_of
from pysup.store import Store

Properties = list[tuple[str, str, object]]

_SETTERS: Mapping[str, Callable[[int, Any], bool]] = {
    "nofile": tuning.set_nofile,
    "cpu_affinity": tuning.set_affinity,
}
_OF_PROCESSES = ("nofile", "cpu_affinity", "numa_policy", "numa_nodes")


def properties(before: Limits, after: Limits, usual: Mapping[str, int]) -> Properties:
    """What systemd is to be told of a control group; *usual* is what it has for fields without a limit, if not none."""
    touched = {*before.given, *after.given}
    return [
        one
        for row in ROWS
        if row.is_of_groups and row.field in touched
        for one in _told(row, getattr(before, row.field), getattr(after, row.field), usual.get(row.field))
    ]


def _told(row: Row, before: Any, after: Any, usual: int | None) -> Properties:
    if row.kind is not table.Kind.RATES:
        return [property_of(row, usual if after is None else after)]
    gone = {entry.rpartition(" ")[0] for entry in before} - {entry.rpartition(" ")[0] for entry in after}
    # systemd adds devices to those that it has; none at all takes them away.
    return [property_of(row, entries) for entries in ([(), after] if gone and after else [after])]


async def change(bus: Bus, store: Store, groups: Iterable[Group], before: App, after: App) -> tuple[str, ...]:
    """Hold running groups of an app to what it says now. What of it has to wait for their next start."""
    notes: dict[str, None] = {}
    for group in groups:
        await set_group(bus, store, group, group.wanted(before), group.wanted(after))
        if group.kind is Kind.INSTANCE:
            tuned = await asyncio.to_thread(_tune, group, group.wanted(before), group.wanted(after))
            notes |= dict.fromkeys(tuned)
    return tuple(notes)


async def set_group(bus: Bus, store: Store, group: Group, before: Limits, after: Limits) -> None:
    """Hold one running group to *after*. Raises SpecError for what systemd refuses."""
    usual = await _usual(bus) if group.kind is Kind.INSTANCE and "tasks_max" in before.given else {}
    wanted = properties(before, after, usual)
    if not wanted:
        return
    try:
        await bus.call(systemd1.set_unit_properties(group.unit, wanted))
    except BusError as exc:
        raise SpecError(
            f"{group.name}: systemd does not take these limits: {exc}", hint="What it had holds on."
        ) from exc
    finally:
        directives = [row.directive for row in ROWS if row.bus_name in {name for name, _, _ in wanted}]
        await asyncio.to_thread(store.drop_properties, group.unit, directives)


async def _usual(bus: Bus) -> dict[str, int]:
    """What services have where their files say nothing."""
    (value,) = check(await bus.call(systemd1.manager_property("DefaultTasksMax")))
    return {"tasks_max": cast("int", value)}


def _tune(group: Group, before: Limits, after: Limits) -> Iterator[str]:
    """Change what processes have themselves; what has to wait, in the user's words."""
    changed = [name for name in _OF_PROCESSES if getattr(before, name) != getattr(after, name)]
    pids = cgroups.here().pids(group.control_group) if changed else ()
    for name in changed:
        value = getattr(after, name)
        setter = _SETTERS.get(name)
        done = [setter(pid, value) for pid in pids] if value and setter else [False]
        if not all(done):
            app = group.name.partition("@")[0]
            yield f"{BY_FIELD[name].directive} counts from the next start of each instance: pysup reload {app}"
