"""``pysup isolate``: show, try and change how an app is kept from the machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from pysup.app import App
from pysup.cli import instances, isolating, output
from pysup.cli.options import OneApp, Scopes, WaitTimeout, manager, seconds
from pysup.cli.output import Cell, Column
from pysup.cli.wanted import directives
from pysup.errors import SpecError
from pysup.host import ground
from pysup.isolate import Level, said
from pysup.isolation import findings, lines, table
from pysup.isolation import ground as isolation

if TYPE_CHECKING:
    from pysup.hardening.trial import Trial
    from pysup.unit import Scope


_USUAL = 3.0


def isolate(
    app: OneApp,
    level: Annotated[
        Level | None,
        typer.Argument(metavar="[LEVEL]", help="off, basic, strict or paranoid; none shows it.", show_default=False),
    ] = None,
    attempt: Annotated[
        Level | None,
        typer.Option(
            "--try", metavar="LEVEL", help="Start one instance so, apart from clients, and say what it lacks."
        ),
    ] = None,
    watch: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long the trial lives. Usual: 3s.")
    ] = None,
    writable: isolating.Writable = None,
    readable: isolating.Readable = None,
    devices: isolating.Devices = None,
    network: isolating.Network = None,
    dynamic_user: isolating.DynamicUser = None,
    bind_low_ports: isolating.BindLowPorts = None,
    service: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="K=V", help="A directive in place of the level's; repeat it."),
    ] = None,
    scope: Scopes = None,
    wait_timeout: WaitTimeout = None,
) -> int | None:
    """Show how an app is kept from the machine, try a level, or change it by a rolling reload.

    Levels are off, basic, strict and paranoid; docs/isolation.md has each directive, and what it breaks. A trial runs
    one instance, on sockets and a port of its own; a program that takes work from elsewhere takes some there, too. What
    it was denied is read from what it writes and from its end, and the exceptions that would help are proposed.

    Examples:
      pysup isolate web
      pysup isolate web --try strict
      pysup isolate web --try strict --writable /srv/web/uploads
      pysup isolate web strict --writable /srv/web/uploads
      pysup isolate web off
    """
    if level is not None and attempt is not None:
        raise SpecError(f"{level} is to be set, and {attempt} to be tried", hint="Do one after the other.")
    if attempt is Level.OFF:
        raise SpecError("there is nothing to be tried without isolation", hint=f"Type: pysup isolate {app} off")
    if watch is not None and attempt is None:
        raise SpecError(f"--for {watch} is for a trial", hint="Add --try LEVEL.")
    asked = isolating.Asked(
        level=level if attempt is None else attempt,
        writable=writable,
        readable=readable,
        devices=devices,
        network=network,
        dynamic_user=dynamic_user,
        bind_low_ports=bind_low_ports,
    )
    timeout = seconds(wait_timeout, "--wait-timeout")
    with manager(scope) as apps:
        known = apps.get(app)
        before = known.spec
        if before is None:
            raise SpecError(f"app {app!r} cannot be read: {known.problem}", hint=f"pysup doctor; pysup cat {app}")
        wanted = _changed(before, asked, service or ())
        if attempt is not None:
            length = seconds(watch, "--for")
            return _tell(apps.try_isolation(wanted, seconds=_USUAL if length is None else length, timeout=timeout))
        if wanted == before:
            _show(before, apps.scope)
            return None
        if any(one.is_up for one in known.instances):
            from pysup.reload import ReloadOptions

            apps.reload(wanted, options=ReloadOptions(timeout=timeout))
        else:
            apps.define(wanted)
        instances.show([apps.get(app)])
        _note(wanted, apps.scope)
    return None


def _changed(app: App, asked: isolating.Asked, service: Sequence[str]) -> App:
    """The app as it is to be; exceptions of a level that is taken away go with it."""
    kept = app.isolate
    if asked.level is Level.OFF:
        kept = replace(kept, writable=kept.writable if kept.dynamic_user else (), readable=(), devices=())
    isolation = asked.change(kept)
    own = {**app.service, **directives(service, "--service")}
    return replace(app, isolate=isolation, service=own)


def _note(app: App, scope: Scope) -> None:
    for note in isolation.notes(app, scope, namespaces=ground.has_user_namespaces()):
        output.note(f"{app.name}: {note}")
    if app.origin:
        output.note(f"{app.name}: {app.origin} may still say otherwise; pysup diff shows it")


def _show(app: App, scope: Scope) -> None:
    """The level, and what each directive that it comes to does."""
    output.echo(f"{app.name}: {said(app.isolate) or 'not isolated'}")
    if app.isolate.level is Level.OFF:
        output.note(f"To try a level: pysup isolate {app.name} --try strict")
        return
    values: dict[str, tuple[str, ...]] = {}
    for directive, value in lines.of_level(app, scope, namespaces=ground.has_user_namespaces()):
        values[directive] = (*values.get(directive, ()), value)
    rows: list[list[Cell | str]] = []
    for rule in table.RULES:
        own = app.service.get(rule.directive)
        if own or rule.directive in values:
            value = "; ".join(own or values[rule.directive])
            mark = " (yours)" if own else ""
            rows.append([rule.directive, f"{value or '(none)'}{mark}", rule.does.replace("`", "")])
    for line in output.table((Column("directive"), Column("value"), Column("what it does")), rows, room=None):
        output.echo(line)
    for note in isolation.notes(app, scope, namespaces=ground.has_user_namespaces()):
        output.note(f"{app.name}: {note}")


def _tell(trial: Trial) -> int | None:
    app = trial.app
    proposed = findings.options(trial.found)
    kept = _words(app, proposed)
    output.echo(f"{app.name} under {said(app.isolate)}: {output.plain(trial.failure) or 'it came up, and lived'}")
    for finding in trial.found:
        output.echo(f"  {output.paint('denied', output.YELLOW)}  {output.plain(finding.what)}")
    if not trial.found and not trial.failure:
        output.echo("  nothing that it said was denied")
    if trial.failure and not trial.found:
        for line in trial.log[-10:]:
            output.echo(f"  | {output.plain(line)}")
    verb = "--try" if proposed or trial.failure else ""
    words = ["pysup", "isolate", app.name, *filter(None, [verb]), app.isolate.level.value, *kept, *proposed]
    output.echo(f"Next: {shlex.join(words)}")
    return 1 if trial.failure else None


def _words(app: App, proposed: Sequence[str]) -> list[str]:
    """The exceptions that the trial had, as options; but for those in whose place others are *proposed*."""
    changed = {word.partition("=")[0] for word in proposed}
    isolate = app.isolate
    named = (("--writable", isolate.writable), ("--readable", isolate.readable), ("--device", isolate.devices))
    words = [word for option, paths in named for path in paths for word in (option, path)]
    if isolate.network and "--network" not in changed:
        words += ["--network", ",".join(isolate.network)]
    levels = {rule.directive for rule in table.RULES}
    for directive, values in app.service.items():
        if directive in levels - changed:
            words += [word for value in values for word in ("--service", f"{directive}={value}")]
    flags = (("--dynamic-user", isolate.dynamic_user), ("--bind-low-ports", isolate.bind_low_ports))
    return words + [option for option, is_set in flags if is_set and option not in changed]
