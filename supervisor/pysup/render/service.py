"""The sections of an instance's unit: what an app is, in systemd's words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pysup import balancers, check, companions, names, preload, probe, redirect, servers, sockets
from pysup.app import App, Limits
from pysup.health import ReadyWhen
from pysup.isolation import lines as isolation
from pysup.limits import table
from pysup.machine import Machine
from pysup.secret import reference, variables
from pysup.unit import Scope
from pysup.unitfile import command_line, quote, specifier

Lines = Iterator[tuple[str, str]]

# Files of variables are often the account's own, and commands of the unit that run as root (hooks) get them as well.
_OF_THE_LOADER = (
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_DEBUG", "LD_DEBUG_OUTPUT", "LD_PROFILE", "LD_PROFILE_OUTPUT"),
    *("GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_TRACE", "BASH_ENV", "ENV"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
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


def unit_section(form: Form) -> Lines:
    """What it belongs to, what comes before it, and when it is given up."""
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


def service_section(form: Form) -> Lines:
    """What it runs, as whom, within which limits, and how it ends."""
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


def _surroundings(form: Form) -> isolation.Surroundings:
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


def _exec_start(form: Form) -> str:
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


def _environment(form: Form) -> Lines:
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


def _output(form: Form) -> Lines:
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


def _extra(extras: Mapping[str, tuple[str, ...]]) -> Lines:
    for directive, values in extras.items():
        for value in values:
            yield directive, value


def counted(app: App, number: int) -> Lines:
    """Those variables that differ from instance to instance."""
    if app.port is not None:
        yield "Environment", f"PORT={app.port + number}"
    for name, base in app.increment.items():
        yield "Environment", f"{name}={base + number}"


def span(seconds: float) -> str:
    """A time as systemd reads it, in the largest unit that is exact."""
    microseconds = round(seconds * 1_000_000)
    if microseconds % 1_000_000 == 0:
        return f"{microseconds // 1_000_000}s"
    if microseconds % 1000 == 0:
        return f"{microseconds // 1000}ms"
    return f"{microseconds}us"
