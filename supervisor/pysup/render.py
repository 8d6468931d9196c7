"""App -> unit files, as text: pure, so that what will be written can be shown, compared and tested without systemd."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pysup import balancers, check, companions, idle, names, preload, probe, redirect, servers, sockets, spec
from pysup.app import App, Limits
from pysup.health import ReadyWhen
from pysup.isolation import lines as isolation
from pysup.limits import table
from pysup.machine import Machine
from pysup.placement import count_instances, place, reserved
from pysup.secret import reference, variables
from pysup.unit import BOOT_TARGET as BOOT_TARGET  # also from here: it is a directive's value
from pysup.unit import Scope
from pysup.unitfile import command_line, print_environment, quote, section, specifier

Lines = Iterator[tuple[str, str]]

# Files of variables are often the account's own, and commands of the unit that run as root (hooks) get them as well.
_OF_THE_LOADER = (
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_DEBUG", "LD_DEBUG_OUTPUT", "LD_PROFILE", "LD_PROFILE_OUTPUT"),
    *("GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_TRACE", "BASH_ENV", "ENV"),
)


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its text and its mode."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What a service unit of the app is written from; ``instance`` stands for the number in it.

    ``door`` is which of its sockets it is asked on, ``inherits`` are all of them but for those of ``spread``; its
    account opens the log files of ``opened``.
    """

    app: App
    machine: Machine
    directory: str
    instance: str = "%i"
    door: str = "%i"
    inherits: Sequence[str]
    environment: str
    preload: str
    probe: str
    balancer: str
    launch: str
    opened: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The files of an app by path below the unit directory, and its instances' numbers."""

    files: Mapping[str, File]
    numbers: tuple[int, ...]


def render(app: App, machine: Machine, directory: str, *, opened: Collection[str] = ()) -> Rendered:
    """The unit files of *app*, to be put in *directory*; its account opens the log files of *opened* itself.

    Raises SpecError when the machine has too few CPUs for it, or the program cannot meet its ready condition, or is
    known not to take a socket.
    """
    preload.check(app)
    servers.check(app)
    numbers = tuple(range(count_instances(app, machine)))
    beside = companions.files(app, numbers, machine.scope, directory, machine.python)
    instances = [names.instance_unit(app.name, number) for number in numbers if not app.is_job]
    started = [*(sockets.all_units(app, numbers) if app.on_demand else instances), *companions.wanted(beside)]
    files = {
        names.template_unit(app.name): File(_template(_form(app, machine, directory, opened))),
        names.target_unit(app.name): File(_target(app, machine.scope, started, numbers)),
        names.slice_unit(app.name, app.namespace): File(_slice(app)),
    }
    if app.env:
        files[names.environment_file(app.name)] = File(print_environment(app.env), 0o600)
    idler = idle.files(app, machine.scope, python=machine.plain_python, directory=directory)
    files |= {name: File(text) for name, text in (sockets.files(app, numbers) | beside | idler).items()}
    if preload.is_for(app):
        files[names.preload_file(app.name)] = File(machine.preload)
    if probe.is_for(app):
        files[names.probe_file(app.name)] = File(machine.probe)
    if servers.is_launched(app):
        files[names.launch_file(app.name)] = File(machine.launch)
    cpus = place(app, machine)
    for number in numbers:
        text = _instance(app, number, cpus)
        if text:
            files[f"{names.instance_unit(app.name, number)}.d/instance.conf"] = File(text)
    if app.reserve_for:
        files[names.reservation_file(app.name, app.reserve_for)] = File(_reservation(app, machine))
    return Rendered(files=files, numbers=numbers)


def is_edited(template: str) -> bool:
    """Whether somebody has changed the text of a template since it was rendered."""
    above, marker, below = template.partition(f"[{spec.SECTION}]\n")
    digest = next((line[7:] for line in below.splitlines() if line.startswith("Digest=")), "")
    return not marker or digest != _digest(above)


def render_spare(
    app: App, machine: Machine, directory: str, index: int = 0, *, opened: Collection[str] = ()
) -> dict[str, File]:
    """The files of one more instance, to stand beside those of the app in *directory*; it is not started again."""
    kind = names.spare(index)
    doors = {names.probe_unit(app.name, kind): sockets.probe(app, kind)} if app.probed else {}
    form = _beside(_form(app, machine, directory, opened), kind, index)
    return _render_beside(replace(form, inherits=sockets.inherited(app, kind)), kind, doors)


def render_trial(app: App, machine: Machine, directory: str, *, opened: Collection[str] = ()) -> dict[str, File]:
    """The files of an instance that shares no socket, but has its own of the same names."""
    doors = sockets.stand_ins(app)
    form = _beside(_form(replace(app, watchdog=None, spread=False), machine, directory, opened), names.TRIAL)
    return _render_beside(replace(form, door=sockets.stand_in(app), inherits=[*doors]), names.TRIAL, doors)


def _form(app: App, machine: Machine, directory: str, opened: Collection[str]) -> _Form:
    """That of the template."""
    return _Form(
        app=app,
        machine=machine,
        directory=directory,
        inherits=sockets.inherited(app, "%i"),
        environment=names.environment_file(app.name),
        preload=names.preload_file(app.name),
        probe=names.probe_file(app.name),
        balancer=names.balancer_file(app.name),
        launch=names.launch_file(app.name),
        opened=opened,
    )


def _beside(form: _Form, kind: str, index: int = 0) -> _Form:
    """That of an instance beside the app's own, with files of its own."""
    environment, preloaded, asks, config, launch = (
        names.spare_file(form.app.name, kind, suffix) for suffix in ("env", "cjs", "py", "conf", "launch")
    )
    number = str(count_instances(form.app, form.machine) + index)
    return replace(
        form,
        instance=number,
        door=kind,
        environment=environment,
        preload=preloaded,
        probe=asks,
        balancer=config,
        launch=launch,
    )


def _render_beside(form: _Form, kind: str, doors: Mapping[str, str]) -> dict[str, File]:
    app, machine = form.app, form.machine
    service = [*_service_section(form), ("Restart", "no"), *_counted(app, int(form.instance))]
    text = section("Unit", _unit_section(form)) + "\n" + section("Service", service)
    files = {unit: File(socket) for unit, socket in doors.items()}
    if app.env:
        files[form.environment] = File(print_environment(app.env), 0o600)
    if preload.is_for(app):
        files[form.preload] = File(machine.preload)
    if probe.is_for(app):
        files[form.probe] = File(machine.probe)
    if servers.is_launched(app):
        files[form.launch] = File(machine.launch)
    return {**files, names.spare_unit(app.name, kind): File(text)}


def _template(form: _Form) -> str:
    app = form.app
    text = (
        f"# Made by pysup, which reads it back. To add directives: systemctl edit {names.template_unit(app.name)}\n"
        + section("Unit", _unit_section(form))
        + "\n"
        + section("Service", _service_section(form))
        + "\n"
    )
    return text + section(spec.SECTION, [*spec.encode(app), ("Digest", _digest(text))])


def _digest(text: str) -> str:
    import hashlib  # loads OpenSSL: not for those who only read

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unit_section(form: _Form) -> Lines:
    app = form.app
    described = specifier(app.description) or f"{app.name}, instance {form.instance}"
    yield "Description", described
    yield "PartOf", names.target_unit(app.name)
    if form.machine.scope is Scope.SYSTEM:
        yield "After", "network.target"
    for directive, wanted in (("Wants", app.wants), ("Requires", app.requires), ("After", app.after)):
        for unit in map(dependency_unit, wanted):
            yield directive, specifier(unit)
            if directive != "After":
                yield "After", specifier(unit)
    yield from sockets.unit_section(form.inherits)
    if app.stdin and form.instance == "%i":
        yield from companions.stdin_unit(app, form.instance)
    if app.idle_timeout:
        yield "Upholds", names.idle_unit(app.name)
    # An instance at its start limit takes a socket that it shares down with it: there the brake stands in.
    is_limited = app.restart_limit and not app.listen and not app.is_job
    yield "StartLimitIntervalSec", span(app.restart_window if is_limited else 0)
    if is_limited:
        yield "StartLimitBurst", str(app.restart_limit)
    yield from _extra(app.unit)


def dependency_unit(name: str) -> str:
    """The unit that an entry of wants, requires or after means."""
    return name if check.is_unit(name) else names.target_unit(name)


def _service_section(form: _Form) -> Lines:
    app, machine = form.app, form.machine
    yield "Type", "oneshot" if app.is_job else "notify" if app.ready.is_told else "exec"
    if app.ready.is_told or app.watchdog:
        yield "NotifyAccess", "all"
    if app.watchdog and preload.tells_alive(app):
        yield "WatchdogSec", span(app.watchdog.interval)
    if app.listen or app.restart_delay_max or app.balance:
        yield from sockets.runtime_directory(app, form.instance)
    own = isolation.helper(app, machine.scope)
    if (app.listen or app.restart_delay_max) and form.instance == "%i":
        for directive, value in sockets.brake(app, machine.scope):
            yield directive, own + value
    if app.balance:
        yield from balancers.service_section(app.balance, f"{form.directory}/{form.balancer}")
    yield "ExecStart", _exec_start(form)
    asks = (machine.plain_python, "-I", "-S", f"{form.directory}/{form.probe}")
    for command in probe.commands(app, machine.scope, asks, form.door):
        yield "ExecStartPost", own + command
    yield "TimeoutStartSec", "infinity" if app.is_job else span(app.ready.timeout)
    yield "WorkingDirectory", specifier(app.cwd)
    yield "Slice", names.slice_unit(app.name, app.namespace)
    yield "IOAccounting", "yes"  # systemd's own default since 258
    if app.listen:
        yield from sockets.service_section(form.inherits)
        yield "NonBlocking", "no" if servers.waits_in_accept(app) else "yes"
        yield "Environment", sockets.environment(app)
    if app.stdin and form.instance == "%i":
        yield from companions.stdin_service(app, form.instance)
    for name, value in servers.environment(app):
        yield "Environment", quote(f"{name}={value}")
    yield from _environment(form)
    yield from _ending(app)
    yield from _output(form)
    yield from limits(companions.limits(app), app.nice)
    yield from isolation.lines(app, _surroundings(form))
    yield from _extra(app.service)


def _surroundings(form: _Form) -> isolation.Surroundings:
    app, machine = form.app, form.machine
    files = ((form.preload, preload.is_for(app)), (form.launch, servers.is_launched(app)))
    return isolation.Surroundings(
        scope=machine.scope,
        namespaces=machine.namespaces,
        real=(*machine.real, machine.plain_python),
        files=tuple(f"{form.directory}/{file}" for file, is_there in files if is_there),
        logs=tuple(form.opened),
        instance=form.instance,
    )


def _exec_start(form: _Form) -> str:
    """The command; behind systemd-cat, which execs it, when its stderr is to be told apart in the journal."""
    app = form.app
    count = len(form.inherits) + (len(app.listen) if app.spread else 0)
    words = preload.argv(app, f"{form.directory}/{form.preload}", count)
    words = variables.argv(app.secret_env, servers.argv(app, words, f"{form.directory}/{form.launch}"))
    command = command_line(words)
    if before := redirect.words(app, form.opened):
        command = f"{command_line(before).replace('{instance}', form.instance)} {command.removeprefix(':')}"
    if (app.log.output, app.log.error) != ("journal", "journal"):
        return command
    cat = command_line([form.machine.systemd_cat])
    options = f"--identifier={names.PREFIX}{app.name}@{form.instance} --priority=info --stderr-priority=err"
    return f"{cat} {options} {command.removeprefix(':')}"


def _environment(form: _Form) -> Lines:
    app, machine = form.app, form.machine
    numbers = f"PYSUP_INSTANCE={form.instance} {app.instance_var}={form.instance}"
    yield "Environment", f"{quote('PYSUP_APP=' + app.name)} {numbers}"
    if preload.is_for(app) and app.ready.when is not ReadyWhen.NOTIFY:  # else listening is what makes it ready
        yield "Environment", f"PYSUP_READY={'send' if app.ready.when is ReadyWhen.SEND else 'none'}"
    for file in app.env_files:
        yield "EnvironmentFile", specifier(file)
    if app.env_files and machine.scope is Scope.SYSTEM:
        yield "UnsetEnvironment", " ".join(name for name in _OF_THE_LOADER if name not in app.env)
    if app.env:
        yield "EnvironmentFile", specifier(f"{form.directory}/{form.environment}")
    for directive, value in reference.directives(app.secrets):
        yield directive, specifier(value)
    if app.user:
        yield "User", app.user
    if app.group:
        yield "Group", app.group


def _ending(app: App) -> Lines:
    yield "Restart", app.restart.value
    yield "RestartSec", span(0 if app.restart_delay_max else app.restart_delay)
    # Programs that end by 128+SIGINT or 128+SIGTERM after that signal did what they were asked.
    yield "SuccessExitStatus", " ".join(["130", "143", *map(str, app.stop_exit_codes)])
    if app.stop_exit_codes:
        yield "RestartPreventExitStatus", " ".join(map(str, app.stop_exit_codes))
    yield "KillMode", app.kill_mode.value
    yield "KillSignal", servers.stop_signal(app)
    yield "TimeoutStopSec", span(app.stop_timeout)


def _output(form: _Form) -> Lines:
    app, instance = form.app, form.instance
    yield "SyslogIdentifier", f"{names.PREFIX}{app.name}@{instance}"
    for directive, where in (("StandardOutput", app.log.output), ("StandardError", app.log.error)):
        if where in form.opened:
            where = "journal"  # what the shell says if it cannot
        elif where.startswith("/"):
            where = "append:" + specifier(where).replace("{instance}", instance)
        yield directive, where
    # systemd 252 does not tell journald of a 0, whose own limit holds then: of 100,000 lines at once it kept 35,000.
    yield "LogRateLimitIntervalSec", "30s" if app.log.rate_limit else "1us"
    if app.log.rate_limit:
        yield "LogRateLimitBurst", str(app.log.rate_limit)


def limits(limits: Limits, nice: int | None) -> Lines:
    """The directives that hold a service to these limits."""
    yield from table.directives(limits)
    if nice is not None:
        yield "Nice", str(nice)


def _reservation(app: App, machine: Machine) -> str:
    """What keeps the unit that CPUs are reserved for on them; a process could leave those that it only begins on."""
    cpus = table.numbers(reserved(app, machine))
    text = section("Service", [("AllowedCPUs", cpus), ("CPUAffinity", ""), ("CPUAffinity", cpus)])
    return f"# Made by pysup: app {app.name} leaves these CPUs to it.\n{text}"


def _extra(extras: Mapping[str, tuple[str, ...]]) -> Lines:
    for directive, values in extras.items():
        for value in values:
            yield directive, value


def _instance(app: App, number: int, cpus: tuple[tuple[int, ...], ...]) -> str:
    """What differs from the template; empty if nothing does."""
    unit = list(sockets.unit_section(sockets.units(app, number))) if app.spread else []
    service = list(sockets.service_section(sockets.units(app, number))) if app.spread else []
    if cpus:
        service.append(("CPUAffinity", " ".join(map(str, cpus[number % len(cpus)]))))
    service += _counted(app, number)
    return "\n".join(section(name, lines) for name, lines in (("Unit", unit), ("Service", service)) if lines)


def _counted(app: App, number: int) -> Lines:
    """Variables that differ from instance to instance."""
    if app.port is not None:
        yield "Environment", f"PORT={app.port + number}"
    for name, base in app.increment.items():
        yield "Environment", f"{name}={base + number}"


def _target(app: App, scope: Scope, units: Iterable[str], numbers: Iterable[int]) -> str:
    """What is started, and what is started by others than systemd's start of this: read back by pysup."""
    unit = [("Description", f"{app.name}, all instances"), *(("Wants", unit) for unit in units)]
    parts = [section("Unit", unit)]
    if app.on_demand:
        parts.append(section(spec.SECTION, [("Wants", names.instance_unit(app.name, number)) for number in numbers]))
    if app.autostart:
        parts.append(section("Install", [("WantedBy", BOOT_TARGET[scope])]))
    return "\n".join(parts)


def _slice(app: App) -> str:
    parts = [section("Unit", [("Description", f"{app.name}, resources of all instances")])]
    held = list(table.directives(app.total))
    return "\n".join([*parts, section("Slice", held)] if held else parts)


def span(seconds: float) -> str:
    """A time as systemd reads it, in the largest unit that is exact."""
    microseconds = round(seconds * 1_000_000)
    if microseconds % 1_000_000 == 0:
        return f"{microseconds // 1_000_000}s"
    if microseconds % 1000 == 0:
        return f"{microseconds // 1000}ms"
    return f"{microseconds}us"
