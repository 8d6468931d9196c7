"""``pysup send`` and ``pysup attach``: the standard input of apps that were started with ``--stdin``."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated

import typer

from pysup.cli import complete, output
from pysup.cli.options import Scopes, chosen_scope, manager
from pysup.errors import Conflict, PysupError
from pysup.names import InstanceName

Text = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="The line; what stdin has, if none is given.", show_default=False)
]


def send(
    target: Annotated[
        str,
        typer.Argument(
            metavar="APP",
            help="An app or an instance: web, web@2.",
            autocompletion=complete.selectors,
            show_default=False,
        ),
    ],
    text: Text = None,
    scope: Scopes = None,
) -> None:
    """Write a line to the standard input of running instances; the app must have been started with --stdin.

    Examples:
      pysup start ./minecraft.sh --stdin
      pysup send minecraft@0 'say The server restarts in 5 minutes'
      pysup send minecraft < commands.txt
    """
    line = sys.stdin.read().removesuffix("\n") if text is None else text
    with manager(scope) as apps:
        reached = apps.send(target, line)
    output.echo(f"Sent to {', '.join(map(str, reached))}.")


def attach(
    target: Annotated[
        str, typer.Argument(metavar="INSTANCE", help="web@0", autocompletion=complete.selectors, show_default=False)
    ],
    scope: Scopes = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many last lines to begin with.")] = 10,
) -> None:
    """Write what you type to the standard input of an instance, line by line, and see what it says.

    Ctrl-C ends it, and Ctrl-D on a terminal; the app goes on. The app must have been started with --stdin.

    Examples:
      pysup attach minecraft@0
    """
    from pysup import stdin
    from pysup.cli.logs import logs

    chosen = chosen_scope(scope)
    with manager(scope) as apps:
        found = [one for app in apps.list(target) for one in app.instances]
    if len(found) != 1:
        raise Conflict(
            f"{target!r} is {len(found)} instances", hint=f"Name one of them: {found[0].name}" if found else ""
        )
    name = found[0].name
    stdin.write(chosen, name, b"")  # is there one?
    failed: list[PysupError] = []

    def forward() -> None:
        try:
            _forward(name)
        except PysupError as exc:
            failed.append(exc)
        if failed or sys.stdin.isatty():
            signal.raise_signal(signal.SIGINT)

    def _forward(name: InstanceName) -> None:
        for line in sys.stdin:
            stdin.write(chosen, name, line.encode())

    threading.Thread(target=forward, daemon=True).start()
    try:
        logs([str(name)], scope, count=str(lines))
    except KeyboardInterrupt:
        if failed:
            raise failed[0] from None
