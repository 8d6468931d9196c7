"""``pysup signal``."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli import output
from pysup.cli.options import Scopes, Targets, manager


def signal(
    signal: Annotated[str, typer.Argument(metavar="SIGNAL", help="HUP, SIGUSR2, 15 …", show_default=False)],
    targets: Targets,
    scope: Scopes = None,
    everything: Annotated[
        bool, typer.Option("--all-processes", help="All processes of an instance, not just its main one.")
    ] = False,
) -> None:
    """Send a signal to the main process of running instances.

    Examples:
      pysup signal HUP web
      pysup signal SIGUSR2 web@0 --all-processes
    """
    with manager(scope) as apps:
        reached = apps.send_signal(targets, signal, whom="all" if everything else "main")
    output.echo(f"Sent {signal} to {', '.join(map(str, reached))}.")
