"""``pysup env``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pysup import environment
from pysup.cli import output
from pysup.cli.options import Json, Scopes, Targets, manager


def env(
    targets: Targets,
    scope: Scopes = None,
    json: Json = False,
    null: Annotated[bool, typer.Option("--null", "-0", help="End each variable with a NUL, not a newline.")] = False,
) -> None:
    """Show the environment of instances, names and values: that of the process, or what the next start will give it.

    Only its own user and root may see it. With several instances, each has its name above.

    Examples:
      pysup env web@0
      pysup env web --json | jq '."web@0".NODE_ENV'
      pysup env web@0 -0 | xargs -0 -n 1
    """
    with manager(scope) as apps:
        found = {str(one.name): environment.of(one, app.spec) for app in apps.list(targets) for one in app.instances}
    if json:
        import json as text

        output.echo(text.dumps(found, indent=2))
        return
    for name, variables in found.items():
        if len(found) > 1 and not null:
            output.echo(output.paint(f"# {name}", output.DIM))
        for key, value in variables.items():
            if null:
                sys.stdout.write(f"{key}={value}\0")
            else:
                output.echo(f"{key}={output.plain(value)}")
