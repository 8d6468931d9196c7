"""``pysup revisions`` and ``pysup rollback``: what an app was, and making it that again."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pysup.cli import instances, output
from pysup.cli.options import OneApp, Scopes, WaitTimeout, manager, seconds
from pysup.cli.output import Cell, Column


def revisions(app: OneApp, scope: Scopes = None) -> None:
    """Show what an app was: its last ten changes, who made them, when and how. The last line is what it is.

    Examples:
      pysup revisions web
    """
    from pysup.files.change import different

    with manager(scope) as apps:
        found = apps.revisions(app)
    rows: list[list[Cell | str]] = []
    for before, one in zip([None, *found], found, strict=False):
        what = ", ".join(different(before.app, one.app)) if before else "first known"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
        rows.append([str(one.number), when, one.who, one.why or "-", what or "-"])
    columns = (Column("revision", right=True), Column("when"), Column("who"), Column("by"), Column("what changed"))
    for line in output.table(columns, rows, room=output.width()):
        output.echo(line)


def rollback(
    app: OneApp,
    revision: Annotated[
        int | None, typer.Argument(metavar="[REV]", help="As pysup revisions has it.", show_default=False)
    ] = None,
    wait_timeout: WaitTimeout = None,
    scope: Scopes = None,
) -> None:
    """Make an app what it was before its last change, or at a revision: instance by instance, as pysup reload does.

    A file that it is from still says otherwise: the next apply would change it again.

    Examples:
      pysup rollback web
      pysup rollback web 3
    """
    from pysup.reload import ReloadOptions

    timeout = seconds(wait_timeout, "--wait-timeout")
    with manager(scope) as apps:
        status = apps.rollback(app, revision, options=ReloadOptions(timeout=timeout))
    instances.show([status])
    if status.spec and status.spec.origin:
        output.note(f"{app}: {status.spec.origin} may still say otherwise; pysup diff shows it")
