"""``pysup reset``."""

from __future__ import annotations

from pysup.cli import output
from pysup.cli.options import Scopes, Targets, manager


def reset(targets: Targets, scope: Scopes = None) -> None:
    """Set the restart counters of instances to 0 and forget their failures.

    Examples:
      pysup reset web
      pysup reset all
    """
    with manager(scope) as apps:
        done = apps.reset(targets)
    output.echo(f"Reset {', '.join(map(str, done))}." if done else "There is nothing to reset.")
