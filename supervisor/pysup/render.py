"""App -> unit files, as text: pure, so that what will be written can be shown, compared and tested without systemd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pysup import check, names, probe, spec
from pysup.app import PER_CORE, App, Limits, ReadyWhen
from pysup.errors import SpecError
from pysup.unit import BOOT_TARGET as BOOT_TARGET  # also from here: it is a directive's value
from pysup.unit import Scope
from pysup.unitfile import command_line, print_environment, quote, section, specifier

Lines = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What rendering must know of the machine.

    ``cpus`` are the logical CPUs that the caller may run on; ``cores`` the first of each physical core among them.
    """

    scope: Scope
    cpus: tuple[int, ...]
    cores: tuple[int, ...]
    systemd_cat: str = "/usr/bin/systemd-cat"
    curl: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its text and its mode."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The files of an app by path below the unit directory, and its instances' numbers."""

    files: Mapping[str, File]
    numbers: tuple[int, ...]


def render(app: App, machine: Machine, directory: str) -> Rendered:
    """The unit files of *app*, to be put in *directory*.

    Raises SpecError when the machine has too few CPUs for it, or a ready condition that it cannot check.
    """
    numbers = tuple(range(count_instances(app, machine)))
    files = {
        names.template_unit(app.name): File(_template(app, machine, directory)),
        names.target_unit(app.name): File(_target(app, machine.scope, numbers)),
        names.slice_unit(app.name, app.namespace): File(_slice(app)),
    }
    if app.env:
        files[names.environment_file(app.name)] = File(print_environment(app.env), 0o600)
    cpus = place(app, machine)
    for number in numbers:
        different = list(_instance(app, number, cpus))
        if different:
            path = f"{names.instance_unit(app.name, number)}.d/instance.conf"
            files[path] = File(section("Service", different))
    return Rendered(files=files, numbers=numbers)


def place(app: App, machine: Machine) -> tuple[int, ...]:
    """The CPUs that instances are pinned to in turn; empty if they are not pinned."""
    if not app.is_per_core:
        return ()
    cpus = machine.cores if app.physical else machine.cpus
    reserved = cpus[: app.reserve] if isinstance(app.reserve, int) else app.reserve
    free = tuple(cpu for cpu in cpus if cpu not in reserved)
    if not free:
        raise SpecError(
            f"app {app.name!r}: reserve {app.reserve} leaves none of the {len(cpus)} CPUs",
            hint="Reserve fewer, or give a number of instances.",
        )
    return free


def count_instances(app: App, machine: Machine) -> int:
    """How many instances the app has on this machine."""
    return len(place(app, machine)) if app.instances == PER_CORE else int(app.instances)


def is_edited(template: str) -> bool:
    """Whether somebody has changed the text of a template since it was rendered."""
    above, marker, below = template.partition(f"[{spec.SECTION}]\n")
    digest = next((line[7:] for line in below.splitlines() if line.startswith("Digest=")), "")
    return not marker or digest != _digest(above)


def _template(app: App, machine: Machine, directory: str) -> str:
    text = (
        f"# Made by pysup, which reads it back. To add directives: systemctl edit {names.template_unit(app.name)}\n"
        + section("Unit", _unit_section(app, machine.scope))
        + "\n"
        + section("Service", _service_section(app, machine, directory))
        + "\n"
    )
    return text + section(spec.SECTION, [*spec.encode(app), ("Digest", _digest(text))])


def _digest(text: str) -> str:
    import hashlib  # loads OpenSSL: not for those who only read

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unit_section(app: App, scope: Scope) -> Lines:
    yield (
        "Description",
        specifier(app.description or f"{app.name}, instance ") + ("" if app.description else "%i"),
    )
    yield "PartOf", names.target_unit(app.name)
    if scope is Scope.SYSTEM:
        yield "After", "network.target"
    for directive, wanted in (("Wants", app.wants), ("Requires", app.requires), ("After", app.after)):
        for unit in map(dependency_unit, wanted):
            yield directive, specifier(unit)
            if directive != "After":
                yield "After", specifier(unit)
    yield "StartLimitIntervalSec", span(app.restart_window if app.restart_limit else 0)
    if app.restart_limit:
        yield "StartLimitBurst", str(app.restart_limit)
    yield from _extra(app.unit)


def dependency_unit(name: str) -> str:
    """The unit that an entry of wants, requires or after means."""
    return name if check.is_unit(name) else names.target_unit(name)


def _service_section(app: App, machine: Machine, directory: str) -> Lines:
    yield "Type", "notify" if app.ready.when is ReadyWhen.NOTIFY else "exec"
    if app.ready.when is ReadyWhen.NOTIFY:
        yield "NotifyAccess", "all"
    yield "ExecStart", _exec_start(app, machine)
    waiter = probe.command(app.ready, app.port is not None, curl=machine.curl)
    if waiter:
        yield "ExecStartPost", command_line(waiter)
    yield "TimeoutStartSec", span(app.ready.timeout)
    yield "WorkingDirectory", specifier(app.cwd)
    yield "Slice", names.slice_unit(app.name, app.namespace)
    yield from _environment(app, directory)
    yield from _ending(app)
    yield from _output(app)
    yield from limits(app.limits, app.nice)
    yield from _extra(app.service)


def _exec_start(app: App, machine: Machine) -> str:
    """The command; behind systemd-cat, which execs it, when its stderr is to be told apart in the journal."""
    command = command_line(app.argv)
    if (app.log.output, app.log.error) != ("journal", "journal"):
        return command
    cat = command_line([machine.systemd_cat])
    options = f"--identifier={names.PREFIX}{app.name}@%i --priority=info --stderr-priority=err"
    return f"{cat} {options} {command.removeprefix(':')}"


def _environment(app: App, directory: str) -> Lines:
    yield "Environment", f"{quote('PYSUP_APP=' + app.name)} PYSUP_INSTANCE=%i NODE_APP_INSTANCE=%i"
    for file in app.env_files:
        yield "EnvironmentFile", specifier(file)
    if app.env:
        yield "EnvironmentFile", specifier(f"{directory}/{names.environment_file(app.name)}")
    if app.user:
        yield "User", app.user
    if app.group:
        yield "Group", app.group


def _ending(app: App) -> Lines:
    yield "Restart", app.restart.value
    yield "RestartSec", span(app.restart_delay)
    # Programs that end by 128+SIGINT or 128+SIGTERM after that signal did what they were asked.
    yield "SuccessExitStatus", " ".join(["130", "143", *map(str, app.stop_exit_codes)])
    if app.stop_exit_codes:
        yield "RestartPreventExitStatus", " ".join(map(str, app.stop_exit_codes))
    yield "KillMode", app.kill_mode.value
    yield "KillSignal", app.stop_signal
    yield "TimeoutStopSec", span(app.stop_timeout)


def _output(app: App) -> Lines:
    yield "SyslogIdentifier", f"{names.PREFIX}{app.name}@%i"
    for directive, where in (("StandardOutput", app.log.output), ("StandardError", app.log.error)):
        if where.startswith("/"):
            where = "append:" + specifier(where).replace("{instance}", "%i")
        yield directive, where
    # systemd 252 does not tell journald of a 0, whose own limit holds then: of 100,000 lines at once it kept 35,000.
    yield "LogRateLimitIntervalSec", "30s" if app.log.rate_limit else "1us"
    if app.log.rate_limit:
        yield "LogRateLimitBurst", str(app.log.rate_limit)


def limits(limits: Limits, nice: int | None) -> Lines:
    """The directives that hold a service to these limits."""
    rows = (
        ("MemoryMax", limits.memory_max),
        ("MemoryHigh", limits.memory_high),
        ("CPUWeight", limits.cpu_weight),
        ("IOWeight", limits.io_weight),
        ("TasksMax", limits.tasks_max),
        ("LimitNOFILE", limits.nofile),
        ("Nice", nice),
    )
    for directive, value in rows:
        if value is not None:
            yield directive, str(value)
    if limits.cpu_quota is not None:
        yield "CPUQuota", f"{limits.cpu_quota * 100:.2f}".rstrip("0").rstrip(".") + "%"


def _extra(table: Mapping[str, tuple[str, ...]]) -> Lines:
    for directive, values in table.items():
        for value in values:
            yield directive, value


def _instance(app: App, number: int, cpus: tuple[int, ...]) -> Lines:
    if cpus:
        yield "CPUAffinity", str(cpus[number % len(cpus)])
    if app.port is not None:
        yield "Environment", f"PORT={app.port + number}"


def _target(app: App, scope: Scope, numbers: Iterable[int]) -> str:
    wants = [("Wants", names.instance_unit(app.name, number)) for number in numbers]
    unit = [("Description", f"{app.name}, all instances"), *wants]
    return section("Unit", unit) + "\n" + section("Install", [("WantedBy", BOOT_TARGET[scope])])


def _slice(app: App) -> str:
    return section("Unit", [("Description", f"{app.name}, resources of all instances")])


def span(seconds: float) -> str:
    """A time as systemd reads it, in the largest unit that is exact."""
    microseconds = round(seconds * 1_000_000)
    if microseconds % 1_000_000 == 0:
        return f"{microseconds // 1_000_000}s"
    if microseconds % 1000 == 0:
        return f"{microseconds // 1000}ms"
    return f"{microseconds}us"
