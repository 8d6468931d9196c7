"""Checks of the machine: what pysup stands on, what is missing, and what to type."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pysup.errors import EnvironmentProblem
from pysup.host import cgroups, delegation, features, ground, users
from pysup.host.cgroups import Cgroups, Hierarchy
from pysup.host.ground import Caller
from pysup.unit import Scope

_FIRST_PERSON = 1000  # SYSTEM_UID_MAX + 1: smaller numbers log into the machine's journal


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"


class Fix(NamedTuple):
    """A file that mends something, and what has to happen then."""

    path: Path
    text: str
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at; ``remedy`` is what to type, empty if there is nothing to do.

    ``fix`` is what ``doctor --fix`` would write as root, if it can mend it.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""
    fix: Fix | None = None


_DELEGATE = Fix(
    delegation.DROP_IN,
    delegation.TEXT,
    "it counts once the user's manager has started anew: log out everywhere and in again, without lingering, or reboot",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """What the checks look at."""

    scope: Scope
    caller: Caller
    cgroups: Cgroups
    version: int | None
    controllers: Collection[str] = field(default_factory=tuple)

    def has(self, *paths: str) -> bool:
        return any(self.caller.path(path).exists() for path in paths)

    @property
    def sudo(self) -> str:
        return "sudo " if self.caller.uid else ""


def checks(scope: Scope, *, version: int | None = None, caller: Caller | None = None) -> list[Check]:
    """All that can be checked without asking systemd.

    *version* is the manager's, if the caller has asked it; else it is what ``systemctl --version`` says.
    """
    caller = caller or Caller.now()
    trees = cgroups.find(str(caller.root).rstrip("/"))
    machine = _Machine(
        scope=scope,
        caller=caller,
        cgroups=trees,
        version=_installed_version() if version is None else version,
        controllers=trees.controllers() if scope is Scope.SYSTEM else trees.delegated(caller.uid),
    )
    return [check for look in _LOOKS for check in look(machine)]


def _systemd(machine: _Machine) -> Iterator[Check]:
    try:
        ground.require_systemd(machine.caller)
    except EnvironmentProblem as problem:
        yield _failed("systemd", problem)
        return
    if machine.version is None:
        yield Check(
            name="systemd",
            status=Status.WARN,
            message="its version is not known: systemctl does not tell",
            remedy="Type: systemctl --version",
        )
    elif machine.version < features.OLDEST:
        yield Check(
            name="systemd",
            status=Status.FAIL,
            message=f"version {machine.version}; pysup needs {features.OLDEST} or newer",
            remedy="Upgrade the distribution (Debian 12 has 252, Ubuntu 22.04 has 249).",
        )
    else:
        yield Check(name="systemd", status=Status.OK, message=f"version {machine.version}")


def _features(machine: _Machine) -> Iterator[Check]:
    hierarchy = machine.cgroups.hierarchy
    controllers = machine.controllers if machine.scope is Scope.USER else None
    for feature in features.lacking(machine.version or features.OLDEST, hierarchy, controllers=controllers):
        if feature.is_in(machine.version or features.OLDEST, Hierarchy.V2):
            need = "needs cgroup v2" if feature.needs_v2 and hierarchy is not Hierarchy.V2 else "is not delegated"
        else:
            need = f"needs systemd {feature.first_in(machine.scope)}"
        yield Check(
            name="feature",
            status=Status.INFO,
            message=f"{feature.name} ({feature.directive}) {need}: {feature.without}",
        )


def _bus(machine: _Machine) -> Iterator[Check]:
    try:
        address = ground.bus_address(machine.scope, machine.caller)
    except EnvironmentProblem as problem:
        yield _failed(f"{machine.scope} manager", problem)
    else:
        yield Check(name=f"{machine.scope} manager", status=Status.OK, message=f"its bus is {address}")


def _lingering(machine: _Machine) -> Iterator[Check]:
    name = machine.caller.name
    if machine.scope is Scope.SYSTEM:
        return
    if users.lingering(name, root=machine.caller.root):
        yield Check(name="lingering", status=Status.OK, message=f"the apps of {name} run from boot on")
    else:
        yield Check(
            name="lingering",
            status=Status.WARN,
            message=f"off for {name}: their apps end when they log out, and do not start at boot",
            remedy=f"Type: pysup startup (or {machine.sudo}loginctl enable-linger {name})",
        )


def _hierarchy(machine: _Machine) -> Iterator[Check]:
    hierarchy = machine.cgroups.hierarchy
    if hierarchy is Hierarchy.V2:
        yield Check(name="cgroups", status=Status.OK, message="v2")
    else:
        yield Check(
            name="cgroups",
            status=Status.WARN,
            message=f"{hierarchy}: some limits have no effect, and systemd 258 no longer has it",
            remedy="Boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line.",
        )


def _controllers(machine: _Machine) -> Iterator[Check]:
    wanted = {"cpu", "cpuset", "io", "memory", "pids"}
    if machine.cgroups.hierarchy is not Hierarchy.V2:
        wanted = wanted - {"io"} | {"blkio"}
    missing = " ".join(sorted(wanted - set(machine.controllers)))
    found = " ".join(sorted(wanted & set(machine.controllers))) or "none"
    if not missing:
        yield Check(name="controllers", status=Status.OK, message=found)
    elif machine.scope is Scope.SYSTEM:
        yield Check(
            name="controllers",
            status=Status.WARN,
            message=f"{found}; the kernel has no {missing}: such limits have no effect",
            remedy="In a container, let its host pass them on; else enable them in the kernel (cgroup_enable=).",
        )
    elif machine.cgroups.hierarchy is not Hierarchy.V2:
        yield Check(
            name="controllers",
            status=Status.WARN,
            message="a user's manager has none of cgroup v1: memory, CPU and task limits have no effect",
            remedy="Boot with cgroup v2, or run such apps in system scope, as root.",
        )
    else:
        yield Check(
            name="controllers",
            status=Status.WARN,
            message=f"{found}; not delegated: {missing}, so such limits have no effect",
            remedy=f"Type: sudo pysup doctor --fix, which writes {delegation.DROP_IN}: "
            f"{delegation.LINE}; {_DELEGATE.then}",
            fix=_DELEGATE,
        )


def _users(machine: _Machine) -> Iterator[Check]:
    """What root can do for the users of the machine."""
    if machine.scope is Scope.USER or machine.cgroups.hierarchy is not Hierarchy.V2:
        return
    missing = " ".join(delegation.missing(machine.caller.root))
    if missing:
        yield Check(
            name="users",
            status=Status.INFO,
            message=f"their own managers get no {missing}: such limits of their apps have no effect",
            remedy=f"Type: {machine.sudo}pysup doctor --fix, which writes {delegation.DROP_IN}",
            fix=_DELEGATE,
        )


def _journal(machine: _Machine) -> Iterator[Check]:
    if not machine.has("/run/systemd/journal/socket"):
        yield Check(
            name="journal",
            status=Status.FAIL,
            message="systemd-journald is not running: no output is kept",
            remedy=f"Type: {machine.sudo}systemctl start systemd-journald.socket systemd-journald.service",
        )
        return
    kept = machine.has("/var/log/journal")
    if kept:
        yield Check(name="journal", status=Status.OK, message="kept on disk, over reboots")
    else:
        yield Check(
            name="journal",
            status=Status.WARN,
            message="kept in memory only: a reboot loses it",
            remedy=f"Type: {machine.sudo}mkdir -p /var/log/journal && {machine.sudo}systemctl restart "
            "systemd-journal-flush.service",
        )
    yield _journal_access(machine, kept=kept)


def _journal_access(machine: _Machine, *, kept: bool) -> Check:
    caller = machine.caller
    folder = caller.path("/var/log/journal" if kept else "/run/log/journal")
    # On disk, journald gives each person's account a file of its own, which they may read: journald.conf(5).
    has_own = kept and machine.scope is Scope.USER and caller.uid >= _FIRST_PERSON
    if has_own or any(os.access(file, os.R_OK) for file in folder.glob("*/system.journal")):
        return Check(name="journal access", status=Status.OK, message=f"{caller.name} may read it")
    return Check(
        name="journal access",
        status=Status.WARN,
        message=f"{caller.name} may not read it: logs will be empty",
        remedy=f"Type: sudo usermod -aG systemd-journal {caller.name}, then log in anew",
    )


def _journal_rate(machine: _Machine) -> Iterator[Check]:
    """In user scope journald counts the lines of all of a user's units together: 35,000 of 200,000 were kept."""
    if machine.scope is not Scope.USER:
        return
    places = ("/etc/systemd/system/user@.service.d", "/etc/systemd/journald.conf.d")
    files = [file for place in places for file in machine.caller.path(place).glob("*.conf")]
    if any("RateLimit" in file.read_text(errors="replace") for file in files if os.access(file, os.R_OK)):
        yield Check(name="journal rate", status=Status.OK, message="set by hand for users")
        return
    drop_in = "/etc/systemd/system/user@.service.d/pysup.conf"
    lines = r"[Service]\nLogRateLimitIntervalSec=1s\nLogRateLimitBurst=4294967295\n"
    yield Check(
        name="journal rate",
        status=Status.INFO,
        message="journald drops lines of a user's apps above its own limit: theirs has no effect",
        remedy=f"Type: sudo mkdir -p {drop_in.rpartition('/')[0]} && printf '{lines}' | sudo tee {drop_in} && "
        "sudo systemctl daemon-reload, then log in anew",
    )


def _packages(machine: _Machine) -> Iterator[Check]:
    for package, program, gain in (
        ("systemd-coredump", "/usr/lib/systemd/systemd-coredump", "stack traces of crashed apps"),
        ("systemd-oomd", "/usr/lib/systemd/systemd-oomd", "kills by memory pressure (ManagedOOM…=, cgroup v2)"),
    ):
        if machine.has(program, program.removeprefix("/usr")):
            yield Check(name=package, status=Status.OK, message=f"installed: {gain}")
        else:
            yield Check(
                name=package,
                status=Status.INFO,
                message=f"not installed: no {gain}",
                remedy=f"Type: {machine.sudo}apt install {package}",
            )


_LOOKS: tuple[Callable[[_Machine], Iterator[Check]], ...] = (
    _systemd,
    _bus,
    _lingering,
    _hierarchy,
    _controllers,
    _users,
    _journal,
    _journal_rate,
    _packages,
    _features,
)


def _failed(name: str, problem: EnvironmentProblem) -> Check:
    return Check(name=name, status=Status.FAIL, message=problem.message, remedy=problem.hint)


def _installed_version() -> int | None:
    import subprocess  # only the doctor asks

    try:
        done = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return features.parse_version(done.stdout)
