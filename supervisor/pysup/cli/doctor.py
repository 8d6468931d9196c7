"""``pysup doctor``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from pysup.cli import output
from pysup.cli.options import Json, Scopes, chosen_scope
from pysup.errors import EnvironmentProblem, NotPermitted
from pysup.host import doctor as host
from pysup.host.doctor import Check, Status
from pysup.sync import Manager
from pysup.unit import Scope

_COLOURS = {Status.OK: output.GREEN, Status.INFO: output.DIM, Status.WARN: output.YELLOW, Status.FAIL: output.RED}


def doctor(
    scope: Scopes = None,
    json: Json = False,
    everything: Annotated[
        bool,
        typer.Option("--all", "-a", help="Each feature that this systemd or machine lacks, not just their number."),
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="As root: write what lets users' own apps have limits, if that is missing.")
    ] = False,
) -> int:
    """Check the ground (systemd, its bus, control groups, the journal …) and the apps, and say what to do.

    The exit code is 1 if anything is marked fail; warn is for what may bite later, info for what is worth knowing.

    Examples:
      pysup doctor
      sudo pysup doctor --fix
      pysup doctor --json | jq '.[] | select(.status == "fail")'
    """
    found = _checks(chosen_scope(scope))
    if fix:
        _fix(found)
        found = _checks(chosen_scope(scope))
    if json:
        _show_json(found)
    else:
        _show(found if everything else _without_features(found))
    return 1 if any(check.status is Status.FAIL for check in found) else 0


def _checks(scope: Scope) -> list[Check]:
    found = host.checks(scope)
    try:
        with Manager(scope) as manager:
            found += manager.doctor()
    except EnvironmentProblem as problem:
        if all(check.message != problem.message for check in found):  # else the host's checks have said so
            found.append(Check(name="apps", status=Status.FAIL, message=problem.message, remedy=problem.hint))
    return found


def _fix(found: Iterable[Check]) -> None:
    """What of it can be mended by writing a file."""
    from pysup import doctor as apps
    from pysup import local

    if os.geteuid():
        raise NotPermitted("only root can mend what is here", hint="Type: sudo pysup doctor --fix")
    for done in local.ask(Scope.SYSTEM, apps.fix(found)):
        output.note(f"wrote {done.path}; {done.then}")


def _without_features(found: Sequence[Check]) -> list[Check]:
    """One line instead of many for what is lacking here, and seldom missed."""
    features = [check for check in found if check.name == "feature"]
    rest = [check for check in found if check.name != "feature"]
    if not features:
        return rest
    message = f"{len(features)} of systemd's newer or finer ones are not to be had here (pysup doctor --all)"
    return [*rest, Check(name="features", status=Status.INFO, message=message)]


def _show(found: Iterable[Check]) -> None:
    for check in found:
        mark = output.paint(f"{check.status.value:4}", _COLOURS[check.status])
        output.echo(f"{mark}  {output.paint(check.name, output.BOLD)}: {output.plain(check.message)}")
        if check.remedy:
            output.echo(f"      {check.remedy}")


def _show_json(found: Iterable[Check]) -> None:
    import json

    rows = [
        {"name": check.name, "status": check.status.value, "message": check.message, "remedy": check.remedy or None}
        for check in found
    ]
    output.echo(json.dumps(rows, indent=2))
