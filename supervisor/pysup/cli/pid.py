"""``pysup pid``."""

from __future__ import annotations

from pysup.cli import output
from pysup.cli.options import OptionalTargets, Scopes, manager
from pysup.selector import ALL


def pid(targets: OptionalTargets = None, scope: Scopes = None) -> None:
    """Print the main process of each instance that runs, one a line.

    Examples:
      pysup pid web@0
      kill -USR2 $(pysup pid web)
    """
    with manager(scope) as apps:
        for app in apps.list(targets or ALL):
            for one in app.instances:
                if one.pid:
                    output.echo(str(one.pid))
