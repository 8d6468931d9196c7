"""A reading of a control group: the same values from v1, hybrid and v2 trees, and from /proc where none counts."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysup.host import descriptors
from pysup.host.cgroups import parsing
from pysup.host.cgroups.parsing import Pressure, Stall, Transferred
from pysup.host.cgroups.reading import Cpu, Io, Memory, Pressures, Reader, Reading, Source, Tasks
from pysup.host.descriptors import Descriptors
from trees import CPU, MEMORY, NAMED, PIDS, UNIFIED, UNIT, V2, Machine

BLKIO = "36 31 0:33 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio"
PRESSURE = "some avg10=50.00 avg60=1.50 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0"
MIB = 1 << 20
HERTZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_reading_of_v2(machine: Machine) -> None:
    """All of it from one tree; sums over devices."""
    trees = machine.mount(V2)
    machine.unit("", cpu__stat="usage_usec 2500000\nnr_periods 9\nnr_throttled 3\nthrottled_usec 250000")
    machine.unit("", memory__current=4096, memory__peak=8192, memory__high=MIB, memory__max="max")
    machine.unit("", memory__events="low 0\nhigh 4\nmax 3\noom 2\noom_kill 1\noom_group_kill 0")
    machine.unit("", pids__current=7, pids__max=9, pids__events="max 5")
    machine.unit(
        "", io__stat="8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=10 wbytes=20 rios=1 wios=1"
    )
    machine.unit("", cpu__pressure=PRESSURE)
    assert Reader(trees).read(UNIT) == Reading(
        cpu=Cpu(2.5, periods=9, throttled_periods=3, throttled_seconds=0.25, source=Source.V2),
        memory=Memory(4096, 8192, high=MIB, high_events=4, max_events=3, oom_kills=1, source=Source.V2),
        tasks=Tasks(7, max=9, refused=5, source=Source.V2),
        io=Io(11, 22, 4, 5, source=Source.V2),
        pressure=Pressures(cpu=Pressure(some=Stall(0.5, 2.5), full=Stall(0, 0))),
    )


def test_a_reading_of_v1_and_hybrid(machine: Machine) -> None:
    """A tree for each controller; of a hybrid machine CPU time and pressure are the unified tree's."""
    trees = machine.mount(MEMORY, CPU, PIDS, BLKIO, NAMED, UNIFIED)
    machine.unit("/cpu,cpuacct", cpuacct__usage=2_500_000_000)
    machine.unit("/cpu,cpuacct", cpu__stat="nr_periods 9\nnr_throttled 3\nthrottled_time 250000000")
    machine.unit("/memory", memory__usage_in_bytes=4096, memory__max_usage_in_bytes=8192)
    machine.unit("/memory", memory__limit_in_bytes=9223372036854771712, memory__failcnt=3)
    machine.unit("/memory", memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1")
    machine.unit("/pids", pids__current=7, pids__max="max")
    machine.unit("/blkio", blkio__throttle__io_service_bytes_recursive="8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3")
    machine.unit("/blkio", blkio__throttle__io_serviced_recursive="8:0 Read 3\n8:0 Write 4\nTotal 7")
    expected = Reading(
        cpu=Cpu(2.5, periods=9, throttled_periods=3, throttled_seconds=0.25, source=Source.V1),
        memory=Memory(4096, 8192, max_events=3, oom_kills=1, source=Source.V1),
        tasks=Tasks(7, source=Source.V1),
        io=Io(1, 2, 3, 4, source=Source.V1),
    )
    assert Reader(trees).read(UNIT) == expected
    machine.unit("/unified", cpu__stat="usage_usec 2600000", memory__pressure=PRESSURE)
    found = Reader(trees).read(UNIT)
    assert (found.cpu.seconds, found.cpu.source, found.cpu.throttled_periods) == (2.6, Source.V2, 3)
    assert found.pressure.memory
    assert found.pressure.memory.some == Stall(0.5, 2.5)


@pytest.mark.parametrize(
    ("mounts", "tree", "file", "none"),
    [([V2], "", "memory.max", "max"), ([MEMORY, NAMED], "/memory", "memory.limit_in_bytes", 9223372036854771712)],
)
@pytest.mark.parametrize(
    ("own", "above", "top", "expected"),
    [(None, None, None, None), (5, None, None, 5), (5, 3, None, 3), (None, 9, 7, 7), (5, 9, 7, 5)],
)
def test_the_limit_is_the_lowest_of_the_slices_above(
    machine: Machine,
    mounts: list[str],
    tree: str,
    file: str,
    none: object,
    own: object,
    above: object,
    top: object,
    expected: int,
) -> None:
    """Its own is ``max``; what counts is the least."""
    trees = machine.mount(*mounts)
    group = "/pysup.slice/pysup-web.slice/pysup-web@0.service"
    usage = "memory.current" if tree == "" else "memory.usage_in_bytes"
    machine.write(f"/sys/fs/cgroup{tree}{group}/{usage}", 1)
    for path, value in ((group, own), ("/pysup.slice/pysup-web.slice", above), ("/pysup.slice", top)):
        machine.write(f"/sys/fs/cgroup{tree}{path}/{file}", none if value is None else value)
    found = Reader(trees).read(group).memory
    assert (found.max, found.limit) == (own, expected)


def test_processes_are_summed_where_no_group_counts(machine: Machine) -> None:
    """Of a user's manager on v1: everything from /proc, and each part says so."""
    trees = machine.mount(MEMORY, NAMED)
    machine.unit("/systemd", cgroup__procs="41\n42")
    machine.process(41, ticks=HERTZ, pages=10, threads=2)
    machine.process(42, ticks=2 * HERTZ, pages=5)
    machine.write("/proc/41/io", "rchar: 9\nread_bytes: 1\nwrite_bytes: 2\ncancelled_write_bytes: 0")
    found = Reader(trees).read(UNIT)
    assert found.cpu == Cpu(3.0, source=Source.PROCESSES)
    assert found.memory == Memory(15 * PAGE, source=Source.PROCESSES)
    assert found.tasks == Tasks(3, source=Source.PROCESSES)
    assert found.io == Io(1, 2, source=Source.PROCESSES)


@pytest.mark.parametrize("mounts", [[V2], [MEMORY, CPU, PIDS, BLKIO, NAMED, UNIFIED], [NAMED], []])
def test_nothing_is_known_of_a_group_that_is_gone(machine: Machine, mounts: list[str]) -> None:
    """None, not 0, and no source."""
    assert Reader(machine.mount(*mounts)).read(UNIT) == Reading()


def test_descriptors_are_counted_with_the_greediest_ones_limit(tmp_path: Path) -> None:
    """Each process has a limit of its own."""
    for pid, files, limit in ((41, 3, "1024"), (42, 5, "unlimited")):
        for fd in range(files):
            (tmp_path / f"{pid}/fd").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{pid}/fd/{fd}").symlink_to("/dev/null")
        (tmp_path / f"{pid}/limits").write_text(
            f"Limit  Soft  Hard\nMax open files            {limit}    4096    files\n"
        )
    most = (tmp_path / "42/fd").stat().st_size
    assert descriptors.count([41, 42, 43], proc=str(tmp_path)) == Descriptors(most=most, limit=None)
    assert descriptors.count([41, 43], proc=str(tmp_path)).limit == 1024
    assert descriptors.count([43], proc=str(tmp_path)) == Descriptors()


def test_this_process_has_the_files_that_it_opened() -> None:
    """On the real /proc."""
    before = descriptors.count([os.getpid()])
    pairs = [socket.socketpair() for _ in range(3)]
    after = descriptors.count([os.getpid()])
    for one, other in pairs:
        one.close()
        other.close()
    assert (after.most or 0) - (before.most or 0) == 6
    assert after.limit


# --- the parsers ---------------------------------------------------------------------------------------------------


numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["max", "", " ", "9" * 5000, "1e9", "nan", "inf", "-inf", "0x1", "٣", "1.5", "-0"]),
)
words = st.sampled_from(["usage_usec", "high", "8:0", "Read", "Write", "Total", "some", "full", "rbytes=", "total="])
garbage = st.lists(
    st.lists(
        st.one_of(
            words,
            numbers,
            st.builds("{}={}".format, st.sampled_from(["avg10", "avg60", "total", "rios"]), numbers),
            st.text(max_size=5),
        )
    ).map(" ".join)
).map("\n".join)


@given(garbage)
def test_no_text_is_too_odd_to_be_read(text: str) -> None:
    """Missing, garbage and huge numbers are not known; what is known is in its range."""
    found = [parsing.number(text), parsing.limit(text), *parsing.counters(text).values()]
    found += [*parsing.io_stat(text), *parsing.blkio(text)]
    assert all(value is None or value >= 0 for value in found)
    pressure = parsing.pressure(text) or Pressure()
    for stall in (pressure.some, pressure.full):
        assert stall is None or (0 <= stall.avg10 <= 1 and math.isfinite(stall.total))


@given(
    st.binary(max_size=200),
    st.sampled_from([(V2, ""), (MEMORY, "/memory"), (CPU, "/cpu,cpuacct"), (UNIFIED, "/unified")]),
)
def test_no_file_is_too_odd_to_be_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, where: tuple[str, str]
) -> None:
    """Whatever bytes are in the files of a group."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    mount, tree = where
    of_v2 = ("cpu.stat", "memory.current", "memory.max", "memory.events", "pids.current", "io.stat", "cpu.pressure")
    for name in (*of_v2, "memory.usage_in_bytes", "cgroup.procs"):
        machine.write(f"/sys/fs/cgroup{tree}{UNIT}/{name}", "")
        (machine.root / f"sys/fs/cgroup{tree}{UNIT}/{name}").write_bytes(content)
    trees = machine.mount(mount, NAMED)
    assert isinstance(Reader(trees).read(UNIT), Reading)
    assert trees.usage(UNIT)
    assert trees.limits(UNIT) is not None
    assert trees.hits(UNIT) is not None
    assert trees.strained(UNIT)


def test_devices_are_added_up() -> None:
    """Of v2; what is no pair does not count."""
    assert parsing.io_stat("8:0 rbytes=1 wbytes=2\n(unknown) rios=5 rbytes\n9:0 rbytes=4") == Transferred(5, 2, 5, 0)
