"""``stop``, ``restart``, ``delete``: what happens to apps that are known."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli import filed, instances, output
from pysup.cli.filed import Env, FileTargets, Only
from pysup.cli.options import Scopes, Wait, WaitTimeout, chosen_scope, manager, seconds


def stop(
    targets: FileTargets = None,
    only: Only = None,
    env: Env = None,
    scope: Scopes = None,
    wait: Wait = True,
    wait_timeout: WaitTimeout = None,
) -> None:
    """Stop apps or instances. They stay known: pysup start starts them again.

    Processes get their stop signal, and SIGKILL after their stop timeout; pysup stop returns when all have ended.

    Examples:
      pysup stop web
      pysup stop web@2 api         one instance of web, and all of api
      pysup stop 'test-*'
      pysup stop all
      pysup stop                   the apps of the pysup.toml here
    """
    timeout = seconds(wait_timeout, "--wait-timeout")
    names = filed.known_names(targets, chosen_scope(scope), only=only, env=env)
    with manager(scope) as apps:
        instances.show(apps.stop(names, wait=wait, timeout=timeout))


def restart(
    targets: FileTargets = None,
    only: Only = None,
    env: Env = None,
    scope: Scopes = None,
    rolling: Annotated[bool, typer.Option("--rolling", help="One by one, without a gap: as pysup reload.")] = False,
    wait: Wait = True,
    wait_timeout: WaitTimeout = None,
) -> int | None:
    """Stop and start apps or instances; what does not run is started.

    Returns when every instance is ready, or has survived half a second; if one does not, the exit code is 1.

    Examples:
      pysup restart web
      pysup restart web@0..3
      pysup restart production/    all apps of a namespace
      pysup restart pysup.toml     its apps, with the settings that are in it now
    """
    timeout = seconds(wait_timeout, "--wait-timeout")
    where = chosen_scope(scope)
    meant = filed.meant(targets, where, only=only, env=env)
    wanted = filed.wanted(meant.files, where, only=only, env=env)
    with manager(scope) as apps:
        if rolling:
            from pysup.reload import ReloadOptions  # brings an event loop, which completion need not

            options = ReloadOptions(timeout=timeout)
            shown = [one for app in wanted.apps for one in apps.reload(app, options=options)]
            shown += apps.reload(meant.selectors, options=options) if meant.selectors else []
        else:
            shown = [apps.start(app, wait=wait, timeout=timeout, force=True) for app in wanted.apps]
            shown += apps.restart(meant.selectors, wait=wait, timeout=timeout) if meant.selectors else []
        failed = filed.limit_namespaces(apps, wanted.namespaces, where)
        instances.show(shown)
    return output.report(failed)


def delete(
    targets: FileTargets = None,
    only: Only = None,
    env: Env = None,
    scope: Scopes = None,
    wait_timeout: WaitTimeout = None,
) -> None:
    """Stop apps and forget them: their unit files go, saved or not. What they logged stays in the journal.
    The balancers before an app are deleted with it.

    Examples:
      pysup delete web
      pysup delete 'test-*'
      pysup delete all             exit code 0 also when there is none
      pysup delete pysup.toml      the apps that it names
    """
    timeout = seconds(wait_timeout, "--wait-timeout")
    names = filed.known_names(targets, chosen_scope(scope), only=only, env=env)
    with manager(scope) as apps:
        deleted = apps.delete(names, timeout=timeout)
    output.echo(f"Deleted {', '.join(deleted)}." if deleted else "There is nothing to delete.")
