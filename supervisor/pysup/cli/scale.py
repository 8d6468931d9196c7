"""``pysup scale``."""

from __future__ import annotations

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
        number = cpus.scaled(count, len(found[0].instances))
        timeout = seconds(wait_timeout, "--wait-timeout")
        instances.show([apps.scale(name, number, wait=wait, timeout=timeout)])
