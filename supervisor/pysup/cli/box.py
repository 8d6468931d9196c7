"""``pysup box``: private systemds, to try things in."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pysup.box import Box, Share
from pysup.cli import output
from pysup.cli.frame import WithArguments
from pysup.cli.options import Json
from pysup.errors import BoxError, SpecError

box = typer.Typer(
    no_args_is_help=True,
    help="Boot a private systemd over a throw-away copy of this machine, and use it; the machine itself is not touched."
    " Needs root.",
)

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Which box; not needed if there is just one.", show_default=False),
]
User = Annotated[
    str | None, typer.Option("--user", "-u", metavar="USER", help="As this user of the box.", show_default=False)
]


@box.command()
def up(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="What to call it; made up if not said.", show_default=False)
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:INSIDE[:rw]",
            help="A file or folder of this machine to be seen inside; repeat it.",
            show_default=False,
        ),
    ] = None,
    create_user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="USER", help="Make an ordinary user in it, with a systemd that runs; repeat it.", show_default=False
        ),
    ] = None,
) -> None:
    """Boot a box, and print its name. It is there until pysup box down.

    Examples:
      sudo pysup box up try
      sudo pysup box up --share /srv/app:/srv/app:rw
      sudo pysup box up try --create-user ada
    """
    booted = Box.up(name, shares=[_share(text) for text in share or ()], owner=None)
    try:
        for user in create_user or ():
            booted.create_user(user)
    except BaseException:
        booted.down()
        raise
    output.echo(booted.name)


def _takes_arguments(function: Callable[..., int]) -> Callable[..., int]:
    """Hide the parameter ``arguments`` from typer; WithArguments fills it."""

    @functools.wraps(function)
    def called(**values: Any) -> int:
        return function(**values)

    signature = inspect.signature(function, eval_str=True)
    seen = [parameter for parameter in signature.parameters.values() if parameter.name != "arguments"]
    called.__signature__ = signature.replace(parameters=seen)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    return called


@box.command(cls=WithArguments)
@_takes_arguments
def run(name: Name = None, user: User = None, arguments: tuple[str, ...] = ()) -> int:
    """Run a command in a box; the exit code is the command's, 128+N for signal N.

    Examples:
      sudo pysup box run -- systemctl status
      sudo pysup box run try --user ada -- pysup list
    """
    if not arguments:
        raise SpecError("no command given", hint="Write it behind --: pysup box run -- systemctl status")
    return Box.find(name).enter(arguments, user=user)


@box.command()
def enter(name: Name = None, user: User = None) -> int:
    """Open a shell in a box.

    Examples:
      sudo pysup box enter
    """
    return Box.find(name).enter(user=user)


@box.command()
def down(
    name: Name = None,
    everything: Annotated[bool, typer.Option("--all", help="Every box of this machine.")] = False,
) -> None:
    """End a box: its processes, its files, all of it.

    Examples:
      sudo pysup box down try
      sudo pysup box down --all
    """
    for one in Box.all() if everything else [Box.find(name)]:
        one.down()
        output.echo(f"Ended {one.name}.")


@box.command()
def reboot(name: Name = None) -> None:
    """Stop a box's systemd and boot it again: what is on its disk stays, /run and /tmp do not.

    Examples:
      sudo pysup box reboot try
    """
    Box.find(name).reboot()


@box.command(name="list")
def list_boxes(json: Json = False) -> None:
    """Show the boxes that are up.

    Examples:
      sudo pysup box list
    """
    found = Box.all()
    if json:
        import json as text

        output.echo(
            text.dumps([{"name": one.name, "pid": _pid(one), "shares": _texts(one)} for one in found], indent=2)
        )
        return
    columns = [output.Column("name"), output.Column("pid", right=True), output.Column("shares")]
    rows = [[one.name, str(_pid(one) or "-"), " ".join(_texts(one))] for one in found]
    for line in output.table(columns, rows, room=output.width()):
        output.echo(line)


def _pid(one: Box) -> int | None:
    """None while it boots, or if it has ended since it was found."""
    try:
        return one.pid
    except BoxError:
        return None


def _share(text: str) -> Share:
    parts = text.split(":")
    if len(parts) not in (2, 3) or parts[2:] not in ([], ["rw"], ["ro"]) or not all(parts):
        raise SpecError(f"--share is {text!r}", hint="Write HOST:INSIDE, or HOST:INSIDE:rw.")
    return Share(host=Path(parts[0]), inside=Path(parts[1]), writable=parts[2:] == ["rw"])


def _texts(one: Box) -> list[str]:
    return [f"{share.host}:{share.inside}{':rw' if share.writable else ''}" for share in one.shares]
