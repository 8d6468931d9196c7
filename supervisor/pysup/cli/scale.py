"""``pysup scale``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from pysup.cli import instances
from pysup.cli.frame import Command
from pysup.cli.options import OneApp, Scopes, Wait, WaitTimeout, manager, seconds
from pysup.errors import SpecError
from pysup.host import cpus

scale = typer.Typer()

# -1 is a number here, not an option.
_SETTINGS = {"ignore_unknown_options": True}


@scale.command(cls=Command, context_settings=_SETTINGS)
def _scale(
    name: OneApp,
    count: Annotated[str, typer.Argument(metavar="N|+N|-N|max", help="How many, or how many more or fewer.")],
    scope: Scopes = None,
    wait: Wait = True,
    wait_timeout: WaitTimeout = None,
) -> None:
    """Change how many instances an app has: the highest numbers go, missing ones come. The others run on untouched.

    Examples:
      pysup scale web 4
      pysup scale web +2
      pysup scale web -1
      pysup scale web max          one per CPU
    """
    with manager(scope) as apps:
        found = apps.list(name)
        if [app.name for app in found] != [name]:
            raise SpecError(f"{name!r} is not the name of one app", hint="Scale apps one by one.")
        number = absolute(count, len(found[0].instances))
        timeout = seconds(wait_timeout, "--wait-timeout")
        instances.show([apps.scale(name, number, wait=wait, timeout=timeout)])


def absolute(text: str, there: int) -> int:
    """How many ``4``, ``+2``, ``-1`` or ``max`` make of those that are there."""
    if text == "max":
        return cpus.count("max")
    if not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise SpecError(f"the number of instances is {text!r}", hint="Write 4, +2, -1 or max.")
    number = there + int(text) if text[0] in "+-" else int(text)
    if number < 1:
        raise SpecError(
            f"{text} would leave {max(number, 0)} instances", hint="At least 1 stays; pysup stop ends all of them."
        )
    return number
