"""``pysup top``: the dashboard of simple terminals."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli import instances
from pysup.cli.monit import refresh
from pysup.cli.options import OptionalTargets, Scopes, chosen_scope
from pysup.selector import ALL

_MOST_FIRST = ("cpu", "memory", "restarts")
_SHORT = {"mem": "memory"}


def top(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="FIELD[:asc|:desc]",
            help=f"Order by {', '.join(instances.SORTS)}; of cpu, memory, restarts the most first.",
            autocompletion=lambda: [*instances.SORTS],
        ),
    ] = "cpu",
    interval: Annotated[str, typer.Option("--interval", metavar="TIME", help="How often it is drawn anew.")] = "2s",
    count: Annotated[
        int | None,
        typer.Option(
            "--count", "-n", metavar="COUNT", min=1, help="Print so many tables, and end.", show_default=False
        ),
    ] = None,
    expand: Annotated[
        bool, typer.Option("--all", "-a", help="A row for each instance, also of apps with many of them.")
    ] = False,
) -> int | None:
    """Show the table of pysup list again and again, with what instances use now; q or Ctrl-C ends.

    cpu % is that of the last interval (in the first table, the average since it came up); 100 is one CPU. Keys n, c, m
    and r sort by name, CPU, memory and restarts. pysup monit shows logs, too.

    Examples:
      pysup top
      pysup top web production/ --sort memory
      pysup top -n 2 --interval 5s | tail -n +2
    """
    from pysup.cli import live  # an event loop, which completion need not bring

    asked = live.Asked(
        chosen_scope(scope), targets or ALL, expand, _order(sort), "pysup top", refresh(interval), has_keys=True
    )
    if count is not None:
        live.batch(asked, count)
        return None
    try:
        return live.watch(asked)
    except KeyboardInterrupt:
        return 0


def _order(sort: str) -> str:
    field, colon, way = sort.partition(":")
    field = _SHORT.get(field, field)
    return field + (colon + way or (":desc" if field in _MOST_FIRST else ""))
