"""Services of others, for which an app leaves CPUs free: kept on them while they run; their drop-ins are its files."""

from __future__ import annotations

from pysup import states
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.protocol import Bus
from pysup.limits.table import BY_FIELD, property_of
from pysup.machine import Machine
from pysup.placement import reserved
from pysup.store import Store

_CPUS = BY_FIELD["cpus"]


async def settle(bus: Bus, store: Store, machine: Machine, before: App | None, after: App | None) -> None:
    """Have services stay on what an app leaves free for them now, once its files are in place, or gone."""
    cpus: dict[str, tuple[int, ...]] = {}
    if before and before.reserve_for:
        cpus[before.reserve_for] = ()
    if after and after.reserve_for:
        cpus[after.reserve_for] = reserved(after, machine)
    if not cpus:
        return
    running = await bus.converse(states.active(list(cpus)))
    for unit in running:  # those that do not run begin with their drop-in
        await bus.call(systemd1.set_unit_properties(unit, [property_of(_CPUS, cpus[unit])]))
        store.drop_properties(unit, [_CPUS.directive])
    await bus.call(systemd1.reload())
