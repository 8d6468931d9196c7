"""``pysup history``: what apps used, and when they were restarted, as charts."""

from __future__ import annotations

import json as text
import os
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from pysup import local, moments
from pysup.cli import output
from pysup.cli.options import Json, OptionalTargets, Scopes, chosen_scope, seconds
from pysup.errors import SpecError
from pysup.metrics import timeline
from pysup.metrics.timeline import Timeline
from pysup.selector import ALL
from pysup.unit import Scope

_WIDTH = 100
_EVERY, _KEEP = "10s", "24h"


def history(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    since: Annotated[
        str, typer.Option("--since", "-S", metavar="WHEN", help="From when on: 15min, 6h, yesterday …")
    ] = "1h",
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw a picture instead.", show_default=False)
    ] = None,
    json: Json = False,
    on: Annotated[bool, typer.Option("--on", help="Have what apps use kept from now on, in a small file.")] = False,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="TIME", help=f"… so often; {_EVERY} if not said.", show_default=False),
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="TIME", help=f"… for so long; {_KEEP}.", show_default=False)
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Keep it no more, and forget it.")] = False,
) -> None:
    """Draw CPU, memory, tasks and restarts of apps over time.

    Restarts are in the journal; the rest is there while a timer keeps it: pysup history --on.

    Examples:
      pysup history --on
      pysup history web
      pysup history web@0 --since 6h --png web.png
      pysup history --on --every 1min --keep 7d
      pysup history --off
    """
    chosen = chosen_scope(scope)
    if (every or keep) and not on:
        raise SpecError("--every and --keep say how --on keeps what apps use", hint="Add --on.")
    if png and json:
        raise SpecError("--png and --json are two ways to show it", hint="Leave one of them out.")
    if on or off:
        if (on and off) or targets or png or json:
            raise SpecError("--on and --off go with no app, picture or JSON", hint="They are for all apps.")
        _switch(chosen, on=on, every=every or _EVERY, keep=keep or _KEEP)
        return
    start = moments.moment(since, "--since", now=time.time())
    found = timeline.read(local.store(chosen), chosen, targets or ALL, start)
    if json:
        output.echo(text.dumps([*_objects(found)], indent=2))
    elif png:
        from pysup.metrics import chart

        chart.picture(found, png)
        output.echo(f"Drawn: {png}")
    else:
        _draw(found)


def _switch(scope: Scope, *, on: bool, every: str, keep: str) -> None:
    if not on:
        output.echo("Nothing is kept any more." if timeline.turn_off(scope) else "Nothing was kept.")
        return
    often, long = seconds(every, "--every") or 0, seconds(keep, "--keep") or 0
    if often < 1 or long < often:
        raise SpecError(f"--every {every} for --keep {keep}", hint="Every second at most, and for longer than that.")
    size = timeline.turn_on(local.store(scope), scope, every=often, keep=long)
    output.echo(f"What apps use is kept every {every} for {keep}, in {timeline.place(scope)} ({size / 1e6:.1f} MB).")


def _draw(found: Timeline) -> None:
    from pysup.metrics import chart

    columns = shutil.get_terminal_size((_WIDTH, 24)).columns if os.isatty(1) else _WIDTH
    drawn = [*chart.terminal(found, width=columns, colours=output.is_coloured())]
    for line in drawn:
        output.echo(line)
    if not drawn:
        output.echo("Nothing is known of that time: no restart, and no use.")
    if not found.is_kept:
        output.note("What apps use is not kept. To have it kept, type: pysup history --on")


def _objects(found: Timeline) -> list[dict[str, object]]:
    """docs/json.md has the fields."""
    return [
        {
            "id": str(name),
            "name": name.app,
            "instance": name.number,
            "points": [point._asdict() for point in found.points.get(name, ())],
            "restarts": restarts,
        }
        for name, restarts in found.restarts.items()
    ]
