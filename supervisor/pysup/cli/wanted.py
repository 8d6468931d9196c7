"""Request -> App: what the options of ``pysup start`` mean, for a new app and for one that is known."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pysup import check, listen, parse, servers
from pysup.app import PER_CORE, App, Limits, Log, Placement, Ready, ReadyWhen
from pysup.cli import limiting
from pysup.cli.isolating import Asked
from pysup.cli.options import several
from pysup.cli.request import Request
from pysup.errors import SpecError
from pysup.health import Watchdog
from pysup.host import cpus, owners, users
from pysup.host.resolve import Resolved, resolve
from pysup.isolate import Isolation
from pysup.limiting import words
from pysup.limits.table import BY_FIELD
from pysup.triggers import Watched
from pysup.unit import Scope

_AS_GIVEN = (
    *("name", "namespace", "description", "user", "group", "port", "spread", "on_demand"),
    *("stdin", "instance_var", "autostart", "reserve_for"),
    *("restart", "restart_limit", "kill_mode", "stop_signal", "nice"),
)
_TIMES = ("restart_delay", "restart_delay_max", "restart_window", "stop_timeout", "idle_timeout")
_NAMES = ("wants", "requires", "after")
_ALWAYS_PASSED = ("PATH", "LANG")


def new_app(request: Request, found: Resolved, scope: Scope) -> tuple[App, str]:
    """The app that a script, program or command line is to be; and something worth telling, or empty."""
    given = changes(request, None)
    account, note = _account(request, found, scope)
    given |= {"user": account} if account else {}
    env = {**usual_environment(scope, str(given.get("user", ""))), **environment(request), **_values(given)}
    base = {
        "name": found.name,
        "command": found.command,
        "interpreter": found.interpreter,
        "cwd": found.cwd,
    }
    app = App(**{**base, **given, "env": env})  # type: ignore[arg-type]
    return _with_usual_ready(request, app), " ".join(filter(None, (found.note, note)))


def _account(request: Request, found: Resolved, scope: Scope) -> tuple[str, str]:
    """Who runs what root starts and nobody was named for: whoever owns it, empty for nobody; and what to say of it."""
    if scope is Scope.USER or request.user is not None or request.dynamic_user:
        return "", ""
    owner = owners.of((*found.interpreter, *found.command), found.cwd)
    if owner is None:
        return "", ""
    return owner.name, f"It runs as {owner.name}, who owns {owner.path}. To have it run as root: --uid root."


def changed_app(request: Request, app: App) -> App:
    """The app that is known, with what was asked for changed."""
    another = request.name not in (None, app.name)
    for option, is_asked in (("the arguments behind --", request.arguments), ("--name", another)):
        if is_asked:
            raise SpecError(
                f"app {app.name!r} is known already, and {option} cannot change",
                hint="Name its script (./web is always a file) with --force, or start it under another --name.",
            )
    if request.interpreter or request.interpreter_args:
        raise SpecError(
            f"app {app.name!r} is known already, and its interpreter cannot change",
            hint="Name its script, with --force.",
        )
    given = changes(request, app)
    env = {**environment(request), **_values(given)}
    if env:
        given["env"] = {**app.env, **env}
    changed = replace(app, **given)  # type: ignore[arg-type]
    return _with_usual_ready(request, changed) if request.listen and not app.listen else changed


def _with_usual_ready(request: Request, app: App) -> App:
    """Programs that tell when they serve are waited for, unless it was said otherwise."""
    if request.ready is not None or app.ready.when is not ReadyWhen.EXEC:
        return app
    return replace(app, ready=replace(servers.usual_ready(app), timeout=app.ready.timeout))


def changes(request: Request, before: App | None) -> dict[str, object]:
    """The fields of an App that were asked for, but for its command and environment."""
    given = _given(request, _AS_GIVEN)
    given |= {name: parse.span(text, _option(name)) for name, text in _given(request, _TIMES).items()}
    given |= {name: several(texts) for name, texts in _given(request, _NAMES).items()}
    given |= _counts(request)
    given |= _schedule(request, before)
    given |= _watch(request, before)
    if request.memory_restart is not None:
        given["memory_restart"] = parse.size(request.memory_restart, "--memory-restart") or None
    if request.cwd is not None:
        given["cwd"] = os.path.abspath(request.cwd)  # noqa: PTH100 (resolves no links; Path.absolute keeps ..)
    if request.env_files is not None:
        given["env_files"] = tuple(map(os.path.abspath, request.env_files))
    if request.listen is not None:
        given["listen"] = tuple(map(listen.parse, request.listen))
    if request.stop_exit_codes is not None:
        given["stop_exit_codes"] = tuple(
            check.number(code, "--stop-exit-codes") for code in several(request.stop_exit_codes)
        )
    if request.increment is not None:
        pairs = (_pair(text, "--increment") for text in request.increment)
        given["increment"] = {key: check.number(value, "--increment") for key, value in pairs}
    for name in ("unit", "service"):
        if pairs := getattr(request, name):
            given[name] = directives(pairs, f"--{name}")
    if request.secrets:
        given["secrets"] = {**(before.secrets if before else {}), **_references(request.secrets)}
    if request.secret_env:
        held = dict(_pair(text, "--secret-env") for text in request.secret_env)
        given["secret_env"] = {**(before.secret_env if before else {}), **held}
    given |= _nested(request, before)
    given |= _isolation(request, before)
    return given


def _isolation(request: Request, before: App | None) -> dict[str, object]:
    usual = before.isolate if before else Isolation()
    asked = Asked(**{field.name: getattr(request, field.name) for field in fields(Asked)})
    isolation = asked.change(usual)
    return {"isolate": isolation} if isolation != usual else {}


def _schedule(request: Request, before: App | None) -> dict[str, object]:
    """What --schedule and its like ask for; ``0`` takes the schedule away."""
    known = before.schedule if before else None
    if request.schedule is None and known is None:
        if request.schedule_zone or request.schedule_delay or request.schedule_catch_up:
            raise SpecError("there is no time to which that could apply", hint="Add --schedule '0 3 * * *'.")
        return {}
    if request.schedule == "0":
        return {"schedule": None}
    delay = None if request.schedule_delay is None else parse.span(request.schedule_delay, "--schedule-delay")
    extras = {"random_delay": delay, "catch_up": request.schedule_catch_up}
    extras = {name: value for name, value in extras.items() if value is not None}
    if request.schedule is not None:
        return {"schedule": parse.schedule(request.schedule, zone=request.schedule_zone or "", **extras)}  # type: ignore[arg-type]
    if request.schedule_zone:
        raise SpecError("--schedule-zone goes with --schedule", hint="Write both.")
    return {"schedule": replace(known, **extras)} if known and extras else {}  # type: ignore[arg-type]


def _references(texts: Iterable[str]) -> dict[str, str]:
    from pysup.files import secrets  # who has none need not load it

    found = {}
    for one in texts:
        name, equals, text = one.partition("=")
        if not equals:
            raise SpecError("--secret has no '='", hint="Write --secret NAME=file:PATH or NAME=credential:PATH.")
        found[name] = secrets.reference(text, str(_here()))
    return found


def _values(given: Mapping[str, Any]) -> dict[str, str]:
    """The variables among the secrets."""
    from pysup.files import secrets

    return secrets.values(given.get("secrets", {}))


def _watch(request: Request, before: App | None) -> dict[str, object]:
    """What --watch and its like ask for."""
    asked: dict[str, object] = {}
    if request.watch_paths is not None:
        asked["paths"] = tuple(os.path.abspath(path) for path in request.watch_paths)  # noqa: PTH100
    if request.watch_ignore is not None:
        asked["ignore"] = several(request.watch_ignore)
    if request.watch_delay is not None:
        asked["delay"] = parse.span(request.watch_delay, "--watch-delay")
    known = before.watch if before else None
    if request.watch is False:
        if asked:
            raise SpecError("--no-watch does not go with what to watch", hint="Leave one of them out.")
        return {"watch": None}
    if known is None and not request.watch and not request.watch_paths:
        if asked:
            raise SpecError("nothing is watched", hint="Add --watch.")
        return {}
    return {"watch": replace(known or Watched(), **asked)} if asked or request.watch else {}  # type: ignore[arg-type]


def _nested(request: Request, before: App | None) -> dict[str, object]:
    """Limits, log and ready: what they were, and what of them was asked for."""
    limits = {name: limiting.value(name, given) for name, given in _given(request, BY_FIELD).items()}
    log = {
        "output": _place(request.log_output),
        "error": _place(request.log_error),
        "rate_limit": request.log_rate_limit,
    }
    log = {name: value for name, value in log.items() if value is not None}
    given: dict[str, object] = {}
    if limits:
        given["limits"] = replace(before.limits if before else Limits(), **limits)
    if request.total:
        given["total"] = words.limits(request.total, before.total if before else Limits())
    if log:
        given["log"] = replace(before.log if before else Log(), **log)  # type: ignore[arg-type]
    if request.wait_ready or request.ready is not None or request.ready_timeout is not None:
        given["ready"] = _ready(request, before.ready if before else Ready())
    if any(value is not None for value in _watchdog_words(request).values()):
        given["watchdog"] = _watchdog(request, before.watchdog if before else None)
    return given


def _watchdog_words(request: Request) -> dict[str, str | int | None]:
    asked = (request.watchdog, request.watchdog_interval, request.watchdog_timeout, request.watchdog_failures)
    return dict(zip(("watchdog", "interval", "timeout", "failures"), asked, strict=True))


def _watchdog(request: Request, before: Watchdog | None) -> Watchdog | None:
    changed = {
        "interval": request.watchdog_interval and parse.span(request.watchdog_interval, "--watchdog-interval"),
        "timeout": request.watchdog_timeout and parse.span(request.watchdog_timeout, "--watchdog-timeout"),
        "failures": request.watchdog_failures,
    }
    watchdog = before if request.watchdog is None else parse.watchdog(request.watchdog, before)
    if watchdog is None:
        if request.watchdog is None or any(value is not None for value in changed.values()):
            raise SpecError("--watchdog-… say how it is watched, but it is not", hint="Add --watchdog tcp, or a URL.")
        return None
    return replace(watchdog, **{name: value for name, value in changed.items() if value is not None})  # type: ignore[arg-type]


def _ready(request: Request, before: Ready) -> Ready:
    timeout = before.timeout if request.ready_timeout is None else parse.span(request.ready_timeout, "--ready-timeout")
    if request.wait_ready and request.ready not in (None, "send"):
        raise SpecError(f"--wait-ready and --ready {request.ready} are two conditions", hint="Give one of them.")
    text = "send" if request.wait_ready else request.ready
    return replace(before, timeout=timeout) if text is None else parse.ready(text, timeout=timeout)


def _counts(request: Request) -> dict[str, object]:
    if request.per_core:
        given: dict[str, object] = {"placement": Placement.CORE, "physical": request.physical}
        given["instances"] = PER_CORE if request.instances in (None, "max", "0") else _fewer(request)
        if request.reserve is not None:
            given["reserve"] = cpus.reserve(request.reserve, "--reserve")
        return given
    if request.instances is None:
        if request.reserve is not None or request.physical:
            raise SpecError("--reserve and --physical say which CPUs are counted", hint="Add --per-core, or -i max.")
        return {}
    reserved = cpus.reserve(request.reserve, "--reserve") if request.reserve is not None else 0
    free = reserved if isinstance(reserved, int) else len(set(reserved) & set(cpus.allowed()))
    return {"instances": cpus.count(request.instances, physical_cores=request.physical, free=free)}


def _fewer(request: Request) -> int:
    """-i 3 --per-core: so many, pinned in turn."""
    return cpus.count(request.instances or "max", physical_cores=request.physical)


def find(request: Request, target: str) -> Resolved:
    """What a target that is not known means; SpecError if it is nothing."""
    # A file is looked for where the caller stands, as everywhere in a shell; then in --cwd, as PM2 does.
    here = _here()
    elsewhere = request.cwd is not None and not os.path.lexists(target)
    return resolve(
        target,
        request.arguments,
        cwd=here / request.cwd if elsewhere and request.cwd else here,
        path=os.environ.get("PATH", os.defpath),
        interpreter=request.interpreter,
        interpreter_args=_words(request.interpreter_args),
    )


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise SpecError("the directory that you are in is gone", hint="Go to another: cd ~") from None


def _words(text: str | None) -> list[str]:
    try:
        return shlex.split(text or "")
    except ValueError as exc:
        raise SpecError(f"--interpreter-args is {text!r}: {exc}", hint="Close the quotes.") from None


def usual_environment(scope: Scope, account: str) -> dict[str, str]:
    """What every app gets: PATH and LANG as they are here, and a home where systemd sets none."""
    env = {name: os.environ[name] for name in _ALWAYS_PASSED if os.environ.get(name)}
    return {**env, **users.home(scope, account)}


def environment(request: Request) -> dict[str, str]:
    """What was asked for by name, and what was given by value, which counts more."""
    passed = [pair for pattern in several(request.pass_env) for pair in _passed(pattern)]
    return dict(passed) | dict(_pair(text, "--env") for text in request.env or ())


def _passed(pattern: str) -> list[tuple[str, str]]:
    if not any(char in pattern for char in "*?["):
        if pattern not in os.environ:
            raise SpecError(f"--pass-env {pattern}: there is no such variable here", hint=f"Set it: export {pattern}=…")
        return [(pattern, os.environ[pattern])]
    from fnmatch import fnmatchcase

    ours = ("PYSUP_APP", "PYSUP_INSTANCE", "NODE_APP_INSTANCE", "PORT")
    return [
        (name, value)
        for name, value in os.environ.items()
        if fnmatchcase(name, pattern) and name not in ours and name.isascii() and name.isidentifier()
    ]


def directives(pairs: Iterable[str], option: str) -> dict[str, tuple[str, ...]]:
    """Directives as K=V; those of one name are several lines."""
    table: dict[str, tuple[str, ...]] = {}
    for key, value in (_pair(text, option) for text in pairs):
        table[key] = (*table.get(key, ()), value)
    return table


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SpecError(f"{option} is {text!r}", hint=f"Write {option} NAME=VALUE.")
    return key, value


def _place(text: str | None) -> str | None:
    return text if text in (None, "journal", "null") else os.path.abspath(text)  # noqa: PTH100


def _given(request: Request, names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
