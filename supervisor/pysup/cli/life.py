"""``stop``, ``restart``, ``delete``: what happens to apps that are known."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli import instances, output
from pysup.cli.options import Scopes, Targets, Wait, WaitTimeout, manager, seconds


def stop(targets: Targets, scope: Scopes = None, wait: Wait = True, wait_timeout: WaitTimeout = None) -> None:
    """Stop apps or instances. They stay known: pysup start starts them again.

    Processes get their stop signal, and SIGKILL after their stop timeout; pysup stop returns when all have ended.

    Examples:
      pysup stop web
      pysup stop web@2 api         one instance of web, and all of api
      pysup stop 'test-*'
      pysup stop all
    """
    timeout = seconds(wait_timeout, "--wait-timeout")
    with manager(scope) as apps:
        instances.show(apps.stop(targets, wait=wait, timeout=timeout))


def restart(
    targets: Targets,
    scope: Scopes = None,
    rolling: Annotated[bool, typer.Option("--rolling", help="One by one, without a gap: as pysup reload.")] = False,
    wait: Wait = True,
    wait_timeout: WaitTimeout = None,
) -> None:
    """Stop and start apps or instances; what does not run is started.

    Returns when every instance is ready, or has survived half a second; if one does not, the exit code is 1.

    Examples:
      pysup restart web
      pysup restart web@0..3
      pysup restart production/    all apps of a namespace
    """
    timeout = seconds(wait_timeout, "--wait-timeout")
    with manager(scope) as apps:
        if rolling:
            from pysup.reload import ReloadOptions  # brings an event loop, which completion need not

            instances.show(apps.reload(targets, options=ReloadOptions(timeout=timeout)))
        else:
            instances.show(apps.restart(targets, wait=wait, timeout=timeout))


def delete(targets: Targets, scope: Scopes = None, wait_timeout: WaitTimeout = None) -> None:
    """Stop apps and forget them: their unit files go, saved or not. What they logged stays in the journal.

    Examples:
      pysup delete web
      pysup delete 'test-*'
      pysup delete all             exit code 0 also when there is none
    """
    timeout = seconds(wait_timeout, "--wait-timeout")
    with manager(scope) as apps:
        deleted = apps.delete(targets, timeout=timeout)
    output.echo(f"Deleted {', '.join(deleted)}." if deleted else "There is nothing to delete.")
