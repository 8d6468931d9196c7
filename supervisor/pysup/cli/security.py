"""``pysup security``: how exposed apps are, and what would help most."""

from __future__ import annotations

from dataclasses import asdict

from pysup.cli import output
from pysup.cli.options import Json, OptionalTargets, Scopes, manager
from pysup.cli.output import Cell, Column
from pysup.isolate import Level


def security(targets: OptionalTargets = None, scope: Scopes = None, json: Json = False) -> None:
    """Show how exposed apps are by systemd-analyze's score, 0 (safe) to 10, and the three changes that help most.

    Behind each change stands about how much it lowers the score, and the next level of pysup isolate that has it. The
    score counts what a unit may do, not what its program does: it compares, it does not prove.

    Examples:
      pysup security
      pysup security web --json
    """
    from pysup.hardening import score

    with manager(scope) as apps:
        known = apps.list(targets or "all")
        found = [score.of(one.name, apps.scope, one.spec.isolate.level if one.spec else Level.OFF) for one in known]
    if json:
        import json as text

        output.echo(text.dumps([asdict(one) for one in found], indent=2))
        return
    if not found:
        output.echo("No apps. To start one: pysup start app.js --isolate basic")
        return
    rows: list[list[Cell | str]] = []
    for one in found:
        for index, change in enumerate(one.changes or (None,)):
            about = f"{change.directive}= (-{change.exposure:.1f})" if change else ""
            level = f"isolate {change.level}" if change and change.level else ""
            first = [one.app, f"{one.exposure:.1f}", one.word.lower()] if index == 0 else ["", "", ""]
            rows.append([*first, about, level])
    columns = (Column("app"), Column("exposure", right=True), Column(""), Column("what would help"), Column("has it"))
    for line in output.table(columns, rows, room=output.width()):
        output.echo(line)
