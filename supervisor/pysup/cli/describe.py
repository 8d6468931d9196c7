"""``pysup describe``: everything that one asks at three in the morning."""

from __future__ import annotations

import json as text
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, NamedTuple

import typer

from pysup import companions, cores, explain
from pysup.app import PER_CORE, App, KillMode
from pysup.cli import described, instances, output
from pysup.cli.options import Json, Scopes, Targets, manager
from pysup.describe import Description, InstanceDescription
from pysup.explain import exit_words
from pysup.health import Question, ReadyWhen, WatchdogWhen
from pysup.isolate import said
from pysup.limits import Limits
from pysup.limits.table import ROWS, Kind, written
from pysup.render.service import span
from pysup.secret import reference
from pysup.unit import AppStatus, Exit, Scope

_COLOURS = {
    **dict.fromkeys(("active", "waiting", "listening"), output.GREEN),
    "failed": output.RED,
    "inactive": output.DIM,
}


class Row(NamedTuple):
    """A name and a value; rows without a value are not shown."""

    title: str
    value: str
    colour: str = ""


def describe(
    targets: Targets,
    scope: Scopes = None,
    json: Json = False,
    show_env: Annotated[
        bool, typer.Option("--show-env", help="Values of the environment, too, not just names.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many last log lines.")] = 10,
) -> None:
    """Show all about apps or instances: state, last exit, why it failed, what to try, limits and use, files, log.

    Examples:
      pysup describe web
      pysup describe web@1
      pysup describe web --show-env
      pysup describe web --json | jq '.[0].instances[].why'
    """
    with manager(scope) as apps:
        found = apps.describe(targets, lines=lines)
    if json:
        output.echo(text.dumps([described.as_object(one, show_env=show_env) for one in found], indent=2))
        return
    for index, one in enumerate(found):
        if index:
            output.echo()
        _show(one, show_env=show_env)


def _show(found: Description, *, show_env: bool) -> None:
    app = found.app
    up = sum(one.is_up for one in app.instances)
    state = f"{up} of {len(app.instances)} up" if app.spec else "broken"
    good = bool(app.instances) and up == len(app.instances)
    if app.spec and app.spec.is_job:
        state, good = "a job", app.instances[0].state in ("waiting", "activating")
    output.echo(f"{output.paint(app.name, output.BOLD)}: {output.paint(state, output.GREEN if good else output.RED)}")
    if app.problem:
        output.echo(f"  {output.paint(app.problem, output.RED)}")
    if app.spec:
        print_rows(_of_app(found, app.spec, show_env=show_env))
    print_rows(_of_files(found))
    now = time.time()
    for one in found.instances:
        output.echo()
        _show_instance(one, now, whole=len(found.instances) == 1 or one.why is not None)


def _show_instance(found: InstanceDescription, now: float, *, whole: bool) -> None:
    one = found.instance
    state = output.paint(one.state, _COLOURS.get(one.state, output.YELLOW))
    since = f" since {moment(one.since, now)}" if one.since else ""
    output.echo(f"{output.paint(str(one.name), output.BOLD)}: {state}{since}")
    print_rows(_of_instance(found, now))
    if found.why:
        print_rows([Row("why", found.why.what, output.RED), Row("try", found.why.remedy)])
    elif one.restarts:
        again = found.ended
        print_rows([Row("ended", again.what if again else ""), Row("try", again.remedy if again else "")])
        print_rows([Row("note", f"it ended {one.restarts} times since it was started by hand; pysup logs {one.name}")])
    if found.core:
        print_rows([Row("core dump", f"{output.plain(found.core.file) or 'not kept'}  ({found.core.command})")])
    elif one.last_exit and explain.is_fault(one.last_exit) and not cores.is_kept():
        print_rows([Row("core dump", f"none. {cores.HOW_TO}")])
    for line in found.core.stack if found.core else ():
        output.echo(f"    {output.plain(line)}")
    if whole and found.log:
        output.echo("  last lines")
        for line in found.log:
            output.echo(f"    {output.paint('|', output.DIM)} {output.plain(line)}")


def about(found: Description) -> Iterator[Row]:
    """The same as names and values, for other faces: instances with something wrong, or the only one, come first."""
    now = time.time()
    yield Row("problem", found.app.problem)
    for one in found.instances:
        if len(found.instances) == 1 or one.why:
            yield Row(str(one.instance.name), one.instance.state)
            yield Row("why", one.why.what if one.why else one.ended.what if one.ended else "")
            yield Row("try", one.why.remedy if one.why else one.ended.remedy if one.ended else "")
            yield from _of_instance(one, now)
    if found.app.spec:
        yield from _of_app(found, found.app.spec, show_env=False)
    yield from _of_files(found)


def _of_app(found: Description, app: App, *, show_env: bool) -> Iterator[Row]:
    yield Row("description", app.description)
    yield Row("command", output.plain(shlex.join(app.argv)))
    yield Row("directory", app.cwd)
    yield Row("namespace", app.namespace)
    yield Row("scope", found.app.scope.value + (f", as {app.user}" if app.user else ""))
    yield Row("isolation", said(app.isolate))
    yield Row("instances", _count(app))
    yield Row("ports", "" if app.port is None else f"{app.port} and up")
    yield Row("listens on", ", ".join(f"{one.name}={one.address}" for one in app.listen) + _spread(app))
    yield Row("balances", _balances(app))
    yield Row("starts", _starts(app))
    yield Row("restart", _restart(app))
    yield from _schedule(found.app, app)
    yield Row("watches", _watch(app))
    yield Row("memory", _memory(app))
    yield Row("stop", _stop(app))
    yield Row("ready", _ready(app))
    yield Row("watchdog", _watchdog(app))
    yield Row("limits", _limits(app.limits))
    for number, own in app.instance_limits.items():
        yield Row(f"limits of @{number}", _limits(own))
    yield Row("together", _limits(app.total))
    yield Row("nice", "" if app.nice is None else str(app.nice))
    yield Row("stdin", f"pysup send {app.name} TEXT, pysup attach {app.name}@0" if app.stdin else "")
    yield Row("env", _env(app.shown_env, show_env=show_env, is_hidden=found.is_env_hidden))
    yield Row("secrets", _secrets(app))
    yield Row("env files", ", ".join(app.env_files))
    yield Row("output", _places(app))
    for title in ("wants", "requires", "after"):
        yield Row(title, ", ".join(getattr(app, title)))
    extras = (f"{key}={value}" for table in (app.unit, app.service) for key, each in table.items() for value in each)
    yield Row("directives", output.plain(", ".join(extras)))


def _schedule(status: AppStatus, app: App) -> Iterator[Row]:
    if not app.schedule:
        return
    what = "runs at" if app.is_job else "restarted at"
    calendar = (
        "" if app.schedule.calendar == (app.schedule.when,) else f" (OnCalendar={'; '.join(app.schedule.calendar)})"
    )
    extras = ["random delay of up to " + span(app.schedule.random_delay)] if app.schedule.random_delay else []
    extras += ["a missed run is made up for"] if app.schedule.catch_up else []
    yield Row(what, "; ".join([app.schedule.when + calendar, *extras]))
    runs = app.is_job and any(one.pid for one in status.instances)  # systemd reckons the next time at its end
    none = "known once this one has ended" if runs else "none: it is stopped, or its times are over"
    yield Row("next run", _clock(status.next_run) if status.next_run else none)
    last = [run for one in status.instances if (run := instances.last_run(status, one))]
    yield Row("last run", _clock(last[0]) if last else "")


def _watch(app: App) -> str:
    if not app.watch:
        return ""
    ignored = f", but for {', '.join(app.watch.ignore)}" if app.watch.ignore else ""
    return output.plain(
        f"{', '.join(app.watch.paths) or app.cwd}{ignored}; restarted once quiet for {span(app.watch.delay)}"
    )


def _memory(app: App) -> str:
    hard = companions.limits(app).memory_max
    if app.memory_restart is None or hard is None:
        return ""
    return f"restarted at {instances.size(app.memory_restart)}, killed at {instances.size(hard)}"


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _balances(app: App) -> str:
    balance = app.balance
    if balance is None:
        return ""
    place = f", as {balance.include} on {', '.join(balance.binds)}" if balance.include else ""
    sticky = ", sticky" if balance.sticky else ""
    return f"{balance.app}, with {balance.program} ({balance.mode}{sticky}){place}"


def _of_files(found: Description) -> Iterator[Row]:
    app = found.app
    back = "yes, it comes back after a reboot" if app.saved else f"no, gone after a reboot (pysup save {app.name})"
    yield Row("saved", back)
    for index, file in enumerate(found.files):
        note = "  (not pysup's: somebody added it)" if file in found.foreign else ""
        yield Row("files" if not index else "", f"{file}{note}")
    if found.is_edited:
        yield Row("note", "its template was changed by hand; pysup's next change of the app undoes that", output.YELLOW)
    if found.is_stale:
        reload = "systemctl --user daemon-reload" if app.scope is Scope.USER else "systemctl daemon-reload"
        yield Row("note", f"systemd has not read its files as they are now: {reload}", output.YELLOW)
    for note in app.notes:
        yield Row("note", note, output.YELLOW)


def _of_instance(found: InstanceDescription, now: float) -> Iterator[Row]:
    one, limits = found.instance, found.limits
    others = [pid for pid in found.pids if pid != one.pid]
    yield Row("unit", one.name.unit)
    yield Row("pid", (f"{one.pid}" + (f", and {len(others)} more" if others else "")) if one.pid else "")
    yield Row("user", one.user)
    yield Row("port", "" if one.port is None else str(one.port))
    yield Row("pinned to CPU", ", ".join(map(str, one.cpus)))
    yield Row("restarts", str(one.restarts))
    if found.restarted:
        yield Row("restarted", f"because {output.plain(found.restarted.reason)}, {moment(found.restarted.at, now)}")
    yield Row("last exit", _exit(one.last_exit, now) if one.last_exit else "")
    if one.pid:
        yield Row("memory", _against(one.usage.memory, limits.memory_max, instances.size))
        yield Row("cpu", _cpu(found, now))
        yield Row("tasks", _against(one.usage.tasks, limits.tasks_max, str))
        yield Row("control group", one.control_group)


def _cpu(found: InstanceDescription, now: float) -> str:
    one = found.instance
    percent = instances.cpu_percent(one, now)
    if one.usage.cpu_seconds is None or percent is None:
        return ""
    quota = found.limits.cpu_quota
    return f"{one.usage.cpu_seconds:.1f} s, {percent:.1f} % on average" + (
        f", of {quota * 100:g} %" if quota is not None else ""
    )


def _against(used: int | None, limit: int | None, shown: Callable[[int], str]) -> str:
    if used is None:
        return ""
    return shown(used) + (f" of {shown(limit)} ({100 * used / limit:.0f} %)" if limit else "")


def _exit(end: Exit, now: float) -> str:
    return exit_words(end) + (f", {moment(end.at, now)}" if end.at else "")


def moment(at: float, now: float) -> str:
    """When, and how long ago."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))} ({instances.duration(max(0.0, now - at))} ago)"


def _count(app: App) -> str:
    if app.instances == PER_CORE:
        each = "one per core" if app.physical else "one per CPU"
        left = f", but for {app.reserve}" if app.reserve else ""
        return f"{each}{left}, each pinned to its own"
    return f"{app.instances}" + (", each pinned to a CPU" if app.is_per_core else "")


def _spread(app: App) -> str:
    return " (each instance on a socket of its own)" if app.spread else ""


def _starts(app: App) -> str:
    """What connections have to do with it."""
    if not app.listen or not (app.on_demand or app.idle_timeout):
        return ""
    begins = "at the first connection" if app.on_demand else "by hand, and at the next connection"
    return begins + (f"; stops after {app.idle_timeout:g} s without one" if app.idle_timeout else "")


def _restart(app: App) -> str:
    if app.restart.value == "no":
        return "no, it is a job" if app.is_job else "no"
    limit = f"; systemd gives up after {app.restart_limit} starts in {app.restart_window:g} s"
    ends = f"; exit codes {', '.join(map(str, app.stop_exit_codes))} end it" if app.stop_exit_codes else ""
    return f"{app.restart.value}, after {app.restart_delay:g} s" + (limit if app.restart_limit else "") + ends


def _stop(app: App) -> str:
    whom = "to its main process" if app.kill_mode is not KillMode.CONTROL_GROUP else "to all its processes"
    return f"{app.stop_signal} {whom}, SIGKILL after {app.stop_timeout:g} s"


def _ready(app: App) -> str:
    ready = app.ready
    what = {
        ReadyWhen.EXEC: "once it is executed",
        ReadyWhen.NOTIFY: "once it says READY=1",
        ReadyWhen.SEND: "once it calls process.send('ready')",
        ReadyWhen.TCP: f"once it accepts on {_place(app, ready)}",
        ReadyWhen.HTTP: f"once {ready.url} answers",
        ReadyWhen.SECONDS: f"once it has lived {ready.seconds:g} s",
    }[ready.when]
    return what + ("" if ready.when is ReadyWhen.EXEC else f", within {ready.timeout:g} s")


def _watchdog(app: App) -> str:
    watchdog = app.watchdog
    if watchdog is None:
        return ""
    if watchdog.when is WatchdogWhen.NOTIFY:
        return f"it must say WATCHDOG=1 every {watchdog.interval:g} s"
    asked = watchdog.url if watchdog.when is WatchdogWhen.HTTP else f"whether it accepts on {_place(app, watchdog)}"
    return (
        f"asks {asked} every {watchdog.interval:g} s, waits {watchdog.timeout:g} s for the answer, "
        f"ends it after {watchdog.failures} failures in a row"
    )


def _place(app: App, question: Question) -> str:
    """Where it is asked by TCP."""
    if app.probed and question.port in (None, app.probed.port):
        return app.probed.address
    return f"{question.host} port {question.port or 'PORT'}"


def _limits(limits: Limits) -> str:
    values = ((row, getattr(limits, row.field)) for row in ROWS if row.field in limits.given)
    return ", ".join(
        f"{row.field.replace('_', '-')} {instances.size(value) if row.kind is Kind.SIZE else written(row, value)}"
        for row, value in values
    )


def _env(env: Mapping[str, str], *, show_env: bool, is_hidden: bool) -> str:
    if env and is_hidden:
        return ", ".join(env) + " (values: for root only)"
    if show_env:
        return ", ".join(f"{name}={output.plain(shlex.quote(value))}" for name, value in env.items())
    return ", ".join(env) + (" (values: --show-env)" if env else "")


def _places(app: App) -> str:
    if (app.log.output, app.log.error) == ("journal", "journal"):
        return f"journal: pysup logs {app.name}"
    return f"stdout to {app.log.output}, stderr to {app.log.error}"


def print_rows(rows: Iterable[Row]) -> None:
    """Print those that have a value."""
    for row in rows:
        if row.value:
            output.echo(f"  {output.paint(f'{row.title:13}', output.DIM)} {output.paint(row.value, row.colour)}")


def _secrets(app: App) -> str:
    """Where each is, and which of them all that the program starts has, too."""
    holders = {name: variable for variable, name in app.secret_env.items()}
    said = {name: output.plain(reference.said(name, text)) for name, text in app.secrets.items()}
    return "; ".join(
        f"{name}: {where}" + (f", and variable {holders[name]}" if name in holders else "")
        for name, where in said.items()
    )
