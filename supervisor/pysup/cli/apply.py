"""``pysup diff`` and ``pysup apply``: what a file says, beside what is there; and making it so."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pysup import local
from pysup.cli import filed, output
from pysup.cli.filed import Env, OneFile, Only
from pysup.cli.options import Json, Scopes, WaitTimeout, chosen_scope, seconds
from pysup.errors import SpecError
from pysup.files import change as changes
from pysup.files import document, look, namespaces, readers, show
from pysup.files.change import SAID, Action, Change
from pysup.files.namespaces import Limiting
from pysup.names import template_unit
from pysup.unit import Scope

if TYPE_CHECKING:
    from pysup.files.change import Seen

_COLOURS = {Action.CREATE: output.GREEN, Action.REMOVE: output.RED, Action.NONE: output.DIM}


class Planned(NamedTuple):
    """What there is to do so that everything is as *file* says; apps that are *left_over* are its no more."""

    file: str
    changes: list[Change]
    left_over: list[str]
    namespaces: list[Limiting]

    @property
    def due(self) -> list[Change]:
        """What is not yet as it should be."""
        return [change for change in self.changes if change.action is not Action.NONE]

    @property
    def is_done(self) -> bool:
        """Whether all is as it should be."""
        return not self.due and not self.namespaces


def diff(
    file: OneFile = None,
    only: Only = None,
    env: Env = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if there are differences.")] = False,
    as_json: Json = False,
    scope: Scopes = None,
) -> int:
    """Show what differs between a file of apps, their unit files and what runs. Nothing is done.

    Values of variables are not shown, only that they differ.

    Examples:
      pysup diff                        pysup.toml, here
      pysup diff apps.yaml --env production --only web
      pysup diff --exit-code            for scripts: 1 if apply would do something
    """
    where = chosen_scope(scope)
    found = _planned(file, where, only=only, env=env, prune=True)
    if as_json:
        _print_json(found)
    else:
        for change in found.due:
            _show(found, change, where)
        for one in found.namespaces:
            _print_lines(show.limits(one, origin=readers.shown(found.file)))
        if found.is_done:
            output.echo(_nothing(found))
    return int(exit_code and not found.is_done)


def apply(
    file: OneFile = None,
    only: Only = None,
    env: Env = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete apps that the file had once, and has no more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; do nothing.")] = False,
    as_json: Json = False,
    wait_timeout: WaitTimeout = None,
    scope: Scopes = None,
) -> int:
    """Make everything as a file of apps says: what is new first, then what changes, last what goes (--prune).

    Instances are replaced one by one where that is possible; apps that are as they should be are not touched. One that
    does not become ready is taken back to what it was, nothing more is begun, and the exit code is 1. A second run does
    nothing; one that was killed is finished by the next.

    Examples:
      pysup apply                       shows the plan and asks
      pysup apply --env production --prune --yes
      pysup apply --dry-run --json      the plan, for programs
    """
    where = chosen_scope(scope)
    timeout = seconds(wait_timeout, "--wait-timeout")
    found = _planned(file, where, only=only, env=env, prune=prune)
    if as_json:
        _print_json(found)
    elif not found.is_done:
        _print_plan(found)
    else:
        output.echo(_nothing(found))
    if not prune and found.left_over and not as_json:
        output.note(f"{', '.join(found.left_over)}: no longer in the file; --prune deletes what it had once")
    if dry_run or found.is_done or not (yes or _agreed()):
        return 0
    return _carry_out(found, where, timeout)


def _planned(file: str | None, scope: Scope, *, only: Sequence[str] | None, env: str | None, prune: bool) -> Planned:
    file = file or filed.here()
    wanted = filed.load(file, scope, only=only, env=env)
    names = document.names(wanted.file, env=env) if only else [app.name for app in wanted.apps]
    seen: dict[str, Seen] = local.ask(scope, look.look(local.store(scope), names))
    apps = [local.store(scope).with_secrets(app) for app in wanted.apps]
    plan = changes.plan(apps, seen, origin=wanted.file, named=names, prune=prune)
    left_over = changes.left_over(seen, origin=wanted.file, named=names)
    limits = namespaces.plan(local.store(scope), wanted.namespaces, apps)
    return Planned(wanted.file, plan, left_over, limits)


def _carry_out(found: Planned, scope: Scope, timeout: float | None) -> int:
    from pysup import preflight, revisions
    from pysup.files import apply  # brings an event loop, which a plan need not have
    from pysup.host import ground

    ground.require_rights(scope)
    for change in found.due:
        if change.after:
            preflight.check(change.after, scope, local.store(scope))
    for one in found.namespaces:
        preflight.check_parts(one.after, f"namespaces.{one.namespace}")
    with revisions.because(f"pysup apply {found.file}"):
        outcome = apply.carry_out(found.due, scope, namespaces=found.namespaces, tell=_tell, timeout=timeout)
    for failed, exc in outcome.failed:
        output.print_error(exc)
        output.note(f"{failed.name}: taken back to what it was")
    if outcome.left:
        output.note(f"not begun: {', '.join(change.name for change in outcome.left)}")
    return 1 if outcome.failed else 0


def _tell(change: Change | Limiting) -> None:
    output.echo(f"{change.name}: done")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise SpecError("apply asks before it does something, and nobody can answer here", hint="Add --yes.")
    return typer.confirm("Do it?", default=False)


def _print_plan(found: Planned) -> None:
    for change in found.changes:
        why = f" ({'; '.join(change.reasons)})" if change.reasons else ""
        output.echo(
            output.paint(f"{change.name}: {SAID[change.action]}{why}", _COLOURS.get(change.action, output.YELLOW))
        )
    for one in found.namespaces:
        output.echo(output.paint(f"{one.name}: {SAID[Action.LIMIT]}", output.YELLOW))


def _show(found: Planned, change: Change, scope: Scope) -> None:
    lines = show.unified(change.before, change.after, origin=readers.shown(found.file))
    _print_lines((*lines, *_edits(change, scope)))
    for reason in change.reasons:
        if not reason.startswith("settings"):
            output.echo(f"# {change.name}: {reason}")
    if change.action is Action.ADOPT and not lines:
        output.echo(f"# {change.name}: {SAID[change.action]}")


def _print_lines(lines: Iterable[str]) -> None:
    colours = {"-": output.RED, "+": output.GREEN, "@": output.DIM}
    for line in lines:
        output.echo(output.paint(output.plain(line), colours.get(line[:1], "")))


def _edits(change: Change, scope: Scope) -> list[str]:
    """What was edited by hand in the app's template."""
    if not change.before or changes.EDITED not in change.reasons:
        return []
    from pysup.converge import Workshop  # knows how units are written, which other differences need not

    store, unit = local.store(scope), template_unit(change.name)
    made = Workshop(scope, store).render(change.before, saved=store.get(change.name).saved).files[unit].text
    return show.edited(unit, store.text(change.name, unit) or "", made)


def _print_json(found: Planned) -> None:
    plan = [
        {
            "app": change.name,
            "action": change.action.value,
            "fields": changes.different(change.before, change.after) if change.before and change.after else [],
            "reasons": list(change.reasons),
        }
        for change in found.changes
    ]
    limits = [
        {"namespace": one.namespace, "fields": sorted({*one.before.given, *one.after.given})}
        for one in found.namespaces
    ]
    output.echo(json.dumps({"file": found.file, "changes": plan, "namespaces": limits}, indent=2))


def _nothing(found: Planned) -> str:
    count = len(found.changes)
    return f"Nothing to do: {count} app{'s are' if count != 1 else ' is'} as {readers.shown(found.file)} says."
