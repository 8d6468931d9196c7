"""Units that stand beside an app's instances: what restarts it at times, at changes of files, and at too much memory.

None of them needs pysup once it is written: they run ``sh`` with the scripts of this package, and systemctl. They are
part of the app's target, which starts and stops them, and live in the app's slice.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pysup import names
from pysup.app import App, Limits, ReadyWhen
from pysup.triggers import Watched
from pysup.unit import Scope
from pysup.unitfile import command_line, section, specifier

Lines = Iterator[tuple[str, str]]

LOOK = 5
"""How many seconds lie between two looks at what instances hold in memory."""

SURVIVAL = 0.5
"""How long an instance must live before the next is restarted, where systemd cannot tell whether it is ready."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The app, its instances' units, whose manager it is, where the files go, and the Python that may run them."""

    app: App
    units: Sequence[str]
    scope: Scope
    directory: str
    python: str

    def file(self, what: str) -> str:
        return f"{self.directory}/{names.companion(self.app.name, what)}"


def files(app: App, numbers: Sequence[int], scope: Scope, directory: str, python: str) -> dict[str, str]:
    """The texts of the app's companion units, and of what they execute, by their names; to be put in *directory*."""
    place = _Place(app, [names.instance_unit(app.name, number) for number in numbers], scope, directory, python)
    found: dict[str, str] = {}
    if app.schedule:
        found[names.companion(app.name, "schedule.timer")] = _timer(app)
        if not app.is_job:
            reason = f"it is time: {app.schedule.when}"
            found[names.companion(app.name, "schedule.service")] = _restarter(place, reason)
    if app.watch:
        found[names.companion(app.name, "watch.service")] = _watcher(place, app.watch)
        found[names.companion(app.name, "watch.py")] = script("watch.py")
    if app.memory_restart is not None:
        found[names.companion(app.name, "memory.service")] = _measurer(place, app.memory_restart)
        found[names.companion(app.name, "memory.sh")] = script("memory.sh")
    if app.stdin:
        found[names.companion(app.name, "stdin@.socket")] = _stdin(app)
    if app.schedule or app.watch or app.memory_restart is not None:
        found[names.companion(app.name, "restart.sh")] = script("restart.sh")
    return found


def wanted(texts: Mapping[str, str]) -> list[str]:
    """Those of the companions that the app's target starts; the others are started by these."""
    return [unit for unit in texts if unit.endswith((".timer", "-memory.service", "-watch.service"))]


def limits(app: App, number: int | None = None) -> Limits:
    """The limits of instance *number*, or of those that have none of their own.

    The hard one that stands above ``memory_restart`` is among them.
    """
    own = app.instance_limits.get(number) if number is not None else None
    held = own.over(app.limits) if own else app.limits
    if app.memory_restart is None or held.memory_max is not None:
        return held
    return replace(held, memory_max=2 * app.memory_restart)


def script(name: str) -> str:
    """A file of this package."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _restart(place: _Place, reason: str) -> tuple[str, ...]:
    """The command that restarts the app's instances that are up, one after the other."""
    app = place.app
    # What ended well and was not to go on is run again; what always goes on stands still only if it was stopped.
    idle = "" if app.restart.value == "always" else "inactive"
    return (
        "/bin/sh",
        place.file("restart.sh"),
        f"--{place.scope.value}",
        app.name,
        _pause(app),
        idle,
        reason,
        *place.units,
    )


def _pause(app: App) -> str:
    return f"{SURVIVAL:g}" if app.ready.when is ReadyWhen.EXEC else "0"


def _timer(app: App) -> str:
    assert app.schedule  # noqa: S101 (who calls has looked)
    unit = [("Description", f"{app.name}, its times"), ("PartOf", names.target_unit(app.name))]
    target = names.instance_unit(app.name, 0) if app.is_job else names.companion(app.name, "schedule.service")
    timer = [("OnCalendar", specifier(one)) for one in app.schedule.calendar]
    timer += [("AccuracySec", "100ms"), ("Unit", target)]
    if app.schedule.random_delay:
        timer.append(("RandomizedDelaySec", f"{round(app.schedule.random_delay * 1_000_000)}us"))
    if app.schedule.catch_up:
        timer.append(("Persistent", "yes"))
    return section("Unit", unit) + "\n" + section("Timer", timer)


def _restarter(place: _Place, reason: str) -> str:
    app = place.app
    unit = [("Description", f"{app.name}, restart of all instances"), ("PartOf", names.target_unit(app.name))]
    return section("Unit", unit) + "\n" + section("Service", _quiet(app, _restart(place, reason)))


def _watcher(place: _Place, watch: Watched) -> str:
    app = place.app
    unit = [
        ("Description", f"{app.name}, restart when its files change"),
        ("PartOf", names.target_unit(app.name)),
        ("StartLimitIntervalSec", "60s"),
        ("StartLimitBurst", "5"),
    ]
    service = [
        ("Type", "notify"),
        ("ExecStart", command_line((place.python, "-I", "-B", place.file("watch.py"), *_watching(place, watch)))),
        ("Restart", "always"),
        ("RestartSec", "5s"),
        ("Slice", names.slice_unit(app.name, app.namespace)),
        ("SyslogIdentifier", f"{names.PREFIX}{app.name}"),
    ]
    return section("Unit", unit) + "\n" + section("Service", service)


def _measurer(place: _Place, limit: int) -> str:
    app = place.app
    unit = [
        ("Description", f"{app.name}, restart of what holds too much memory"),
        ("PartOf", names.target_unit(app.name)),
    ]
    options = (f"--{place.scope.value}", app.name, str(limit), str(LOOK), place.file("restart.sh"), _pause(app))
    service = [
        ("Type", "exec"),
        ("ExecStart", command_line(("/bin/sh", place.file("memory.sh"), *options, *place.units))),
        ("Restart", "always"),
        ("Slice", names.slice_unit(app.name, app.namespace)),
        ("SyslogIdentifier", f"{names.PREFIX}{app.name}"),
    ]
    return section("Unit", unit) + "\n" + section("Service", service)


def _stdin(app: App) -> str:
    """What holds the standard input of an instance open while nobody writes to it; it goes with the instance."""
    instance = f"pysup-{app.name}@%i.service"
    unit = [("Description", f"{app.name}, standard input of instance %i"), ("PartOf", instance)]
    socket = [
        ("ListenFIFO", f"%t/pysup/{names.stdin_file(app.name, '%i')}"),
        ("SocketMode", "0600"),
        *([("SocketUser", app.user)] if app.user else []),
        ("FileDescriptorName", "stdin"),
        ("Service", instance),
        ("RemoveOnStop", "yes"),
        ("FlushPending", "yes"),
    ]
    return section("Unit", unit) + "\n" + section("Socket", socket)


def stdin_unit(app: App, instance: str) -> Lines:
    """What ``[Unit]`` of an instance with a standard input says."""
    unit = names.stdin_socket(app.name, instance)
    yield "Requires", unit
    yield "After", unit


def stdin_service(app: App, instance: str) -> Lines:
    """What ``[Service]`` of it says. Servers must not take the FIFO for a socket to listen on."""
    yield "Sockets", names.stdin_socket(app.name, instance)
    yield "StandardInput", "fd:stdin"
    yield "UnsetEnvironment", "LISTEN_FDS LISTEN_PID LISTEN_FDNAMES"


def _watching(place: _Place, watch: Watched) -> tuple[str, ...]:
    """The settings of ``watch.py``, and what it executes."""
    app = place.app
    logs = [where.replace("{instance}", "*") for where in (app.log.output, app.log.error) if where.startswith("/")]
    settings = {
        "paths": [posixpath.normpath(posixpath.join(app.cwd, path)) for path in watch.paths or (".",)],
        "ignore": list(watch.ignore),
        "logs": logs,
        "delay": watch.delay,
        "account": app.user,
        "group": app.group,
    }
    return (json.dumps(settings), *_restart(place, "REASON"))


def _quiet(app: App, command: Sequence[str]) -> Lines:
    """A oneshot of which the journal hears when it fails."""
    yield "Type", "oneshot"
    yield "ExecStart", command_line(command)
    yield "Slice", names.slice_unit(app.name, app.namespace)
    yield "SyslogIdentifier", f"{names.PREFIX}{app.name}"
    yield "LogLevelMax", "notice"
