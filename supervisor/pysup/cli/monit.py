"""``pysup monit``: the dashboard."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pysup import local, parse
from pysup.cli import options
from pysup.cli.options import OptionalTargets, Scopes
from pysup.errors import EnvironmentProblem, SpecError
from pysup.selector import ALL

if TYPE_CHECKING:
    from types import ModuleType

_THEMES = ("auto", "dark", "light")
_SHORTEST = 0.2


def monit(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", help="How often CPU and memory are read.")
    ] = "2s",
    theme: Annotated[
        str, typer.Option("--theme", metavar="|".join(_THEMES), help="Colours; auto asks the terminal.")
    ] = "auto",
) -> int:
    """Watch apps and instances in the terminal: state, CPU, memory, restarts, logs, details; and act on them.

    Keys: ? shows all of them, q ends. States come as systemd tells them, so nothing is missed between two intervals.

    Examples:
      pysup monit
      pysup monit web production/
      pysup monit --interval 500ms
    """
    if theme not in _THEMES:
        raise SpecError(f"--theme is {theme!r}", hint=f"Use one of {', '.join(_THEMES)}.")
    seconds = refresh(interval)
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise SpecError(
            "monit needs a terminal, and this is none",
            hint="pysup list, pysup top -n 1 and pysup list --json print and are done.",
        )
    app = _app()
    from pysup.cli import describe
    from pysup.manager import Manager
    from pysup.tui import follow
    from pysup.tui.machine import Machine

    chosen = options.chosen_scope(scope)
    with options.manager(scope) as apps:
        apps.list(targets or ALL)  # for its errors, before the screen changes
    machine = Machine(
        partial(Manager, chosen),
        targets or ALL,
        interval=seconds,
        source=partial(follow.read, local.store(chosen), chosen),
        describe=describe.about,
    )
    code: int = app.run(machine, where=chosen.value, theme=theme)
    return code


def refresh(interval: str) -> float:
    """The seconds that ``--interval`` says."""
    seconds = parse.span(interval, "--interval")
    if seconds < _SHORTEST:
        raise SpecError(f"--interval is {interval!r}", hint=f"At least {_SHORTEST:g} s.")
    return seconds


def _app() -> ModuleType:
    try:
        from pysup.tui import app  # Textual and RE2: few have them, and they take half a second
    except ModuleNotFoundError as exc:
        if exc.name and exc.name.startswith("pysup"):
            raise
        raise EnvironmentProblem(
            f"the dashboard needs Textual and google-re2, and {exc.name} is not installed",
            hint="Type: pip install 'pysup-systemd[tui]'. pysup top does without.",
        ) from exc
    return app
