"""``pysup list`` with options."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli import instances
from pysup.cli.options import Json, OptionalTargets, Scopes, chosen_scope, manager
from pysup.errors import SpecError
from pysup.selector import ALL


def list_apps(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew as things happen; Ctrl-C ends.")] = False,
    expand: Annotated[
        bool, typer.Option("--all", "-a", help="A row for each instance, also of apps with many of them.")
    ] = False,
    sort: Annotated[
        str,
        typer.Option(
            metavar="FIELD[:desc]",
            help=f"Order the rows by {', '.join(instances.SORTS)}.",
            autocompletion=lambda: [f"{field}{way}" for field in instances.SORTS for way in ("", ":desc")],
            show_default=False,
        ),
    ] = "",
) -> int | None:
    """Show every instance: its state, process, pinned CPU, uptime, restarts, use of CPU and memory.

    cpu % is the average since it came up, with --watch that of the last moments; 100 is one CPU. Columns that the
    terminal has no room for are left out. docs/json.md describes --json.

    Examples:
      pysup list
      pysup list web production/
      pysup list --sort memory:desc
      pysup list --json | jq '.[] | select(.state != "active") | .id'
      pysup list --watch
    """
    selectors = targets or ALL
    if watch and json:
        raise SpecError("--watch and --json do not go together", hint="Programs may poll pysup list --json.")
    if watch:
        from pysup.cli import live

        return live.watch(live.Asked(chosen_scope(scope), selectors, expand, sort, "pysup list --watch"))
    with manager(scope) as apps:
        found = apps.list(selectors)
    if json:
        instances.show_json(found, sort=sort)
    else:
        instances.show(found, expand=expand, sort=sort)
    return None
