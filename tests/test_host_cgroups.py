"""pysup.host.cgroups reads v1, hybrid and v2 trees; cpus and processes read /sys and /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysup.host import cpus, processes
from pysup.host.cgroups import Hierarchy, InForce
from pysup.unit import Usage
from trees import CPU, MEMORY, NAMED, PIDS, UNIFIED, UNIT, V2, Machine

HERTZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- which hierarchy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mounts", "hierarchy"),
    [
        ([V2], Hierarchy.V2),
        ([MEMORY, NAMED, UNIFIED], Hierarchy.HYBRID),
        ([MEMORY, NAMED], Hierarchy.V1),
        ([MEMORY, NAMED, UNIFIED.replace("/sys/fs/cgroup/unified", "/run/cilium/cgroupv2")], Hierarchy.V1),
        ([V2, NAMED.replace("/sys/fs/cgroup/systemd", "/mnt/old")], Hierarchy.V2),
        ([], Hierarchy.V1),
    ],
)
def test_hierarchy_is_what_systemd_uses(machine: Machine, mounts: list[str], hierarchy: Hierarchy) -> None:
    """By what is mounted below /sys/fs/cgroup; other trees are other people's."""
    assert machine.mount(*mounts).hierarchy is hierarchy


def test_joined_controllers_share_a_tree(machine: Machine) -> None:
    """cpu,cpuacct is one mount with two names; mount options are no controllers."""
    found = machine.mount(CPU, NAMED).mounts
    assert sorted(found) == ["cpu", "cpuacct", "name=systemd"]
    assert found["cpu"] == found["cpuacct"]


# --- use ----------------------------------------------------------------------------------------------------------


def test_use_on_v2(machine: Machine) -> None:
    """Three files of one group."""
    trees = machine.mount(V2)
    machine.unit("", memory__current=4096, pids__current=7, cpu__stat="usage_usec 2500000\nuser_usec 1")
    assert trees.usage(UNIT) == Usage(memory=4096, cpu_seconds=2.5, tasks=7, source="cgroup")


def test_use_on_v1(machine: Machine) -> None:
    """One file in each of three trees; nanoseconds."""
    trees = machine.mount(MEMORY, CPU, PIDS, NAMED)
    machine.unit("/memory", memory__usage_in_bytes=4096)
    machine.unit("/cpu,cpuacct", cpuacct__usage=2_500_000_000)
    machine.unit("/pids", pids__current=7)
    assert trees.usage(UNIT) == Usage(memory=4096, cpu_seconds=2.5, tasks=7, source="cgroup")


def test_hybrid_counts_cpu_in_the_unified_tree(machine: Machine) -> None:
    """Where cpuacct has no group for the unit, because nobody asked for accounting."""
    trees = machine.mount(MEMORY, CPU, PIDS, NAMED, UNIFIED)
    machine.unit("/memory", memory__usage_in_bytes=4096)
    machine.unit("/pids", pids__current=7)
    machine.unit("/unified", cpu__stat="usage_usec 1500000")
    assert trees.usage(UNIT) == Usage(memory=4096, cpu_seconds=1.5, tasks=7, source="cgroup")


@pytest.mark.parametrize(
    ("mounts", "tree"), [([V2], ""), ([MEMORY, NAMED, UNIFIED], "/unified"), ([NAMED], "/systemd")]
)
def test_without_accounting_the_processes_are_summed(machine: Machine, mounts: list[str], tree: str) -> None:
    """The group's processes, from whichever tree systemd keeps them in."""
    trees = machine.mount(*mounts)
    machine.unit(tree, cgroup__procs="41\n42\n43")
    machine.process(41, ticks=HERTZ, pages=10, threads=2)
    machine.process(42, ticks=2 * HERTZ, pages=5)
    assert trees.usage(UNIT) == Usage(memory=15 * PAGE, cpu_seconds=3.0, tasks=3, source="processes")


def test_only_what_is_missing_is_summed(machine: Machine) -> None:
    """The source is where the memory is from."""
    trees = machine.mount(MEMORY, NAMED)
    machine.unit("/memory", memory__usage_in_bytes=4096)
    machine.unit("/systemd", cgroup__procs=41)
    machine.process(41, ticks=HERTZ, pages=10)
    assert trees.usage(UNIT) == Usage(memory=4096, cpu_seconds=1.0, tasks=1, source="cgroup")


def test_stopped_unit_uses_nothing_known(machine: Machine) -> None:
    """No group, or a group that is gone: None, not 0."""
    trees = machine.mount(V2)
    assert trees.usage("") == Usage()
    assert trees.usage(UNIT) == Usage(source="processes")


def test_container_sees_a_part_of_the_tree(machine: Machine) -> None:
    """Without a cgroup namespace, systemd's path begins with what the mount shows."""
    trees = machine.mount(V2.replace("0:26 /", "0:26 /docker/abc"))
    machine.unit("", memory__current=4096, pids__current=1, cpu__stat="usage_usec 0")
    assert trees.usage(f"/docker/abc{UNIT}").memory == 4096
    assert trees.usage(UNIT).memory == 4096


# --- limits and controllers ---------------------------------------------------------------------------------------


def test_limits_on_v2(machine: Machine) -> None:
    """As systemd wrote them; max is no limit."""
    trees = machine.mount(V2)
    machine.unit("", memory__max=1 << 20, memory__high="max", pids__max=9, cpu__weight=50)
    machine.unit("", cpu__max="150000 100000", io__weight="default 200\n8:0 1", cpuset__cpus__effective="0-1,3")
    expected = InForce(memory_max=1 << 20, tasks_max=9, cpu_quota=1.5, cpu_weight=50, io_weight=200, cpus="0-1,3")
    assert trees.limits(UNIT) == expected


def test_limits_on_v1(machine: Machine) -> None:
    """In v1's own units: shares of 1024, and -1 or a huge number for none."""
    trees = machine.mount(MEMORY, CPU, PIDS, NAMED)
    machine.unit("/memory", memory__limit_in_bytes=9223372036854771712)
    machine.unit("/pids", pids__max="max")
    machine.unit("/cpu,cpuacct", cpu__shares=2048, cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert trees.limits(UNIT) == InForce(cpu_weight=200)
    machine.unit("/cpu,cpuacct", cpu__cfs_quota_us=50000)
    assert trees.limits(UNIT).cpu_quota == 0.5


@pytest.mark.parametrize("mounts", [[V2], [MEMORY, NAMED], []])
def test_no_limits_are_known_of_a_group_that_is_gone(machine: Machine, mounts: list[str]) -> None:
    """Nothing, not an error."""
    assert machine.mount(*mounts).limits(UNIT) == InForce()


def test_controllers_of_v2_and_what_a_user_gets(machine: Machine) -> None:
    """A user's manager has those that its own group has."""
    trees = machine.mount(V2)
    machine.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids")
    machine.write("/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/cgroup.controllers", "cpu memory pids")
    assert trees.controllers() == {"cpuset", "cpu", "io", "memory", "pids"}
    assert trees.delegated(7) == {"cpu", "memory", "pids"}
    assert trees.delegated(8) == frozenset()


def test_controllers_of_v1_are_for_root_only(machine: Machine) -> None:
    """systemd delegates none of v1 to users."""
    trees = machine.mount(MEMORY, CPU, NAMED, UNIFIED)
    for tree in ("memory", "cpu,cpuacct"):
        machine.write(f"/sys/fs/cgroup/{tree}/cgroup.clone_children", 0)
    assert trees.controllers() == {"memory", "cpu", "cpuacct"}
    assert trees.delegated(7) == frozenset()


# --- processes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["node", "a b", "x) R (y", "(sd-pam)", ")"])
def test_a_process_may_be_called_anything(machine: Machine, name: str) -> None:
    """The name stands in brackets, unescaped."""
    machine.process(41, ticks=3 * HERTZ, pages=10, threads=4, name=name)
    found = processes.read(41, proc=f"{machine.root}/proc")
    assert found
    assert (found.parent, found.cpu_seconds, found.rss, found.threads) == (1, 3.0, 10 * PAGE, 4)


def test_a_process_that_is_gone_is_none(machine: Machine) -> None:
    """It may end between any two reads."""
    proc = f"{machine.root}/proc"
    answers = [f(1, proc=proc) for f in (processes.read, processes.cpu_seconds, processes.rss)]
    assert answers == [None] * 3
    assert processes.uid_of(1, proc=proc) is None
    assert processes.total([1, 2], proc=proc) == Usage(source="processes")


def test_uid_is_the_effective_one(machine: Machine) -> None:
    """From status: the owner of /proc/PID is root where core dumps are off."""
    machine.write("/proc/41/status", "Name:\tUid: 9\nUid:\t1\t1000\t2\t3\nGid:\t5\t5\t5\t5")
    assert processes.uid_of(41, proc=f"{machine.root}/proc") == 1000


def test_this_process_is_known() -> None:
    """On the real /proc: a child is started now, is ours, and has used CPU and memory."""
    before = time.time()
    with subprocess.Popen(
        [sys.executable, "-c", "sum(range(3_000_000)); print(); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout
        child.stdout.readline()
        found = processes.read(child.pid)
        assert processes.uid_of(child.pid) == os.geteuid()
        child.communicate(b"\n")
    assert found
    assert found.parent == os.getpid()
    assert before - 1.1 < (processes.booted() or 0) + found.started < time.time() + 0.1
    assert found.cpu_seconds > 0
    assert found.rss > 1_000_000


# --- CPUs ---------------------------------------------------------------------------------------------------------


def topology(root: Path, *cores: str, file: str = "core_cpus_list") -> Path:
    for core in cores:
        for cpu in cpus.parse(core):
            place = root / f"devices/system/cpu/cpu{cpu}/topology"
            place.mkdir(parents=True)
            (place / file).write_text(f"{core}\n")
    return root


@pytest.mark.parametrize(
    ("cores", "allowed", "expected"),
    [
        (["0", "1", "2"], (0, 1, 2), (0, 1, 2)),
        (["0,4", "1,5", "2,6", "3,7"], range(8), (0, 1, 2, 3)),
        (["0-1", "2-3"], range(4), (0, 2)),
        (["0-1", "2-3", "4", "5", "6"], range(7), (0, 2, 4, 5, 6)),
        (["0,4", "1,5"], (4, 5), (4, 5)),
        (["0,4", "1,5"], (1, 4, 5), (1, 4)),
        (["0-3"], range(4), (0,)),
        (["0-1"], (0, 1, 9), (0, 9)),
        ([], (3, 1), (1, 3)),
    ],
    ids=["none", "smt", "pairs", "hybrid-P-E", "second-threads", "restricted", "smt4", "offline", "no-sysfs"],
)
def test_one_cpu_of_each_core(
    tmp_path: Path, cores: list[str], allowed: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """The first thread of each that the caller may use."""
    assert cpus.physical(allowed, sysfs=topology(tmp_path, *cores)) == expected


def test_old_kernels_call_it_siblings(tmp_path: Path) -> None:
    """core_cpus_list came with Linux 5.3."""
    sysfs = topology(tmp_path, "0,2", "1,3", file="thread_siblings_list")
    assert cpus.physical(range(4), sysfs=sysfs) == (0, 1)


def test_the_threads_of_each_core(tmp_path: Path) -> None:
    """Those of them that the caller may use."""
    sysfs = topology(tmp_path, "0,4", "1,5", "2", "3")
    assert cpus.cores((0, 1, 2, 3, 5), sysfs=sysfs) == ((0,), (1, 5), (2,), (3,))


def test_fast_cores_come_first_on_hybrid_machines(tmp_path: Path) -> None:
    """As Intel's tell, or as others do by what they can; where all are alike, there is no order."""
    cores = ((0,), (1, 2), (3, 4))
    assert cpus.fast_first(cores, sysfs=tmp_path) == cores
    assert cpus.of_kind("performance", sysfs=tmp_path) == ()
    for name, text in (("cpu_core", "1-4\n"), ("cpu_atom", "0\n")):
        (tmp_path / "devices" / name).mkdir(parents=True)
        (tmp_path / "devices" / name / "cpus").write_text(text)
    assert cpus.fast_first(cores, sysfs=tmp_path) == ((1, 2), (3, 4), (0,))
    assert cpus.of_kind("performance", sysfs=tmp_path) == (1, 2, 3, 4)
    big = tmp_path / "big"
    for cpu, capacity in enumerate((400, 1024, 1024)):
        (big / f"devices/system/cpu/cpu{cpu}").mkdir(parents=True)
        (big / f"devices/system/cpu/cpu{cpu}/cpu_capacity").write_text(f"{capacity}\n")
    assert [cpus.of_kind(kind, sysfs=big) for kind in ("performance", "efficiency")] == [(1, 2), (0,)]


@pytest.mark.parametrize(("text", "expected"), [("0-2,8,10-11\n", (0, 1, 2, 8, 10, 11)), ("5", (5,)), ("\n", ())])
def test_kernel_lists(text: str, expected: tuple[int, ...]) -> None:
    """cpuset(7), list format."""
    assert cpus.parse(text) == expected


def test_a_restricted_caller_sees_its_own_cpus() -> None:
    """As under taskset, or in a container that was given some."""
    last = max(cpus.allowed())
    code = f"import os; os.sched_setaffinity(0, [{last}]); from pysup.host import cpus; print(cpus.allowed())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"({last},)"


def test_allowed_cpus_are_what_nproc_counts() -> None:
    """On this machine."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    found = subprocess.run(["nproc"], capture_output=True, text=True, check=True, env=environment)
    assert len(cpus.allowed()) == int(found.stdout)
