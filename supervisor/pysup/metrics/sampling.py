"""One look at apps for metrics: one question to systemd about all units, and the kernel's counters.

systemd tells of restarts for one unit at a time: while it does, control groups are read.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, cast

from pysup import local, names, status
from pysup.bus import systemd1
from pysup.bus.call import Conversation
from pysup.errors import PysupError
from pysup.host import cgroups, listeners, processes, users
from pysup.host.cgroups.reading import Reader, Reading, Source
from pysup.host.cgroups.trees import NAMED, UNIFIED
from pysup.names import InstanceName
from pysup.selector import ALL
from pysup.store import Store
from pysup.unit import ActiveState, AppStatus, Instance, Scope


class Queue(NamedTuple):
    """Connections that wait at an address to be accepted, and how many may."""

    waiting: int
    limit: int


class InstanceSample(NamedTuple):
    """An instance; ``started`` is when the oldest of its processes was, in seconds since the epoch."""

    status: Instance
    restarts: int
    started: float | None
    reading: Reading


class AppSample(NamedTuple):
    """An app, and the chosen ones of its instances; ``reading`` is of its slice, ``queues`` by address."""

    status: AppStatus
    instances: tuple[InstanceSample, ...]
    reading: Reading
    queues: Mapping[str, Queue]


class Snapshot(NamedTuple):
    """All of it. ``manager`` is ``system``, or the account whose manager it is; ``seconds`` is how long it took."""

    manager: str
    apps: tuple[AppSample, ...]
    seconds: float


def take(store: Store, scope: Scope, selectors: str | Sequence[str] = ALL) -> Snapshot:
    """Sample the chosen apps. Raises PysupError: where systemd cannot be asked, or for what is not there."""
    began = time.perf_counter()
    apps = local.ask(scope, status.apps(store, scope, selectors, brief=()))
    alive = [one for app in apps for one in app.instances if one.active_state is not ActiveState.INACTIVE]
    with ThreadPoolExecutor(max_workers=1) as pool:
        asking = pool.submit(local.ask, scope, _restarts(alive))
        slices = local.ask(scope, _slices(apps))
        places = local.ask(scope, _places(alive, slices))
        reader = Reader(cgroups.here())
        readings = {name: reader.read(place) for name, place in places.items()}
        whole = {app: _of_slice(reader.read(place)) for app, place in slices.items()}
        waiting = _queues(apps, places)
        restarts = asking.result()
    booted = processes.booted()
    samples = tuple(
        AppSample(
            app,
            tuple(_instance(one, readings.get(one.name, Reading()), restarts, booted) for one in app.instances),
            whole.get(app.name, Reading()),
            waiting.get(app.name, {}),
        )
        for app in apps
    )
    return Snapshot(_owner(scope), samples, time.perf_counter() - began)


def _instance(
    one: Instance, reading: Reading, restarts: Mapping[InstanceName, int], booted: int | None
) -> InstanceSample:
    started = [process.started for pid in reading.pids if (process := processes.read(pid))]
    since = None if booted is None or not started else booted + min(started)
    return InstanceSample(one, restarts.get(one.name, one.restarts), since, reading)


def _of_slice(reading: Reading) -> Reading:
    """On cgroup v1 a kill is counted in the group of who was killed, and in none above it."""
    if reading.memory.source is Source.V1:
        return reading._replace(memory=reading.memory._replace(oom_kills=None))
    return reading


def _owner(scope: Scope) -> str:
    return "system" if scope is Scope.SYSTEM else users.name(os.geteuid())


def _restarts(instances: Sequence[Instance]) -> Conversation[dict[InstanceName, int]]:
    """Automatic restarts by instance."""
    units = [systemd1.unit_path(one.name.unit) for one in instances]
    replies = (yield [systemd1.get(unit, systemd1.SERVICE, "NRestarts") for unit in units]) if units else []
    pairs = zip(instances, replies, strict=True)
    return {one.name: cast("int", reply[0]) for one, reply in pairs if not isinstance(reply, PysupError)}


def _slices(apps: Sequence[AppStatus]) -> Conversation[dict[str, str]]:
    """The control groups of the apps' slices, by app; none of those that have none now."""
    units = [systemd1.unit_path(names.slice_unit(app.name, app.namespace)) for app in apps]
    replies = (yield [systemd1.get(unit, systemd1.SLICE, "ControlGroup") for unit in units]) if units else []
    pairs = zip(apps, replies, strict=True)
    return {app.name: str(reply[0]) for app, reply in pairs if not isinstance(reply, PysupError) and reply[0]}


def _places(instances: Sequence[Instance], slices: Mapping[str, str]) -> Conversation[dict[InstanceName, str]]:
    """The control groups of instances: below their app's slice, unless somebody has put them elsewhere."""
    usual = {one.name: f"{slices.get(one.name.app, '')}/{one.name.unit}" for one in instances}
    found = {name: place for name, place in usual.items() if _exists(place)}
    others = [name for name in usual if name not in found]
    calls = [systemd1.get(systemd1.unit_path(name.unit), systemd1.SERVICE, "ControlGroup") for name in others]
    replies = (yield calls) if calls else []
    for name, reply in zip(others, replies, strict=True):
        if not isinstance(reply, PysupError) and reply[0]:
            found[name] = str(reply[0])
    return found


def _exists(control_group: str) -> bool:
    trees = cgroups.here()
    return any(os.path.isdir(path) for tree in (UNIFIED, NAMED) if (path := trees.path(tree, control_group)))  # noqa: PTH112 (asked a thousand times)


def _queues(apps: Sequence[AppStatus], places: Mapping[InstanceName, str]) -> dict[str, dict[str, Queue]]:
    """What waits at each app's addresses: those that systemd holds for it, and those that its instances opened."""
    waiting: dict[str, dict[str, Queue]] = {}
    listening = listeners.listeners()
    held = {
        meant: (app.name, listen.address)
        for app in apps
        if app.spec and any(one.state != "inactive" for one in app.instances)  # else it is somebody else's now
        for listen in app.spec.listen
        for meant in _meant(listen.address)
    }
    groups = {_inode(place): name for name, place in places.items()} if any(one.cgroup for one in listening) else {}
    for one in listening:
        opener = groups.get(one.cgroup) if one.cgroup else None
        owner = held.get(one.address) or ((opener.app, one.address) if opener else None)
        if owner:
            app, address = owner
            before = waiting.setdefault(app, {}).get(address, Queue(0, 0))
            waiting[app][address] = Queue(before.waiting + one.waiting, before.limit + one.limit)
    return waiting


def _meant(address: str) -> Iterator[str]:
    """How the kernel writes an address that an app listens on; a port alone is one of IPv6, or of IPv4 without it."""
    if address.startswith("/"):
        yield address
        return
    host, _, port = address.rpartition(":")
    if not host:
        yield from (f"[::]:{port}", f"0.0.0.0:{port}")
        return
    kind = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with contextlib.suppress(OSError):  # no address after all: nobody listens there
        plain = socket.inet_ntop(kind, socket.inet_pton(kind, host.strip("[]")))
        yield f"[{plain}]:{port}" if kind == socket.AF_INET6 else f"{plain}:{port}"


def _inode(control_group: str) -> int:
    try:
        return os.stat(cgroups.here().path(UNIFIED, control_group) or "").st_ino  # noqa: PTH116 (asked a thousand times)
    except OSError:
        return 0
