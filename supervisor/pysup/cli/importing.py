"""``pysup import``: PM2's files as pysup.toml, and the apps of a PM2 that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pysup import disk
from pysup.cli import instances, output
from pysup.cli.options import Scopes, chosen_scope, manager, several
from pysup.errors import Conflict, SpecError
from pysup.unit import Scope


def import_(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="ecosystem.config.js, .cjs, .mjs, .json, .yml, or a package.json with pm2. Usual: the one here.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there; usual: to stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that is there.")] = False,
    from_pm2: Annotated[bool, typer.Option("--from-pm2", help="Take over the apps of the PM2 that runs.")] = False,
    only: Annotated[
        str | None, typer.Option("--only", metavar="NAMES", help="Of PM2's apps, just these: a,b.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done; nothing is.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Give what was taken over back to PM2.")] = False,
    scope: Scopes = None,
) -> None:
    """Move from PM2: turn its files into pysup.toml, or take over what it runs.

    A file is turned into pysup.toml with a comment for each decision. With --from-pm2, the apps of the PM2 that runs
    (or of its dump) are taken over one by one: those of its cluster without a gap where the port can be shared, others
    with a short one. If an app does not come up, PM2 keeps it. In the end PM2's daemon and startup unit go; its dump
    stays, and --undo goes back to it.

    Examples:
      pysup import ecosystem.config.js
      pysup import ecosystem.config.js -o pysup.toml
      pysup import --from-pm2 --dry-run
      pysup import --from-pm2
      pysup import --from-pm2 --undo
    """
    if (from_pm2 or undo) and (file or to):
        raise SpecError("--from-pm2 is about what runs, not about a file", hint="Do one after the other.")
    if only and (undo or not from_pm2):
        hint = "All that was taken over goes back." if undo else "pysup start FILE --only takes some of a file's."
        raise SpecError("--only is for --from-pm2", hint=hint)
    if undo:
        _undo(scope, dry_run=dry_run)
    elif from_pm2:
        _from_pm2(scope, only, dry_run=dry_run)
    else:
        _file(file, to, chosen_scope(scope), force=force or dry_run, dry_run=dry_run)


def _file(file: str | None, to: str | None, scope: Scope, *, force: bool, dry_run: bool) -> None:
    from pysup.convert import native, pm2
    from pysup.files import foreign, readers  # reading files costs, and PM2 that runs has none

    source = file or readers.here()
    if source is None:
        raise SpecError("there is no ecosystem.config.js here", hint="Name the file: pysup import FILE")
    if Path(source).name.startswith("dump.pm2"):
        hint = "pysup import --from-pm2 takes over what is in it; PM2_HOME=DIR says where it is."
        raise SpecError(f"{source!r} is PM2's dump, not a file of apps", hint=hint)
    target = Path(to or "pysup.toml").absolute()
    if to and target.exists() and not force:
        raise Conflict(f"{to!r} is there already", hint="Take another name, or --force to replace it.")
    found = foreign.read(source)
    if found is None:
        raise SpecError(f"{source!r} is no file of PM2's", hint="pysup start takes it as it is.")
    found = pm2.run_by("root", found) if scope is Scope.SYSTEM else found
    text = native.toml(found, source=source, directory=target.parent)
    if not to or dry_run:
        output.echo(text.rstrip("\n"))
        return
    disk.create(target, text, replace=force)
    output.echo(f"Wrote {to}. What it would do: pysup diff {to}")


def _from_pm2(scope: bool | None, only: str | None, *, dry_run: bool) -> None:
    from pysup import takeover
    from pysup.host import pm2

    names = several([only] if only else [])
    wanted = takeover.plan(pm2.here(), chosen_scope(scope), only=names)
    for note in wanted.notes:
        if note.kind != "kept":
            output.note(f"{note.app}: {note.key}: {note.text}")
    if dry_run:
        for step in wanted.steps:
            output.echo(f"{step.app.name}: {step.way if wanted.alive else 'it is started'}")
        if wanted.unit:
            output.echo(f"{wanted.unit}: removed")
        return
    with manager(scope) as apps:
        takeover.carry_out(wanted, apps, output.echo)
        instances.show(apps.list([step.app.name for step in wanted.steps]))


def _undo(scope: bool | None, *, dry_run: bool) -> None:
    from pysup import takeover
    from pysup.host import pm2

    with manager(scope) as apps:
        takeover.undo(pm2.here(), apps, output.echo, dry_run=dry_run)
