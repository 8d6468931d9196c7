"""``pysup secret``: what an app is to know and nobody else."""

from __future__ import annotations

import contextlib
import json as text
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pysup.cli import output
from pysup.cli.options import Json, OneApp, Scopes, WaitTimeout, manager, seconds
from pysup.errors import SpecError

if TYPE_CHECKING:
    from pysup.entrust import Secret

secret = typer.Typer(
    no_args_is_help=True,
    help="Set, list and remove the secrets of an app: handed over by systemd as files, kept encrypted where it can.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name.", show_default=False)]
Restart = Annotated[
    bool, typer.Option("--restart/--no-restart", help="Replace running instances, one by one, as is usual.")
]


@secret.command("set", context_settings={"allow_extra_args": True})
def set_(
    ctx: typer.Context,
    app: OneApp,
    name: Name,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="Take it from a file, not from stdin.")
    ] = None,
    env: Annotated[
        bool | None,
        typer.Option("--env/--no-env", help="Hand it over as a variable of that name, too.", show_default=False),
    ] = None,
    variable: Annotated[
        str | None, typer.Option("--env-name", metavar="VARIABLE", help="The same, under another name.")
    ] = None,
    restart: Restart = True,
    wait_timeout: WaitTimeout = None,
    json: Json = False,
    scope: Scopes = None,
) -> None:
    """Set a secret, or change it: from stdin, byte for byte, or typed where nobody sees it.

    The program finds it in the file $CREDENTIALS_DIRECTORY/NAME; as a variable only with --env, for then all that the
    program starts has it. Running instances are replaced one by one, as by pysup reload; if one does not come up with
    the secret, it is as it was before. The app need not be there yet. pysup delete takes its secrets away.

    Examples:
      pysup secret set web db-password                   asks for it
      openssl rand -hex 32 | pysup secret set web session-key
      pysup secret set web tls.key --file key.pem --no-restart
      pysup secret set web DATABASE_URL --env < url
    """
    from pysup.reload import ReloadOptions

    if variable and env is False:
        raise SpecError("--env-name and --no-env contradict each other", hint="Give one of them.")
    if ctx.args or "=" in name:
        raise SpecError(
            f"the value of a secret of {app} is among the arguments, and so in ps and in the shell's history",
            hint="Take another value, and hand that over on stdin or by --file; or type it when asked.",
        )
    wanted = variable or ({True: name, False: ""}[env] if env is not None else None)
    value = _value(app, name, file)
    if not value and file is None:
        raise SpecError("nothing came on stdin", hint="An empty secret is only taken from a file: --file /dev/null")
    options = ReloadOptions(timeout=seconds(wait_timeout, "--wait-timeout"))
    with manager(scope) as apps, _told_when_interrupted(app):
        done = apps.set_secret(app, name, value, variable=wanted, restart=restart, options=options)
        is_there = any(one.name == app for one in apps.list())
    if json:
        output.echo(text.dumps(_object(done), indent=2))
        return
    output.echo(f"Secret {name} of {app}: {len(value)} bytes, {done.where}{_as_variable(done)}.")
    if done.note:
        output.note(f"Not encrypted: {done.note}.")
    if value.endswith(b"\n") and file is None:
        output.note("It ends with a line end, which is a part of it now; printf '%s' writes none.")
    output.note(_next(app, is_there=is_there, is_handed_over=done.is_handed_over))


@secret.command("list")
def list_(app: OneApp, json: Json = False, scope: Scopes = None) -> None:
    """Show the names of an app's secrets, where they are, and when they were set; never a value.

    Examples:
      pysup secret list web
    """
    with manager(scope) as apps:
        found = apps.secrets(app)
    if json:
        output.echo(text.dumps([_object(one) for one in found], indent=2))
        return
    if not found:
        output.echo(f"App {app} has no secrets.")
    rows = [["NAME", "KEPT", "VARIABLE", "SET"]]
    rows += [[one.name, output.plain(one.where), one.variable or "-", _since(one)] for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows if found else ():
        output.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@secret.command("rm")
def remove(
    app: OneApp, name: Name, restart: Restart = True, wait_timeout: WaitTimeout = None, scope: Scopes = None
) -> None:
    """Take a secret away, and replace running instances, one by one, by such that do not have it.

    Examples:
      pysup secret rm web db-password
    """
    from pysup.reload import ReloadOptions

    options = ReloadOptions(timeout=seconds(wait_timeout, "--wait-timeout"))
    with manager(scope) as apps, _told_when_interrupted(app):
        replaced = apps.remove_secret(app, name, restart=restart, options=options)
    output.echo(f"Secret {name} of {app} is gone{'; its instances were replaced' if replaced else ''}.")


@contextlib.contextmanager
def _told_when_interrupted(app: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        output.warn(f"interrupted: instances that were not replaced yet have what they had; pysup reload {app} goes on")
        raise


def _value(app: str, name: str, file: str | None) -> bytes:
    """The bytes of a file, of stdin, or what is typed."""
    from pysup.entrust import LARGEST

    try:
        if file is not None:
            with Path(file).open("rb") as stream:
                return stream.read(LARGEST + 1)
        if sys.stdin.isatty():
            return _typed(f"Secret {name} of {app}: ")
        return sys.stdin.buffer.read(LARGEST + 1)
    except OSError as exc:
        raise SpecError(f"{repr(file) if file else 'stdin'} cannot be read: {exc.strerror}", hint="Check it.") from exc


def _typed(question: str) -> bytes:
    from getpass import getpass  # brings termios, which only who is asked needs

    try:
        return os.fsencode(getpass(question))
    except EOFError:
        raise SpecError("nothing was typed", hint="Type the secret, or hand it over on stdin.") from None


def _next(app: str, *, is_there: bool, is_handed_over: bool) -> str:
    if not is_there:
        return f"There is no app {app} yet; it gets its secrets when it is started."
    if is_handed_over:
        return "Its instances were replaced, and have it."
    return f"Instances get it when they start: pysup reload {app}"


def _as_variable(one: Secret) -> str:
    return f", and as variable {one.variable}" if one.variable else ""


def _since(one: Secret) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.kept.at)) if one.kept and one.kept.at else "-"


def _object(one: Secret) -> dict[str, object]:
    """docs/json.md has the fields."""
    return {
        "app": one.app,
        "name": one.name,
        "where": one.where,
        "encrypted": one.kept.is_encrypted if one.kept else None,
        "variable": one.variable or None,
        "set_at": one.kept.at or None if one.kept else None,
    }
