"""pysup.host on a real machine: accounts, the doctor, what a version lacks, what an import costs; and in a box."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysup import status
from pysup.errors import SpecError
from pysup.host import cgroups, delegation, doctor, features, ground, processes, users
from pysup.host.cgroups import Hierarchy
from pysup.host.cgroups.reading import Reader, Source
from pysup.host.doctor import Check, Status
from pysup.host.ground import Caller
from pysup.unit import Scope

# --- accounts -----------------------------------------------------------------------------------------------------


def test_accounts_are_found_by_name_and_number() -> None:
    """As User= takes both."""
    entry = pwd.getpwuid(0)
    expected = users.Account(name=entry.pw_name, uid=0, gid=0, home=entry.pw_dir)
    assert users.find(entry.pw_name) == users.get("0") == expected


def test_unknown_accounts_bring_a_suggestion() -> None:
    """A typing error, most often."""
    with pytest.raises(SpecError, match="'rot' does not exist") as caught:
        users.get("rot")
    assert "Did you mean 'root'?" in caught.value.hint
    with pytest.raises(SpecError, match="group 'rooot' does not exist") as caught:
        users.get_group_id("rooot")
    assert "Did you mean 'root'?" in caught.value.hint


@pytest.mark.parametrize("name", ["", "nobody-of-that-name", "99999999999999999999", "²"])
def test_no_such_account(name: str) -> None:
    """None, whatever it is."""
    assert not users.exists(name)
    assert users.find(name) is None
    assert users.group_id(name) is None


def test_numbers_without_a_name_stay_numbers() -> None:
    """Containers have such."""
    assert processes.user_name(0) == "root"
    assert processes.user_name(4000000) == "4000000"


def test_lingering_is_a_file(tmp_path: Path) -> None:
    """logind's own way to keep it."""
    (tmp_path / "var/lib/systemd/linger").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/linger/alice").touch()
    assert users.lingering("alice", root=tmp_path)
    assert not users.lingering("bob", root=tmp_path)


# --- features -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directive", "version", "hierarchy", "expected"),
    [
        ("RestartSteps", 253, Hierarchy.V2, False),
        ("RestartSteps", 254, Hierarchy.V1, True),
        ("MemoryHigh", 252, Hierarchy.V2, True),
        ("MemoryHigh", 252, Hierarchy.HYBRID, False),
        ("AllowedCPUs", 257, Hierarchy.V1, False),
        ("Type=notify-reload", 252, Hierarchy.V2, False),
        ("MemoryMax", 252, Hierarchy.V1, True),
        ("ExecStart", 1, Hierarchy.V1, True),
    ],
)
def test_support_depends_on_version_and_hierarchy(
    directive: str, version: int, hierarchy: Hierarchy, expected: bool
) -> None:
    """A directive without a row is as old as systemd."""
    assert features.supports(directive, version, hierarchy) is expected


def test_user_managers_lack_what_is_not_delegated() -> None:
    """Debian delegates cpu, memory and pids."""
    delegated = {"cpu", "memory", "pids"}
    assert not features.supports("AllowedCPUs", 257, Hierarchy.V2, controllers=delegated)
    assert not features.supports("IOWeight", 257, Hierarchy.V2, controllers=delegated)
    assert features.supports("MemoryMax", 257, Hierarchy.V2, controllers=delegated)
    assert not features.supports("MemoryMax", 252, Hierarchy.HYBRID, controllers=())


def test_a_new_systemd_on_v2_lacks_nothing() -> None:
    """And what an old one lacks is all of the rows that it does not support."""
    assert features.lacking(257, Hierarchy.V2) == []
    lacking = {feature.directive for feature in features.lacking(252, Hierarchy.V1)}
    unsupported = {
        row.directive for row in features.FEATURES if not features.supports(row.directive, 252, Hierarchy.V1)
    }
    assert lacking == unsupported
    assert {"RestartSteps", "RestartMode", "MemoryHigh", "AllowedCPUs", "Result=oom-kill"} <= lacking


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("252.39-1~deb12u2", 252),
        ("v257", 257),
        ("systemd 254 (254.5-1.fc39)\n+PAM", 254),
        ("258~rc1", 258),
        ("249", 249),
        ("unknown", None),
        ("", None),
    ],
)
def test_version_is_the_first_number(text: str, version: int | None) -> None:
    """As the manager's Version, or systemctl, spells it."""
    assert features.parse_version(text) == version


# --- the doctor ---------------------------------------------------------------------------------------------------

HEALTHY = (
    "/run/systemd/system/",
    "/run/systemd/journal/socket",
    "/run/dbus/system_bus_socket",
    "/var/log/journal/1/system.journal",
    "/usr/lib/systemd/systemd-coredump",
    "/usr/lib/systemd/systemd-oomd",
)


def build(root: Path, *paths: str, controllers: str = "cpu cpuset io memory pids") -> Caller:
    """A machine with cgroup v2 and these files."""
    for path in paths:
        place = root / path.lstrip("/")
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            place.touch()
    for file, text in {
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "sys/fs/cgroup/cgroup.controllers": controllers,
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(f"{text}\n")
    return Caller(uid=os.geteuid(), environ={}, root=root)


def examine(caller: Caller, scope: Scope = Scope.SYSTEM, version: int = 257) -> dict[str, Check]:
    return {check.name: check for check in doctor.checks(scope, version=version, caller=caller)}


def test_a_healthy_machine_is_ok(tmp_path: Path) -> None:
    """Nothing to do, so no remedy."""
    found = examine(build(tmp_path, *HEALTHY)).values()
    assert {check.status for check in found} == {Status.OK}
    assert {check.remedy for check in found} == {""}


@pytest.mark.parametrize(
    ("unit", "drop_in", "missing"),
    [
        ("[Service]\nDelegate=pids memory\n", "", ["cpu", "cpuset", "io"]),
        ("[Service]\nDelegate=pids memory cpu\n", delegation.TEXT, []),
        ("[Service]\nDelegate=yes\n", "", []),
        ("", "", ["cpu", "cpuset", "io", "memory", "pids"]),
    ],
)
def test_root_is_told_what_users_are_not_given(tmp_path: Path, unit: str, drop_in: str, missing: list[str]) -> None:
    """And has it written by doctor --fix."""
    caller = build(tmp_path, *HEALTHY, "/usr/lib/systemd/system/user@.service")
    (tmp_path / "usr/lib/systemd/system/user@.service").write_text(unit)
    if drop_in:
        file = tmp_path / str(delegation.DROP_IN).lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_text(drop_in)
    assert delegation.missing(tmp_path) == missing
    check = examine(caller).get("users")
    assert (check is not None) == bool(missing)
    assert check is None or (check.fix and check.fix.path == delegation.DROP_IN and missing[0] in check.message)


def test_an_empty_machine_is_told_all_that_is_missing(tmp_path: Path) -> None:
    """Each with its own remedy."""
    found = examine(build(tmp_path, controllers="cpu"))
    assert found["systemd"].status is found["system manager"].status is found["journal"].status is Status.FAIL
    assert "cpuset io memory pids" in found["controllers"].message
    for package in ("systemd-coredump", "systemd-oomd"):
        assert found[package].status is Status.INFO
        assert f"apt install {package}" in found[package].remedy
    assert all(check.remedy for check in found.values() if check.status in (Status.WARN, Status.FAIL))


def test_an_old_systemd_is_a_failure_and_a_middling_one_lacks_features(tmp_path: Path) -> None:
    """249 is the oldest that pysup supports."""
    caller = build(tmp_path, *HEALTHY)
    assert examine(caller, version=248)["systemd"].status is Status.FAIL
    checks = doctor.checks(Scope.SYSTEM, version=252, caller=caller)
    assert any("RestartSteps" in check.message and "254" in check.message for check in checks)


def test_a_journal_in_memory_is_a_warning(tmp_path: Path) -> None:
    """A reboot loses it."""
    files = [file for file in HEALTHY if "journal/1" not in file] + ["/run/log/journal/1/system.journal"]
    found = examine(build(tmp_path, *files))
    assert found["journal"].status is Status.WARN
    assert "mkdir -p /var/log/journal" in found["journal"].remedy
    assert found["journal access"].status is Status.OK


def test_a_journal_that_one_may_not_read_is_a_warning(tmp_path: Path) -> None:
    """The remedy is a group."""
    found = examine(build(tmp_path, *(file for file in HEALTHY if "journal/1" not in file)))
    assert found["journal access"].status is Status.WARN
    assert "usermod -aG systemd-journal" in found["journal access"].remedy


def test_a_user_is_told_of_lingering_and_delegation(tmp_path: Path) -> None:
    """What a user's apps need beyond the machine's."""
    caller = build(tmp_path, *HEALTHY, f"/run/user/{os.geteuid()}/bus")
    group = tmp_path / f"sys/fs/cgroup/user.slice/user-{caller.uid}.slice/user@{caller.uid}.service"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    found = examine(caller, Scope.USER)
    assert found["user manager"].status is Status.OK
    assert "enable-linger" in found["lingering"].remedy
    assert "not delegated: cpuset io" in found["controllers"].message
    assert "Delegate=" in found["controllers"].remedy
    assert any("AllowedCPUs" in check.message for check in doctor.checks(Scope.USER, version=257, caller=caller))


def test_this_machine_can_be_examined() -> None:
    """Whatever it has: no exception, and something to do for whatever is wrong."""
    for scope in Scope:
        for check in doctor.checks(scope):
            assert check.message
            assert check.remedy or check.status in (Status.OK, Status.INFO)


# --- what an import costs -----------------------------------------------------------------------------------------

HEAVY = {"asyncio", "psutil", "rich", "shutil", "socket", "subprocess", "tempfile", "typer", "dbus_fast", "systemd"}


def test_what_every_command_needs_imports_nothing_heavy() -> None:
    """`pysup list` has 60 ms for everything."""
    code = "import sys; from pysup.host import ground, cgroups, processes, cpus, users; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY.isdisjoint(loaded)


# --- in a box -----------------------------------------------------------------------------------------------------


def systemctl(scope: Scope, *words: str) -> str:
    done = subprocess.run(["systemctl", f"--{scope}", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def control_group(scope: Scope) -> Iterator[str]:
    """The control group of a unit that runs a shell and its child."""
    name = "pysup-host-test.service"
    unit = ground.runtime_dir(scope) / name
    unit.parent.mkdir(parents=True, exist_ok=True)
    script = "sleep 60 & systemd-notify --ready; exec sleep 60"
    unit.write_text(f"[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c '{script}'\n")
    systemctl(scope, "start", name)
    found = systemctl(scope, "show", "-P", "ControlGroup", name)
    yield found
    systemctl(scope, "stop", name)
    unit.unlink()


def test_a_process_counts_as_a_units_once_it_is_in_its_group(scope: Scope, control_group: str) -> None:
    """Before, it is in that of the manager that has just started it, whose use is not the unit's."""
    pid = int(systemctl(scope, "show", "-P", "MainPID", "pysup-host-test.service"))
    assert status.control_group(pid, "pysup-host-test.service") == control_group
    assert status.control_group(pid, "pysup-web@0.service") == ""


def test_a_units_use_is_known_in_both_scopes(scope: Scope, control_group: str) -> None:
    """From its group or, in a user manager on cgroup v1, from its processes."""
    found = cgroups.usage(control_group)
    assert found.memory
    assert found.tasks
    assert found.tasks >= 2
    assert found.cpu_seconds is not None
    if scope is Scope.USER and cgroups.hierarchy() is not Hierarchy.V2:
        assert found.source == "processes"


def test_a_real_unit_is_read_in_both_scopes(scope: Scope, control_group: str) -> None:
    """From its group or, in a user manager on cgroup v1, from its processes; each part says which."""
    found = Reader(cgroups.here()).read(control_group)
    assert found.cpu.seconds is not None
    assert found.memory.current
    assert found.tasks.current
    assert found.tasks.current >= 2
    assert found.descriptors.most
    assert found.descriptors.most >= 3
    assert found.descriptors.limit
    native = Source.V2 if cgroups.hierarchy() is Hierarchy.V2 else Source.V1
    is_counted = scope is Scope.SYSTEM or native is Source.V2
    assert found.memory.source == (native if is_counted else Source.PROCESSES)
    assert found.io.source


def test_bus_and_directories_are_those_of_the_manager(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without the environment of a session, as under cron and su."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    address = ground.bus_address(scope)
    words = "get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager UnitPath"
    called = subprocess.run(
        ["busctl", f"--address={address}", *words.split()], capture_output=True, text=True, check=True
    )
    paths = re.findall(r'"([^"]+)"', called.stdout)
    assert str(ground.runtime_dir(scope)) in paths
    assert str(ground.saved_dir(scope)) in paths
    assert not [check for check in doctor.checks(scope) if check.status is Status.FAIL]


def test_journalds_own_limit_for_users_is_told_until_it_is_lifted(tmp_path: Path) -> None:
    """Units of a user's cannot lift it; a drop-in for the user's manager can."""
    root = build(tmp_path, *HEALTHY)
    found = examine(root, scope=Scope.USER)["journal rate"]
    assert found.status is Status.INFO
    assert "LogRateLimitBurst" in found.remedy
    drop_in = tmp_path / "etc/systemd/system/user@.service.d/pysup.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nLogRateLimitBurst=4294967295\n")
    assert examine(root, scope=Scope.USER)["journal rate"].status is Status.OK
