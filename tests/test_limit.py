"""``pysup limit`` against a real systemd: what runs is held to limits at once, nothing restarts, and it stays so."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import apps
import programs
from pysup.app import Limits
from pysup.errors import Conflict, NotFound
from pysup.events import Started
from pysup.health import Ready, ReadyWhen
from pysup.host import cgroups, ground
from pysup.limiting.view import GroupView, LimitsView
from pysup.sync import Manager
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

HOLDER = """
import os, socket, threading
held = bytearray(b"x" * (80 << 20))
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
threading.Event().wait()
"""


def pids(manager: Manager) -> list[int]:
    """The main processes."""
    return [one.pid for app in manager.list() for one in app.instances]


def group(view: LimitsView, name: str) -> GroupView:
    """One of the groups."""
    return next(one for one in view.groups if one.group.name == name)


def drop_ins(scope: Scope) -> list[str]:
    """What systemd keeps of properties that it was told."""
    directory = ground.runtime_dir(scope)
    return [str(file) for file in directory.with_name(f"{directory.name}.control").glob("pysup-*/*")]


@pytest.mark.systemd
def test_limits_hold_at_once_and_stay_and_go(pysup: Command) -> None:
    """For what runs, for what is restarted by systemd and by hand, and for new instances; until they are taken away."""
    with Manager() as manager:
        try:
            manager.start(apps.app(instances=2))
            before = pids(manager)
            usual = group(manager.limits("web")[0], "web@0").in_force.tasks_max
            (view,) = manager.limit("web", ["memory=64M", "tasks=50", "cpu=150%"])
            assert pids(manager) == before
            assert drop_ins(Scope.SYSTEM) == []
            shown = subprocess.run(
                ["systemctl", "show", "-P", "NeedDaemonReload", "pysup-web@0.service"], capture_output=True, text=True
            )
            assert shown.stdout == "no\n"
            wanted = (64 << 20, 50, 1.5)
            for number in range(2):
                held = group(view, f"web@{number}").in_force
                assert (held.memory_max, held.tasks_max, held.cpu_quota) == wanted
            with manager.watch() as events:
                os.kill(before[0], signal.SIGKILL)
                next(one for one in events if isinstance(one, Started))
            manager.scale("web", 3)
            manager.restart("web@1")
            for one in manager.limits("web")[0].groups[1:]:
                assert (one.in_force.memory_max, one.in_force.tasks_max, one.in_force.cpu_quota) == wanted
            (view,) = manager.limit("web@1", ["memory=96M"])
            assert [one.group.name for one in view.groups] == ["web@1"]
            manager.restart("web@1")
            held = [one.in_force.memory_max for one in manager.limits("web")[0].groups[1:]]
            assert held == [64 << 20, 96 << 20, 64 << 20]
            (view,) = manager.limit("web@1", ["memory=unlimited"])
            assert group(view, "web@1").in_force.memory_max == 64 << 20
            before = pids(manager)
            (view,) = manager.limit("web", ["memory=unlimited", "tasks=unlimited", "cpu=unlimited"])
            held = group(view, "web@2").in_force
            assert (held.memory_max, held.tasks_max, held.cpu_quota) == (None, usual, None)
            assert (view.each, view.total) == (Limits(), Limits())
            assert pids(manager) == before
        finally:
            manager.delete("all")


@pytest.mark.systemd
def test_an_app_and_a_namespace_are_held_as_a_whole() -> None:
    """By their slices; a weight is the app's."""
    with Manager() as manager:
        try:
            manager.start(apps.app(namespace="shop", instances=2))
            before = pids(manager)
            manager.limit("web", ["memory=100M"], total=True)
            (view,) = manager.limit("web", ["weight=200"])
            whole = group(view, "web").in_force
            assert (whole.memory_max, whole.cpu_weight) == (100 << 20, 200)
            assert group(view, "web@0").in_force.memory_max is None
            around = manager.limit_namespace("shop", ["memory=1G"])
            assert [one.group.name for one in around.groups] == ["shop/", "web"]
            assert around.groups[0].in_force.memory_max == 1 << 30
            assert drop_ins(Scope.SYSTEM) == []
            manager.save()
            manager.restart("web")
            assert group(manager.limits("web")[0], "shop/").in_force.memory_max == 1 << 30
            around = manager.limit_namespace("shop", ["memory=unlimited"])
            assert around.groups[0].in_force.memory_max is None
            assert len(before) == 2
        finally:
            manager.delete("all")


@pytest.mark.systemd
def test_a_limit_that_would_kill_is_refused_unless_forced() -> None:
    """Eighty megabytes are held; sixty would be too few."""
    with Manager() as manager:
        try:
            app = apps.app(command=(sys.executable, "-I", "-c", HOLDER), ready=Ready(when=ReadyWhen.NOTIFY))
            manager.start(app)
            held = cgroups.here().held
            control_group = manager.limits("web")[0].groups[1].group.control_group
            assert (held(control_group) or 0) > 80 << 20
            with pytest.raises(Conflict, match=r"web@0 holds .* would kill it"):
                manager.limit("web", ["memory=60M"])
            assert manager.get("web").spec == app
            with pytest.raises(Conflict, match=r"web holds .* would kill it"):
                manager.limit("web", ["memory=60M"], total=True)
            (view,) = manager.limit("web", ["memory=60M"], force=True)
            assert view.each.memory_max == 60 << 20
        finally:
            manager.delete("all")


def test_open_files_change_while_it_runs(manager: Manager) -> None:
    """Of all its processes; and what has to wait is said."""
    manager.start(apps.app(command=programs.shell("sleep infinity & exec sleep infinity")))
    (pid,) = pids(manager)
    (view,) = manager.limit("web", ["nofile=300", "affinity=0"])
    control_group = view.groups[1].group.control_group
    inside = cgroups.here().pids(control_group)
    assert len(inside) == 2
    assert [resource.prlimit(one, resource.RLIMIT_NOFILE) for one in inside] == [(300, 300)] * 2
    assert [os.sched_getaffinity(one) for one in inside] == [{0}] * 2
    assert pids(manager) == [pid]
    (view,) = manager.limit("web", ["nofile=unlimited", "numa=local"])
    waiting = [note for note in view.notes if "counts from the next start" in note]
    assert [note.split()[0] for note in waiting] == ["LimitNOFILE", "NUMAPolicy"]


def test_a_single_instance_keeps_its_own_limits(manager: Manager, scope: Scope) -> None:
    """Through restart, reload, save and scaling, until they are taken away; its files go with the app."""

    def limits() -> list[int]:
        return [resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] for pid in pids(manager)]

    manager.start(apps.app(instances=2, limits=Limits(nofile=700)))
    before = pids(manager)
    manager.limit("web@1", ["nofile=300"])
    assert (limits(), pids(manager)) == ([700, 300], before)
    manager.restart("web")
    assert limits() == [700, 300]
    manager.reload("web")
    assert limits() == [700, 300]
    manager.save()
    manager.scale("web", 1)
    manager.scale("web", 2)
    assert limits() == [700, 300]
    manager.limit("web@1", ["nofile=unlimited"])
    manager.restart("web@1")  # only some may raise it while it runs
    assert limits() == [700, 700]
    manager.limit("web@0", ["nofile=400"])
    drop_in = ground.saved_dir(scope) / "pysup-web@0.service.d"
    assert drop_in.exists()
    manager.delete("web")
    assert not drop_in.exists()


@pytest.mark.systemd_user
def test_a_user_is_told_what_does_nothing(pysup: Command) -> None:
    """Without controllers of its own: when it is started, and when it is limited."""
    try:
        started = pysup("start", "sleep 1000", "-n", "web", "--memory-max", "1G", "--total", "tasks=99")
        assert "MemoryMax does nothing here" in started.stderr
        assert "TasksMax does nothing here" in started.stderr
        shown = pysup("limit", "web", "cpu=50%")
        assert "web: CPUQuota does nothing here" in shown.stderr
        assert "not in force" not in shown.stderr
    finally:
        pysup("delete", "all")


def test_the_command_shows_and_changes(pysup: Command, scope: Scope) -> None:
    """Limit, use, and the rest; as a table and as JSON."""
    try:
        pysup("start", "sleep 1000", "-n", "web", "-i", "2", "--memory-restart", "300M")
        shown = pysup("limit", "web", "nofile=512", "weight=50").stdout.splitlines()
        assert shown[0] == "web: each instance nofile 512; together weight 50; an instance is restarted at 300M"
        assert shown[1].split() == ["name", "what", "limit", "use", "peak", "pressure", "hit"]
        assert any(line.split()[:3] == ["open", "files", "512"] for line in shown)
        assert any(line.split()[:1] == ["web@1"] for line in shown)
        (found,) = json.loads(pysup("limit", "web@1", "--json").stdout)
        assert (found["limits"], found["total"]) == ({"nofile": 512}, {"cpu_weight": 50, "io_weight": 50})
        assert [one["name"] for one in found["groups"]] == ["web@1"]
        assert found["groups"][0]["descriptors"]["limit"] == 512
        assert "together      cpu-weight 50, io-weight 50" in pysup("describe", "web").stdout
        missing = pysup("limit", "web", "memroy=1G", check=False)
        assert (missing.returncode, "Did you mean memory" in missing.stderr) == (2, True)
    finally:
        pysup("delete", "all")


@pytest.mark.systemd
def test_only_what_is_on_a_block_device_has_its_rate_limited(pysup: Command, tmp_path: Path) -> None:
    """systemd would say so in its log only. The root of a box is an overlay."""
    file = tmp_path / "pysup.toml"
    file.write_text("[apps.web]\ncommand = 'sleep 1000'\ntotal.io_read_max = '/proc:1M'\n")
    web = ("start", "sleep 1000", "-n", "web", "--namespace", "shop")
    told = {
        (
            "start",
            str(file),
        ): "app 'web': total.io_read_max: '/proc' cannot be limited: its file system, proc, is on no",
        (*web, "--io-read-max", "/dev/null:1M"): "limits.io_read_max: '/dev/null' cannot be limited: it is a character",
        (
            "run",
            "--io-write-max",
            "/:1M",
            "true",
        ): "limits.io_write_max: '/' cannot be limited: its file system, overlay,",
        web: "",
        ("limit", "web@0", "io_read=/proc 1M"): "app 'web': instance_limits.0.io_read_max: '/proc' cannot be limited",
        ("limit", "--namespace", "shop", "io_write=/:1M"): "namespaces.shop.io_write_max: '/' cannot be limited",
    }
    try:
        for words, wanted in told.items():
            said = pysup(*words, check=False)
            assert (said.returncode, wanted in said.stderr) == (2 if wanted else 0, True), said.stderr
        assert json.loads(pysup("limit", "web", "--json").stdout)[0]["limits"] == {}
    finally:
        pysup("delete", "all")


@pytest.fixture
def redis() -> Iterator[str]:
    """A service of somebody else's, which runs."""
    unit = Path("/run/systemd/system/limit-test.service")
    unit.write_text("[Service]\nExecStart=/bin/sleep infinity\n")
    subprocess.run(["systemctl", "start", unit.name], check=True)
    yield unit.name
    subprocess.run(["systemctl", "stop", unit.name], check=True)
    unit.unlink()


@pytest.mark.systemd
def test_a_service_is_kept_on_the_cpus_that_are_left_for_it(redis: str) -> None:
    """By a drop-in that is the app's, and goes with it; from its next start on at the latest."""
    with Manager() as manager:
        try:
            app = apps.app(instances="per-core", reserve=1, reserve_for=redis)
            manager.start(app)
            drop_in = Path(f"/run/systemd/system/{redis}.d/pysup-web.conf")
            assert drop_in in manager.describe("web")[0].files
            subprocess.run(["systemctl", "restart", redis], check=True)
            shown = subprocess.run(["systemctl", "show", "-P", "MainPID", redis], capture_output=True, text=True)
            assert os.sched_getaffinity(int(shown.stdout)) == {min(os.sched_getaffinity(0))}
            manager.save()
            assert not drop_in.exists()
            assert Path(f"/etc/systemd/system/{redis}.d/pysup-web.conf").exists()
        finally:
            manager.delete("all")
    assert not Path(f"/etc/systemd/system/{redis}.d").exists()
    shown = subprocess.run(["systemctl", "show", "-P", "AllowedCPUs", redis], capture_output=True, text=True)
    assert shown.stdout.strip() == ""
    with Manager() as manager, pytest.raises(NotFound, match="not-found"):
        manager.start(apps.app(instances="per-core", reserve=1, reserve_for="nobody.service"))
