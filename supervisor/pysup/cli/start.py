"""``pysup start``: what each target means, then one start after the other; one that fails does not stop the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import typer

from pysup import local, preflight, selector, status
from pysup.app import App, Limits
from pysup.cli import filed, instances, output, wanted
from pysup.cli.frame import WithArguments
from pysup.cli.options import chosen_scope, seconds, several_names
from pysup.cli.request import Request
from pysup.cli.requesting import takes_request
from pysup.errors import EnvironmentProblem, NotFound, PysupError, SpecError
from pysup.host import ground
from pysup.selector import Known
from pysup.store import Store
from pysup.sync import Manager
from pysup.unit import Scope

if TYPE_CHECKING:
    from typer import _click as click

start = typer.Typer()


class Goal(NamedTuple):
    """What a target means: an app to be as it says, or a selector of what is known. What *rests* is not started.

    ``around`` are the limits of its namespace that its file has, if it has some.
    """

    selector: str
    app: App | None = None
    note: str = ""
    rests: bool = False
    around: Limits | None = None


class _Command(WithArguments):
    """The command, with ``--watch`` that may have a value or none, which typer cannot say."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Have ``--watch=PATH`` mean ``--watch-path=PATH``."""
        cut = args.index("--") if "--" in args else len(args)
        own = [f"--watch-path={arg[8:]}" if arg.startswith("--watch=") else arg for arg in args[:cut]]
        return super().parse_args(ctx, own + args[cut:])


@start.command(cls=_Command)
@takes_request()
def _start(request: Request) -> int | None:
    """Start a script, a program, a command line, or an app that is known.

    What interprets a script is found by its first line, then by its name (.js .mjs .cjs .ts .py .rb .php .pl .sh); a
    Python script beside a .venv gets that Python. A known app wins over a file of the same name; ./web is always a
    file. Apps begin with a clean environment: PATH and LANG, for root's apps HOME and USER, what --env and --pass-env
    say, and in each instance PYSUP_APP, PYSUP_INSTANCE, NODE_APP_INSTANCE and PORT.

    Returns when every instance is ready or has survived half a second. If one fails, the exit code is 1, and its last
    lines are shown. What runs already just so is left alone.

    Examples:
      pysup start app.js
      pysup start app.js -i max --port 3000       one per CPU, on ports 3000, 3001 …
      pysup start api.py --per-core --reserve 1   pinned, one CPU left free
      pysup start 'npm run serve' --name site
      pysup start app.js --listen 8080 --watchdog http://127.0.0.1:8080/up
      pysup start ./server --requires redis-server.service --memory-max 300M
      pysup start app.js -e NODE_ENV=production --pass-env 'AWS_*' -- --verbose
      pysup start app.js --listen 8080 --on-demand --idle-timeout 10min
      pysup start app.js --watch                  restarted when its files change
      pysup start web                             known already: starts it again
      pysup start web --force --memory-max 1G     changes it, and restarts it
      pysup start pysup.toml --only web --env production
      pysup start                                 all apps of the pysup.toml here
    """
    scope = chosen_scope(request.scope)
    ground.require_systemd()  # before all that only matters where there is one
    ground.require_rights(scope)
    timeout = seconds(request.wait_timeout, "--wait-timeout")
    goals = _goals(request, scope)
    failed: list[PysupError] = []
    begun: list[str] = []
    with Manager(scope) as manager:
        for goal in goals:
            if goal.note:
                output.note(f"{goal.selector}: {goal.note}")
            try:
                if goal.app and goal.rests:
                    manager.define(goal.app)
                elif request.rolling:
                    from pysup.reload import ReloadOptions  # brings an event loop, which not every start needs

                    manager.reload(goal.app or goal.selector, options=ReloadOptions(timeout=timeout))
                else:
                    _begin(manager, goal, wait=request.wait, timeout=timeout, force=request.force)
                begun.append(goal.selector)
            except EnvironmentProblem:
                raise  # the others would meet it, too
            except PysupError as exc:
                failed.append(exc)
        failed += filed.limit_namespaces(manager, _around([goal for goal in goals if goal.selector in begun]), scope)
        if request.wait:
            _show(manager, goals)
        elif begun:
            output.echo(f"Starting {', '.join(begun)}.")
    return output.report(failed)


def _goals(request: Request, scope: Scope) -> list[Goal]:
    """What all targets mean; raises before anything is started if one means nothing."""
    targets = request.targets or [filed.here()]
    if len(targets) > 1 and request.name:
        raise SpecError(f"--name {request.name} is for one target, not {len(targets)}", hint="Start them apart.")
    store = local.store(scope)
    known = status.known(status.read(store))
    files = [target for target in targets if not request.targets or filed.is_file(target, known)]
    if request.only and not files:
        raise SpecError("--only is for files of apps", hint="Name one, such as pysup.toml.")
    goals = []
    for target in targets:
        is_file = target in files
        goals += _of_file(request, target, scope) if is_file else _meaning(request, target, store, known, scope)
    names = [goal.app.name for goal in goals if goal.app]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                f"two of the targets would be called {name!r}", hint="Start them apart, each with a --name."
            )
    for goal in goals:
        if goal.app:
            preflight.check(goal.app, scope, store)
    return goals


def _of_file(request: Request, file: str, scope: Scope) -> list[Goal]:
    """The apps of a file, changed by options that were given; ``--env NAME`` is an environment of the file."""
    named = [text for text in request.env or () if "=" not in text]
    if len(named) > 1:
        raise SpecError(f"--env names {len(named)} environments: {', '.join(named)}", hint="Name one.")
    options = replace(request, env=[text for text in request.env or () if "=" in text] or None)
    found = filed.load(file, scope, only=request.only, env=named[0] if named else None)
    named_apps = several_names(request.only)
    changed = [wanted.changed_app(options, app) for app in found.apps]
    return [
        Goal(
            app.name,
            app,
            rests=not app.autostart and app.name not in named_apps,
            around=found.namespaces.get(app.namespace),
        )
        for app in changed
    ]


def _around(goals: Sequence[Goal]) -> dict[str, Limits]:
    """What the files of these apps say of their namespaces."""
    return {goal.app.namespace: goal.around for goal in goals if goal.app and goal.around is not None}


def _meaning(request: Request, target: str, store: Store, known: Mapping[str, Known], scope: Scope) -> list[Goal]:
    renamed = request.name not in (None, target)  # another name makes it another app: of the program called so
    if is_selector(target, known) and not renamed:
        return [_known(request, one.app, target, store) for one in selector.select(target, known)]
    try:
        found = wanted.find(request, target)
    except SpecError as exc:
        raise _nearest(target, known, exc) from exc
    app, note = wanted.new_app(request, found, scope)
    return [Goal(app.name, app, note, rests=request.autostart is False)]


def _known(request: Request, name: str, target: str, store: Store) -> Goal:
    """The app as it is, or changed by options that were given."""
    app = store.get(name).require()
    changed = wanted.changed_app(request, app)
    if changed == app:
        return Goal(target if "@" in target else name)
    if "@" in target:
        raise SpecError(f"options cannot change {target!r} alone", hint=f"They are the whole app's: pysup start {name}")
    return Goal(name, changed, rests=request.autostart is False)


def is_selector(target: str, known: Mapping[str, Known]) -> bool:
    """Whether a target means apps that are known; what has a ``/`` is a path, but for a namespace's last one."""
    if target == selector.ALL or target in known:
        return True
    if "/" in target:
        return any(app.namespace == target[:-1] for app in known.values() if app.namespace)
    return target.partition("@")[0] in known or (bool(re.search(r"[*?\[]", target)) and _matches(target, known))


def _matches(target: str, known: Mapping[str, Known]) -> bool:
    try:
        return bool(selector.select(target, known))
    except NotFound:
        return False


def _nearest(target: str, known: Mapping[str, Known], exc: SpecError) -> SpecError:
    """The same error; with the name of the app that may have been meant, if it is about what was named."""
    from difflib import get_close_matches  # an error's cost only

    is_about_it = repr(target.partition(" ")[0]) in exc.message
    near = get_close_matches(target, known, n=1, cutoff=0.6) if is_about_it else []
    hint = f"Did you mean the app {near[0]!r}? {exc.hint}" if near else exc.hint
    return SpecError(exc.message, hint=hint)


def _begin(manager: Manager, goal: Goal, *, wait: bool, timeout: float | None, force: bool) -> None:
    if goal.app is None:
        begin = manager.restart if force else manager.start
        begin(goal.selector, wait=wait, timeout=timeout)
        return
    for note in manager.start(goal.app, wait=wait, timeout=timeout, force=force).notes:
        output.note(f"{goal.app.name}: {note}")


def _show(manager: Manager, goals: Sequence[Goal]) -> None:
    """The table of the apps that there are now."""
    names = {goal.selector.partition("@")[0] for goal in goals}
    shown = [app for app in manager.list() if app.name in names]
    if shown or not goals:
        instances.show(shown)
