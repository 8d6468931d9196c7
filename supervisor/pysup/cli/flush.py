"""``pysup flush`` and ``pysup logrotate``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pysup import local, parse, rotation
from pysup import logs as library
from pysup.cli import instances, output
from pysup.cli.options import OneApp, OptionalTargets, Scopes, chosen_scope
from pysup.selector import ALL


class Every(StrEnum):
    """How often."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


def flush(targets: OptionalTargets = None, scope: Scopes = None) -> None:
    """Empty the log files of apps, and have pysup logs begin anew: of all apps, or of those that are named.

    Lines in the journal stay there, as nobody can take some out: pysup logs passes them over until the next boot, but
    for --since, which shows them. To free the disk, vacuum the whole journal: journalctl --vacuum-time=2d.

    Examples:
      pysup flush
      pysup flush web && pysup logs web
      pysup logs web --since yesterday         what was before the flush, too
    """
    chosen = chosen_scope(scope)
    found = library.flush(local.store(chosen), chosen, targets or ALL)
    for app in found:
        for path, size in app.emptied:
            output.echo(f"{app.app}: emptied {path} ({instances.size(size)})")
        if app.in_journal:
            output.echo(f"{app.app}: logs begin now; the journal keeps what was before (pysup logs --since 1h)")
    if not found:
        output.echo("There is nothing to flush.")


def logrotate(
    app: OneApp,
    scope: Scopes = None,
    every: Annotated[Every, typer.Option("--every", help="How often.")] = Every.DAILY,
    keep: Annotated[int, typer.Option("--keep", min=0, metavar="N", help="How many old ones stay.")] = 14,
    size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="SIZE", help="Also before its time, above this size.", show_default=False),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Restart the instances, one after the other, instead of copying: no line is lost."
        ),
    ] = False,
) -> None:
    """Print what logrotate needs to know of an app's log files (--log-output, --log-error).

    The file that a program writes to was opened for it by systemd, and nobody can tell it to open another. So it is
    copied and then emptied: lines that come in between, for milliseconds, are lost. With --restart it is renamed, and
    the instances are restarted. What goes to the journal needs none of this: journald has limits of its own.

    Examples:
      pysup logrotate web | sudo tee /etc/logrotate.d/pysup-web
      pysup logrotate web --max-size 100M --keep 5
      pysup logrotate web > web.conf; logrotate -s state web.conf   your own apps
    """
    chosen = chosen_scope(scope)
    spec = local.store(chosen).get(app).require()
    options = rotation.Options(
        every=every.value, keep=keep, max_size=None if size is None else parse.size(size, "--max-size"), restart=restart
    )
    output.echo(rotation.snippet(spec, chosen, options).rstrip("\n"))
    for directory in rotation.unsafe(spec):
        output.warn(f"logrotate refuses {directory}, which others than its owner may write to: chmod go-w {directory}")
