"""Control groups of any hierarchy: what a unit uses, which limits hold, and which controllers there are."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from pysup.host import files, processes
from pysup.host.cgroups import parsing
from pysup.unit import Usage

UNIFIED = ""  # the one tree of v2, and what a hybrid machine has of it
NAMED = "name=systemd"

_TREES = "/sys/fs/cgroup"
_V1 = frozenset({"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids", NAMED})


class Hierarchy(StrEnum):
    """Which version of control groups systemd uses here: systemd's own words are legacy, hybrid, unified."""

    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


class InForce(NamedTuple):
    """The limits that the kernel holds a control group to; None is no limit, or not known.

    Bytes; ``cpu_quota`` in CPUs; weights on systemd's scale of 1 to 10000; ``cpus`` as the kernel lists them.
    """

    memory_max: int | None = None
    memory_high: int | None = None
    tasks_max: int | None = None
    cpu_quota: float | None = None
    cpu_weight: int | None = None
    io_weight: int | None = None
    cpus: str = ""


class Strained(NamedTuple):
    """The memory of a run: the most that it used, in bytes; its limit; how often the kernel killed for want of it."""

    peak: int | None = None
    limit: int | None = None
    kills: int = 0


class Cgroups(NamedTuple):
    """The trees that are mounted. ``mounts`` has, by controller, the directory and what of the tree it shows."""

    hierarchy: Hierarchy
    mounts: Mapping[str, tuple[str, str]]
    proc: str = processes.PROC

    def path(self, controller: str, control_group: str, file: str = "") -> str | None:
        """A file of a control group in a controller's tree; None if that tree is not mounted.

        A unit that waits for its next start has no control group, and so no files: without a name it would be the
        root, which holds the kernel's threads.
        """
        mount = self.mounts.get(controller)
        if mount is None or not control_group:
            return None
        directory, shown = mount
        if shown != "/":  # a container without a cgroup namespace sees only a part of the tree
            control_group = control_group.removeprefix(shown)
        return f"{directory}{control_group.rstrip('/')}/{file}"

    def usage(self, control_group: str) -> Usage:
        """What a unit uses now.

        Memory is that of the whole control group, with the page cache that its files fill: more than the sum of
        its processes. Where the unit has no memory accounting (a user's manager on cgroup v1, or accounting turned
        off) it *is* the sum of its processes; ``source`` tells which.
        """
        if not control_group:
            return Usage()
        memory = self._number("memory", "memory.current", "memory.usage_in_bytes", control_group)
        tasks = self._number("pids", "pids.current", "pids.current", control_group)
        cpu = self._cpu_seconds(control_group)
        if memory is not None and tasks is not None and cpu is not None:
            return Usage(memory=memory, cpu_seconds=cpu, tasks=tasks)
        counted = processes.total(self.pids(control_group), proc=self.proc)
        return Usage(
            memory=counted.memory if memory is None else memory,
            cpu_seconds=counted.cpu_seconds if cpu is None else cpu,
            tasks=counted.tasks if tasks is None else tasks,
            source=counted.source if memory is None else "cgroup",
        )

    def limits(self, control_group: str) -> InForce:
        """The limits that hold; those of slices above are not in it."""
        read = self._read_v2 if self.hierarchy is Hierarchy.V2 else self._read_v1
        return read(control_group)

    def hits(self, control_group: str) -> dict[str, int]:
        """How often a unit has come to its limits since its start, for those that the kernel counts.

        Keys: ``memory-high``, ``memory-max``, ``cpu``, ``tasks``.
        """
        is_v2 = self.hierarchy is Hierarchy.V2
        found: dict[str, int] = {}
        rows = (
            ("memory-high", UNIFIED, "memory.events", "high"),
            ("memory-max", UNIFIED, "memory.events", "max"),
            ("cpu", UNIFIED if is_v2 else "cpu", "cpu.stat", "nr_throttled"),
            ("tasks", UNIFIED if is_v2 else "pids", "pids.events", "max"),
        )
        for name, controller, file, key in rows:
            count = parsing.counters(self.text(controller, control_group, file)).get(key)
            if count is not None:
                found[name] = count
        failures = None if is_v2 else self._number("memory", "", "memory.failcnt", control_group)
        return found if failures is None else {**found, "memory-max": failures}

    def strained(self, control_group: str) -> Strained:
        """How a unit has fared with its memory since its start; ``peak`` is None where the kernel does not keep it."""
        is_v2 = self.hierarchy is Hierarchy.V2
        tree, file = (UNIFIED, "memory.events") if is_v2 else ("memory", "memory.oom_control")
        return Strained(
            peak=self._number("memory", "memory.peak", "memory.max_usage_in_bytes", control_group),
            limit=self.limits(control_group).memory_max,
            kills=parsing.counters(self.text(tree, control_group, file)).get("oom_kill", 0),
        )

    def held(self, control_group: str) -> int | None:
        """Bytes of memory that a unit holds, without the cache of files that the kernel can drop; None if not known."""
        is_v2 = self.hierarchy is Hierarchy.V2
        used = self._number("memory", "memory.current", "memory.usage_in_bytes", control_group)
        stat = parsing.counters(self.text(UNIFIED if is_v2 else "memory", control_group, "memory.stat"))
        caches = ("inactive_file", "active_file") if is_v2 else ("total_inactive_file", "total_active_file")
        return None if used is None else max(0, used - sum(stat.get(name, 0) for name in caches))

    def pids(self, control_group: str) -> tuple[int, ...]:
        """The processes of a unit, without those of control groups that it made below itself."""
        for tree in (UNIFIED, NAMED):
            text = self.text(tree, control_group, "cgroup.procs")
            if text:
                return tuple(pid for word in text.split() if (pid := parsing.number(word)))
        return ()

    def controllers(self, control_group: str = "/") -> frozenset[str]:
        """The controllers that a control group has."""
        if self.hierarchy is Hierarchy.V2:
            return frozenset(self.text(UNIFIED, control_group, "cgroup.controllers").split())
        return frozenset(
            name
            for name in self.mounts
            if name not in (UNIFIED, NAMED) and self.text(name, control_group, "cgroup.clone_children")
        )

    def delegated(self, uid: int) -> frozenset[str]:
        """The controllers that a user's own manager may use; systemd gives it none of v1."""
        if self.hierarchy is not Hierarchy.V2:
            return frozenset()
        return self.controllers(f"/user.slice/user-{uid}.slice/user@{uid}.service")

    def text_if_there(self, controller: str, control_group: str, file: str) -> str | None:
        """What a file of a control group holds; None if it is not there, or not for us."""
        path = self.path(controller, control_group, file)
        content = files.whole(path) if path else None
        return None if content is None else content.decode(errors="replace")

    def text(self, controller: str, control_group: str, file: str) -> str:
        """The same, with an empty text for a file that is not there."""
        return self.text_if_there(controller, control_group, file) or ""

    def _number(self, controller: str, v2: str, v1: str, control_group: str) -> int | None:
        tree, file = (UNIFIED, v2) if self.hierarchy is Hierarchy.V2 else (controller, v1)
        return parsing.number(self.text(tree, control_group, file))

    def _cpu_seconds(self, control_group: str) -> float | None:
        # Each group of the unified tree counts CPU, hybrid or not, whichever controllers it has: cgroup-v2.rst.
        usage = parsing.counters(self.text(UNIFIED, control_group, "cpu.stat")).get("usage_usec")
        if usage is not None:
            return usage / 1e6
        nanoseconds = parsing.number(self.text("cpuacct", control_group, "cpuacct.usage"))
        return None if nanoseconds is None else nanoseconds / 1e9

    def _read_v2(self, control_group: str) -> InForce:
        def text(file: str) -> str:
            return self.text(UNIFIED, control_group, file)

        quota, period = (*text("cpu.max").split(), "max", "100000")[:2]
        return InForce(
            memory_max=parsing.limit(text("memory.max")),
            memory_high=parsing.limit(text("memory.high")),
            tasks_max=parsing.limit(text("pids.max")),
            cpu_quota=parsing.share(quota, period),
            cpu_weight=parsing.limit(text("cpu.weight")),
            io_weight=parsing.limit(text("io.weight").partition("\n")[0].removeprefix("default ")),
            cpus=text("cpuset.cpus.effective").strip(),
        )

    def _read_v1(self, control_group: str) -> InForce:
        def text(controller: str, file: str) -> str:
            return self.text(controller, control_group, file)

        shares = parsing.limit(text("cpu", "cpu.shares"))
        return InForce(
            memory_max=parsing.limit(text("memory", "memory.limit_in_bytes")),
            tasks_max=parsing.limit(text("pids", "pids.max")),
            cpu_quota=parsing.share(text("cpu", "cpu.cfs_quota_us"), text("cpu", "cpu.cfs_period_us")),
            cpu_weight=None if shares is None else max(1, round(shares * 100 / 1024)),
            cpus=text("cpuset", "cpuset.effective_cpus").strip(),
        )  # blkio's weights are on no scale of systemd's: it turns IOWeight=200 into 181 there


def find(root: str = "") -> Cgroups:
    """The trees of the machine that is below *root*."""
    found: dict[str, tuple[str, str]] = {}
    hierarchy = Hierarchy.V1
    for line in (files.read(f"{root}/proc/self/mountinfo") or b"").decode(errors="replace").splitlines():
        if " - cgroup" not in line:
            continue
        before, _, after = line.partition(" - ")
        shown, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        mount = (root + point, shown)
        if kind == "cgroup2" and point in (_TREES, f"{_TREES}/unified"):
            hierarchy = Hierarchy.V2 if point == _TREES else Hierarchy.HYBRID
            found[UNIFIED] = mount
        elif kind == "cgroup" and point.startswith(_TREES):
            found.update((option, mount) for option in options.split(",") if option in _V1)
    return Cgroups(hierarchy=hierarchy, mounts=found, proc=f"{root}{processes.PROC}")


@cache
def here() -> Cgroups:
    """The trees of this machine, looked for once."""
    return find()


def hierarchy() -> Hierarchy:
    """Which version of control groups this machine has."""
    return here().hierarchy


def usage(control_group: str) -> Usage:
    """What a unit of this machine uses now: see :meth:`Cgroups.usage`."""
    return here().usage(control_group)


def limits(control_group: str) -> InForce:
    """The limits that hold for a unit of this machine: see :meth:`Cgroups.limits`."""
    return here().limits(control_group)
