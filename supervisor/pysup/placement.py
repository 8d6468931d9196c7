"""How many instances an app has on a machine, and on which CPUs each of them runs."""

from __future__ import annotations

from itertools import zip_longest

from pysup.app import PER_CORE, App
from pysup.errors import SpecError
from pysup.machine import Machine


def place(app: App, machine: Machine) -> tuple[tuple[int, ...], ...]:
    """The CPUs that instances are pinned to in turn: each to one, or to a whole core; empty if they are not pinned."""
    if not app.is_per_core:
        return ()
    taken = reserved(app, machine)
    cores = [free for threads in machine.cores if (free := tuple(cpu for cpu in threads if cpu not in taken))]
    if not cores:
        counted = f"{len(machine.cores)} cores" if app.physical else f"{len(machine.cpus)} CPUs"
        kept = app.reserve if isinstance(app.reserve, int) else ",".join(map(str, app.reserve))
        raise SpecError(
            f"app {app.name!r}: reserve {kept} leaves none of the {counted}",
            hint="Reserve fewer, or do not pin instances to CPUs: without --per-core.",
        )
    if app.physical:
        return tuple(cores)
    if app.instances == PER_CORE:
        return tuple((cpu,) for cpu in sorted(cpu for threads in cores for cpu in threads))
    # A core each, as long as there are cores; then their second threads.
    return tuple((cpu,) for round_ in zip_longest(*cores) for cpu in round_ if cpu is not None)


def reserved(app: App, machine: Machine) -> tuple[int, ...]:
    """The CPUs that are left free: the threads of one core before those of the next."""
    if not isinstance(app.reserve, int):
        return app.reserve
    cores = sorted(machine.cores)
    units = cores if app.physical else [(cpu,) for threads in cores for cpu in threads]
    return tuple(cpu for unit in units[: app.reserve] for cpu in unit)


def count_instances(app: App, machine: Machine) -> int:
    """How many instances the app has on this machine."""
    return len(place(app, machine)) if app.instances == PER_CORE else int(app.instances)
