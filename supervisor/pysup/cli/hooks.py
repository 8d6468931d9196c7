"""``pysup hooks``: show, set, test and take away what is run when apps fail, restart, are given up or recover."""

from __future__ import annotations

import json as text
from typing import Annotated

import typer

from pysup import hooks as library
from pysup import local, status
from pysup.cli import complete, output
from pysup.cli.options import Json, Scopes, chosen_scope
from pysup.deeds import HOOKS
from pysup.errors import SpecError
from pysup.hooks import Hooks

_Targets = list[str] | None


def _option(name: str, help: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(name, metavar="TARGET", help=help, show_default=False)
    return found


def hooks(
    app: Annotated[
        str | None,
        typer.Argument(metavar="[APP]", help="For one app; else for all.", autocompletion=complete.selectors),
    ] = None,
    scope: Scopes = None,
    on_failure: Annotated[_Targets, _option("--on-failure", "When an instance fails; repeat it for more.")] = None,
    on_restart: Annotated[_Targets, _option("--on-restart", "When systemd starts one again by itself.")] = None,
    on_give_up: Annotated[_Targets, _option("--on-give-up", "When systemd gives one up.")] = None,
    on_recover: Annotated[_Targets, _option("--on-recover", "When one that failed has run for 10 s.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take them away: the app's, or those for all.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Run the hooks of an app now, once each, and wait.")] = False,
    json: Json = False,
) -> int | None:
    """Have systemd tell somebody when apps fail, restart, are given up, or recover; without options, show who is told.

    A TARGET is a URL (gets JSON), slack:URL, discord:URL, ntfy:URL, mailto:ADDRESS (by this machine's sendmail), or a
    command (JSON on stdin, PYSUP_* in its environment). Each has the last log lines with it. What is given replaces
    what that hook had; '' takes it away.

    Examples:
      pysup hooks --on-give-up slack:https://hooks.slack.com/services/T/B/X
      pysup hooks web --on-failure ./page-me.sh --on-recover ./all-clear.sh
      pysup hooks web --test
      pysup hooks web --clear
    """
    chosen = chosen_scope(scope)
    store = local.store(chosen)
    if app is not None:
        _require(app, status.read(store).keys())
    given = dict(zip(HOOKS, (on_failure, on_restart, on_give_up, on_recover), strict=True))
    asked = {name: _meant(name, value) for name, value in given.items() if value is not None}
    if test:
        return _test(app, chosen.value, store.saved)
    before = library.read(store)
    if clear or asked:
        from pysup.sync import Manager

        after = before.replaced(app, {} if clear else {**before.of(app), **asked})
        with Manager(chosen) as manager:
            manager.set_hooks(after)
        before = after
    _show_json(before) if json else _show(before, app)
    return None


def _require(app: str, known: object) -> None:
    from pysup.errors import NotFound

    if app not in known:  # type: ignore[operator]
        raise NotFound(f"there is no app {app!r}", hint="pysup list shows what there is.")


def _meant(name: str, values: list[str]) -> tuple[library.Target, ...]:
    option = "--" + name.replace("_", "-")
    return tuple(library.target(value, option) for value in values if value)


def _test(app: str | None, scope: str, place: object) -> int:
    import subprocess  # a test's cost only
    import sys

    if app is None:
        raise SpecError("--test runs the hooks of one app", hint="Name it: pysup hooks web --test")
    script = f"{place}/{library.PYTHON}"
    done = subprocess.run([sys.executable, "-I", "-B", script, "test", f"--{scope}", f"{app}@0"], check=False)
    output.echo("Done; how it went: pysup events --no-follow --since 1min")
    return done.returncode


def _show(found: Hooks, app: str | None) -> None:
    if not found:
        output.echo("There are no hooks. To have some: pysup hooks --help")
    for name, one in (("all apps", found.everyone), *sorted(found.apps.items())):
        if one and (app is None or name in (app, "all apps")):
            output.echo(output.paint(name, output.BOLD))
            for hook, targets in one.items():
                for index, target in enumerate(targets):
                    output.echo(f"  {hook if not index else '':11} {output.plain(library.shown(target))}")


def _show_json(found: Hooks) -> None:
    def texts(one: library.ByHook) -> dict[str, list[str]]:
        return {hook: [library.shown(target) for target in targets] for hook, targets in one.items()}

    apps = {app: texts(one) for app, one in found.apps.items()}
    output.echo(text.dumps({"all": texts(found.everyone), "apps": apps}, indent=2))
