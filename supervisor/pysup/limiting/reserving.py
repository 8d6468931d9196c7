"""Services of others, for which an app leaves CPUs free: kept on them while they run; their drop-ins are its files."""

from __future__ import annotations

from pysup import states
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import check
from pysup.bus.protocol import Bus
from pysup.store import Store

_CPUS = "AllowedCPUs"


async def settle(bus: Bus, store: Store, before: App | None, after: App | None) -> None:
    """Have services stay on what an app leaves free for them now, once its files are in place, or gone."""
    meant = {app.reserve_for for app in (before, after) if app and app.reserve_for}
    if not meant:
        return
    await bus.call(systemd1.reload())
    for unit in await bus.converse(states.active(sorted(meant))):  # those that do not run begin with their drop-in
        # What their files say now, by others or by us: systemd 257 does not apply it by itself.
        (cpus,) = check(await bus.call(systemd1.get(systemd1.unit_path(unit), systemd1.SERVICE, _CPUS)))
        await bus.call(systemd1.set_unit_properties(unit, [(_CPUS, "ay", cpus)]))
        store.drop_properties(unit, [_CPUS])
    await bus.call(systemd1.reload())
