"""Limits where control groups are v2 and systemd does not apply changed unit files to what runs (257)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import apps
import programs
from pysup.app import Limits
from pysup.host import cgroups, ground
from pysup.limiting.view import GroupView, LimitsView
from pysup.sync import Manager
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.vm

MEGABYTE = 1 << 20
BUSY = (*programs.PYTHON, "while True: pass")


def group(view: LimitsView, name: str) -> GroupView:
    """One of the groups."""
    return next(one for one in view.groups if one.group.name == name)


def files(view: LimitsView, name: str, *wanted: str) -> list[str]:
    """What the kernel has of a group."""
    control_group = group(view, name).group.control_group
    return [cgroups.here().text("", control_group, file).strip() for file in wanted]


def test_limits_change_while_it_runs_and_no_drop_in_stays(manager: Manager, scope: Scope) -> None:
    """In both scopes: users' managers have memory, CPU and tasks."""
    before = manager.start(apps.app(instances=2)).instances
    words = ["memory=200M", "memory_high=150M", "swap=0", "cpu=50%", "tasks=50"]
    (view,) = manager.limit("web", words)
    wanted = ("memory.max", "memory.high", "memory.swap.max", "cpu.max", "pids.max")
    held = [str(200 * MEGABYTE), str(150 * MEGABYTE), "0", "50000 100000", "50"]
    assert files(view, "web@1", *wanted) == held
    assert view.notes == ()
    assert [one.unmet for one in view.groups] == [()] * 3
    (view,) = manager.limit("web", ["memory=1G", "cpu=150%", "weight=200"], total=True)
    assert files(view, "web", "memory.max", "cpu.max", "cpu.weight") == [str(1024 * MEGABYTE), "150000 100000", "200"]
    control = ground.runtime_dir(scope)
    assert list(control.with_name(f"{control.name}.control").glob("pysup-*/*")) == []
    (view,) = manager.limit("web", [f"{word.partition('=')[0]}=unlimited" for word in words])
    usual = files(view, "web@1", "pids.max")
    assert files(view, "web@0", *wanted[:3], "pids.max") == ["max", "max", "max", *usual]
    assert usual != ["50"]
    assert [one.pid for one in manager.get("web").instances][:2] == [one.pid for one in before]


def test_throttling_and_pressure_are_shown(manager: Manager) -> None:
    """Of one that wants more CPU than it may have."""
    with manager.watch() as events:
        manager.start(apps.app(command=BUSY, limits=Limits(cpu_quota=0.1)))
        next(one for one in events if type(one).__name__ == "LimitHit")
    found = group(manager.limits("web")[0], "web@0").reading
    assert found.cpu.throttled_periods
    assert found.cpu.throttled_seconds
    assert found.pressure.cpu
    assert found.memory.peak


def test_users_are_told_of_cpu_sets_that_do_nothing(pysup: Command, scope: Scope) -> None:
    """And by what file root changes that."""
    pysup("start", "sleep 1000", "-n", "web", timeout=300)
    try:
        said = pysup("limit", "web", "cpus=0", timeout=300).stderr
        assert ("AllowedCPUs does nothing here" in said) == (scope is Scope.USER)
        assert ("user@.service.d/pysup-delegate.conf: Delegate=cpu cpuset io memory pids" in said) == (
            scope is Scope.USER
        )
    finally:
        pysup("delete", "all", timeout=300)


@pytest.mark.systemd
def test_cpu_sets_and_rates_hold_at_once() -> None:
    """For instances; and a service that CPUs are reserved for is moved onto them, and back when the app goes."""
    unit = Path("/run/systemd/system/limit-test.service")
    *_, last = sorted(os.sched_getaffinity(0))
    unit.write_text(f"[Service]\nExecStart=/bin/sleep infinity\nAllowedCPUs={last}\n")
    subprocess.run(["systemctl", "start", unit.name], check=True)
    kept = "/system.slice/limit-test.service"
    try:
        with Manager() as manager:
            manager.start(apps.app(instances="per-core", reserve=1, reserve_for=unit.name))
            first, *rest = sorted(os.sched_getaffinity(0))
            assert cgroups.here().text("", kept, "cpuset.cpus.effective").strip() == str(first)
            (view,) = manager.limit("web", [f"cpus={rest[0]}", "io_write=/:20M", "io=50"])
            cpus, rates, weight = files(view, "web@0", "cpuset.cpus.effective", "io.max", "io.weight")
            assert (cpus, weight) == (str(rest[0]), "default 50")
            assert "wbps=20000000" in rates
            (view,) = manager.limit("web@0", ["io_write=/:5M", "cpus=unlimited", "memory=900M"])
            rates, memory = files(view, "web@0", "io.max", "memory.max")
            assert ("wbps=5000000" in rates, memory) == (True, str(900 * MEGABYTE))
            (view,) = manager.limit("web@0", ["io_write=unlimited"])
            assert "wbps=20000000" in files(view, "web@0", "io.max")[0]
            (view,) = manager.limit("web", ["io_write=unlimited"])
            assert "wbps=5" not in files(view, "web@0", "io.max")[0]
            manager.delete("all")
            assert cgroups.here().text("", kept, "cpuset.cpus").strip() == str(last)
    finally:
        subprocess.run(["systemctl", "stop", unit.name], check=True)
        unit.unlink()
