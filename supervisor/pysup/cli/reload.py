"""``pysup reload``."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli import filed, instances, output
from pysup.cli.filed import Env, FileTargets, Only
from pysup.cli.options import Json, Scopes, WaitTimeout, chosen_scope, manager, seconds


def reload(
    targets: FileTargets = None,
    only: Only = None,
    env: Env = None,
    scope: Scopes = None,
    parallel: Annotated[
        str | None,
        typer.Option(
            "--parallel",
            metavar="N|N%",
            help="Replace N, or such a part of them, at a time. Usual with --listen: 2 of 3 or more, 25% from 8 on.",
            show_default=False,
        ),
    ] = None,
    surge: Annotated[
        bool, typer.Option("--surge/--no-surge", help="Have a spare instance prove the new version first, as is usual.")
    ] = True,
    rollback: Annotated[
        bool, typer.Option("--rollback/--no-rollback", help="Put old settings back if new ones fail, as is usual.")
    ] = True,
    wait_timeout: WaitTimeout = None,
    json: Json = False,
) -> int | None:
    """Replace running instances by new ones, of the code as it is now, without losing a connection.

    Where instances share their sockets (--listen) or have ports of their own (--port), a spare one with the new version
    must come up first: if it does not, nothing else is touched and the exit code is 1. Then instances are replaced, as
    many at a time as there are spare ones, each once those before it are ready. To change settings on the way:
    pysup start APP --rolling.

    Examples:
      pysup reload web
      pysup reload web --parallel 1          one spare: less memory, more time
      pysup reload web --parallel 50%
      pysup start web --memory-max 1G --rolling
      pysup reload pysup.toml      its apps, with the settings that are in it now
    """
    from pysup.reload import ReloadOptions

    timeout = seconds(wait_timeout, "--wait-timeout")
    options = ReloadOptions(parallel=parallel, surge=surge, rollback=rollback, timeout=timeout)
    where = chosen_scope(scope)
    meant = filed.meant(targets, where, only=only, env=env)
    wanted = filed.wanted(meant.files, where, only=only, env=env)
    with manager(scope) as apps:
        shown = [one for app in wanted.apps for one in apps.reload(app, options=options)]
        shown += apps.reload(meant.selectors, options=options) if meant.selectors else []
        failed = filed.limit_namespaces(apps, wanted.namespaces, where)
    show = instances.show_json if json else instances.show
    show(shown)
    return output.report(failed)
