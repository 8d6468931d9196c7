"""Samples of apps as metrics/ takes them, made up."""

from __future__ import annotations

from pysup.app import App
from pysup.host.cgroups.parsing import Pressure, Stall
from pysup.host.cgroups.reading import Cpu, Io, Memory, Pressures, Reading, Source, Tasks
from pysup.host.descriptors import Descriptors
from pysup.metrics.sampling import AppSample, InstanceSample, Queue, Snapshot
from pysup.names import InstanceName
from pysup.unit import ActiveState, AppStatus, Exit, Instance, Scope

MIB = 1 << 20

_PRESSURE = Pressure(some=Stall(0.5, 2.5), full=Stall(0.0, 0.0))

FULL = Reading(
    pids=(41,),
    cpu=Cpu(12.5, periods=9, throttled_periods=3, throttled_seconds=0.25, source=Source.V2),
    memory=Memory(4 * MIB, 8 * MIB, 32 * MIB, 64 * MIB, 48 * MIB, 4, 3, 1, source=Source.V2),
    tasks=Tasks(7, 100, 0, source=Source.V2),
    io=Io(1000, 2000, 3, 4, source=Source.V2),
    pressure=Pressures(cpu=_PRESSURE, memory=_PRESSURE, io=_PRESSURE),
    descriptors=Descriptors(most=12, limit=1024),
)


def snapshot(namespace: str = "shop", address: str = "8080") -> Snapshot:
    """An app with an instance that is up, and one that has failed."""
    name = "web"
    up = Instance(name=InstanceName(name, 0), scope=Scope.SYSTEM, active_state=ActiveState.ACTIVE, sub_state="running")
    failed = Instance(
        name=InstanceName(name, 1), scope=Scope.SYSTEM, active_state=ActiveState.FAILED, last_exit=Exit(code=3)
    )
    spec = App(name=name, command=("/bin/true",), namespace=namespace)
    status = AppStatus(name=name, scope=Scope.SYSTEM, spec=spec, instances=(up, failed), saved=True)
    instances = (InstanceSample(up, 2, 1.7e9, FULL), InstanceSample(failed, 16, None, Reading()))
    return Snapshot("system", (AppSample(status, instances, FULL, {address: Queue(5, 4096)}),), 0.125)
