"""All that the kernel counts of a control group, in one reading; what it does not tell is None, and no error.

Where control groups do not count, the group's processes are summed up: each part says where it is from.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pysup.host import descriptors, processes
from pysup.host.cgroups import parsing
from pysup.host.cgroups.parsing import Pressure
from pysup.host.cgroups.trees import UNIFIED, Cgroups, Hierarchy
from pysup.host.descriptors import Descriptors


class Source(StrEnum):
    """Who counted."""

    V2 = "cgroup v2"
    V1 = "cgroup v1"
    PROCESSES = "proc"
    NOBODY = ""


class Cpu(NamedTuple):
    """CPU time, and how often and for how long its quota had it wait; in seconds, since the start.

    Of processes, it is the time of those that live, and of children that they have waited for.
    """

    seconds: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_seconds: float | None = None
    source: Source = Source.NOBODY


class Memory(NamedTuple):
    """Bytes. ``current`` is with the page cache that its files fill; of processes, without.

    ``high`` and ``max`` are its own limits, ``limit`` is the lowest ``max`` of it and of the slices above it. The
    others count since the start: times that it was held back at ``high`` and at ``max``, and processes that
    were killed when memory ran out.
    """

    current: int | None = None
    peak: int | None = None
    high: int | None = None
    max: int | None = None
    limit: int | None = None
    high_events: int | None = None
    max_events: int | None = None
    oom_kills: int | None = None
    source: Source = Source.NOBODY


class Tasks(NamedTuple):
    """Processes and threads; ``refused`` is how often one more was, for the limit."""

    current: int | None = None
    max: int | None = None
    refused: int | None = None
    source: Source = Source.NOBODY


class Io(NamedTuple):
    """What went to and came from devices. Of processes, it is what those that live have, and bytes only."""

    read_bytes: int | None = None
    written_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None
    source: Source = Source.NOBODY


class Pressures(NamedTuple):
    """What its work waited for; always of the unified tree."""

    cpu: Pressure | None = None
    memory: Pressure | None = None
    io: Pressure | None = None


class Reading(NamedTuple):
    """A control group now; ``pids`` without those of groups below it."""

    pids: tuple[int, ...] = ()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    tasks: Tasks = Tasks()
    io: Io = Io()
    pressure: Pressures = Pressures()
    descriptors: Descriptors = Descriptors()


class Reader:
    """Reads any number of control groups in one round: what they have in common (slices) is read once."""

    def __init__(self, trees: Cgroups) -> None:
        self._trees = trees
        self._is_v2 = trees.hierarchy is Hierarchy.V2
        self._ceilings: dict[str, int | None] = {}

    def read(self, control_group: str) -> Reading:
        """All of it; a group that is gone is one of which nothing is known."""
        pids = self._trees.pids(control_group)
        cpu, memory, tasks = self.cpu(control_group), self.memory(control_group), self.tasks(control_group)
        if not (cpu.source and memory.source and tasks.source):
            cpu, memory, tasks = self._with_processes(pids, cpu, memory, tasks)
        io = self.io(control_group)
        return Reading(
            pids=pids,
            cpu=cpu,
            memory=memory,
            tasks=tasks,
            io=io if io.source else self._io_of(pids),
            pressure=self.pressure(control_group),
            descriptors=descriptors.count(pids, proc=self._trees.proc),
        )

    def cpu(self, control_group: str) -> Cpu:
        """By cpu.stat: each group of the unified tree has one, on hybrid machines, too."""
        trees = self._trees
        stat = parsing.counters(trees.text(UNIFIED, control_group, "cpu.stat"))
        usage = stat.get("usage_usec")
        if usage is None:
            nanoseconds = parsing.number(trees.text("cpuacct", control_group, "cpuacct.usage"))
            seconds, source = (None, Source.NOBODY) if nanoseconds is None else (nanoseconds / 1e9, Source.V1)
        else:
            seconds, source = usage / 1e6, Source.V2
        if not self._is_v2:
            stat = parsing.counters(trees.text("cpu", control_group, "cpu.stat"))
        throttled = stat.get("throttled_usec") if self._is_v2 else _scaled(stat.get("throttled_time"), 1000)
        return Cpu(
            seconds=seconds,
            periods=stat.get("nr_periods"),
            throttled_periods=stat.get("nr_throttled"),
            throttled_seconds=None if throttled is None else throttled / 1e6,
            source=source,
        )

    def memory(self, control_group: str) -> Memory:
        """As the memory controller counts it; nothing where the unit has none."""
        return self._memory_v2(control_group) if self._is_v2 else self._memory_v1(control_group)

    def tasks(self, control_group: str) -> Tasks:
        """As the pids controller counts them."""
        tree = UNIFIED if self._is_v2 else "pids"
        current = parsing.number(self._trees.text(tree, control_group, "pids.current"))
        if current is None:
            return Tasks()
        return Tasks(
            current=current,
            max=parsing.limit(self._trees.text(tree, control_group, "pids.max")),
            refused=parsing.counters(self._trees.text(tree, control_group, "pids.events")).get("max"),
            source=self._native,
        )

    def io(self, control_group: str) -> Io:
        """As the io controller counts it: where the unit has ``IOAccounting=``."""
        if self._is_v2:
            text = self._trees.text_if_there(UNIFIED, control_group, "io.stat")
            return Io() if text is None else Io(*parsing.io_stat(text), source=Source.V2)
        sizes = self._trees.text("blkio", control_group, "blkio.throttle.io_service_bytes_recursive")
        if not sizes:
            return Io()
        read, written = parsing.blkio(sizes)
        reads, writes = parsing.blkio(self._trees.text("blkio", control_group, "blkio.throttle.io_serviced_recursive"))
        return Io(read_bytes=read, written_bytes=written, reads=reads, writes=writes, source=Source.V1)

    def pressure(self, control_group: str) -> Pressures:
        """Nothing where the kernel was built or booted without it (``psi=0``), or has no unified tree."""
        return Pressures(
            *(
                parsing.pressure(self._trees.text(UNIFIED, control_group, f"{resource}.pressure"))
                for resource in Pressures._fields
            )
        )

    @property
    def _native(self) -> Source:
        return Source.V2 if self._is_v2 else Source.V1

    def _memory_v2(self, control_group: str) -> Memory:
        def text(file: str) -> str:
            return self._trees.text(UNIFIED, control_group, file)

        current = parsing.number(text("memory.current"))
        if current is None:
            return Memory()
        events = parsing.counters(text("memory.events"))
        own = parsing.limit(text("memory.max"))
        return Memory(
            current=current,
            peak=parsing.number(text("memory.peak")),
            high=parsing.limit(text("memory.high")),
            max=own,
            limit=_least(own, self._ceiling(_parent(control_group))),
            high_events=events.get("high"),
            max_events=events.get("max"),
            oom_kills=events.get("oom_kill"),
            source=Source.V2,
        )

    def _memory_v1(self, control_group: str) -> Memory:
        def text(file: str) -> str:
            return self._trees.text("memory", control_group, file)

        current = parsing.number(text("memory.usage_in_bytes"))
        if current is None:
            return Memory()
        own = parsing.limit(text("memory.limit_in_bytes"))
        return Memory(
            current=current,
            peak=parsing.number(text("memory.max_usage_in_bytes")),
            max=own,
            limit=_least(own, self._ceiling(_parent(control_group))),
            max_events=parsing.number(text("memory.failcnt")),
            oom_kills=parsing.counters(text("memory.oom_control")).get("oom_kill"),
            source=Source.V1,
        )

    def _ceiling(self, control_group: str) -> int | None:
        """The lowest memory limit of a group and those above it."""
        if not control_group:
            return None
        if control_group not in self._ceilings:
            tree, file = (UNIFIED, "memory.max") if self._is_v2 else ("memory", "memory.limit_in_bytes")
            own = parsing.limit(self._trees.text(tree, control_group, file))
            self._ceilings[control_group] = _least(own, self._ceiling(_parent(control_group)))
        return self._ceilings[control_group]

    def _with_processes(
        self, pids: tuple[int, ...], cpu: Cpu, memory: Memory, tasks: Tasks
    ) -> tuple[Cpu, Memory, Tasks]:
        """The same, with the sums of the processes where control groups count nothing."""
        counted = processes.total(pids, proc=self._trees.proc)
        if counted.memory is None:  # no process is left
            return cpu, memory, tasks
        by = Source.PROCESSES
        return (
            cpu if cpu.source else cpu._replace(seconds=counted.cpu_seconds, source=by),
            memory if memory.source else memory._replace(current=counted.memory, source=by),
            tasks if tasks.source else tasks._replace(current=counted.tasks, source=by),
        )

    def _io_of(self, pids: tuple[int, ...]) -> Io:
        sums = [found for pid in pids if (found := processes.transferred(pid, proc=self._trees.proc))]
        if not sums:
            return Io()
        read, written = map(sum, zip(*sums, strict=True))
        return Io(read_bytes=read, written_bytes=written, source=Source.PROCESSES)


def _parent(control_group: str) -> str:
    return control_group.rstrip("/").rpartition("/")[0]


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _scaled(value: int | None, divisor: int) -> int | None:
    return None if value is None else value // divisor
