"""``pysup balance``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pysup.balance import HTTP_TIMEOUT, TCP_TIMEOUT, Mode, Program
from pysup.balancing import PORT, Wish
from pysup.cli import instances, output
from pysup.cli.options import OneApp, Scopes, WaitTimeout, manager, seconds
from pysup.errors import SpecError
from pysup.listen import Listen, parse


def balance(
    name: OneApp,
    program: Annotated[
        Program | None,
        typer.Option("--with", help="What balances. Usual: haproxy if it is installed.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", metavar="PORT", help=f"Where clients connect. Usual: {PORT}.", show_default=False),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen", metavar="ADDRESS", help="The same, as in pysup start: 127.0.0.1:9000.", show_default=False
        ),
    ] = None,
    tcp: Annotated[
        bool | None,
        typer.Option("--tcp/--http", help="Connections, whatever is in them, or requests (usual).", show_default=False),
    ] = None,
    sticky: Annotated[
        bool | None,
        typer.Option(
            "--sticky/--no-sticky",
            help="A client stays with its instance: by a cookie, with --tcp by its address.",
            show_default=False,
        ),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option("--health", metavar="PATH", help="What HAProxy asks instances for each second: /health."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="TIME",
            help=f"How long an instance may be silent. Usual: {HTTP_TIMEOUT:g}s, with --tcp {TCP_TIMEOUT / 3600:g}h.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Where instances listen. Usual: 127.0.0.1.", show_default=False),
    ] = None,
    include: Annotated[
        str | None,
        typer.Option(
            "--include",
            metavar="FILE",
            help="No program of its own: a file for the machine's server to include.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace that file though it is not pysup's.")] = False,
    called: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="NAME", help="What to call it. Usual: APP-balancer.", show_default=False),
    ] = None,
    scope: Scopes = None,
    wait_timeout: WaitTimeout = None,
) -> None:
    """Put HAProxy or nginx before the instances of an app, or change the one that is there.

    It is for programs that only bind a PORT of their own (pysup start … --port 9001). The balancer is an app itself:
    pysup list, logs, stop, save and delete work on it. It follows what pysup does to the app: an instance that is to be
    replaced, stopped or scaled away gets nothing more, and finishes what it has. Deleting the app deletes it, too.

    Examples:
      pysup start app.js -i 3 --port 9001
      pysup balance app --port 9000            9001, 9002 and 9003 behind 9000
      pysup balance app --with nginx --sticky  another program, the same port
      pysup balance app --health /health       HAProxy asks each instance
      pysup balance db --tcp --port 5432
      pysup balance app --with nginx --include /etc/nginx/conf.d/app.conf
      pysup reload app                         a new version, behind it
    """
    wish = Wish(
        name=called,
        listen=_listens(port, listen),
        program=program,
        mode=None if tcp is None else Mode.TCP if tcp else Mode.HTTP,
        host=host,
        sticky=sticky,
        health=health,
        timeout=seconds(timeout, "--timeout"),
        include=None if include is None else os.path.abspath(include),  # noqa: PTH100 (resolves no links)
        overwrite=force,
    )
    with manager(scope) as apps:
        made = apps.balance(name, wish, timeout=seconds(wait_timeout, "--wait-timeout"))
        instances.show([apps.get(name), made])
    spec = made.spec
    places = [*(one.address for one in spec.listen), *(spec.balance.binds if spec.balance else ())] if spec else []
    output.note(f"{made.name} balances {name} on {', '.join(places)}.")


def _listens(port: int | None, addresses: list[str] | None) -> tuple[Listen, ...] | None:
    if port is not None and addresses:
        raise SpecError(f"--port {port} and --listen say the same thing", hint="Use one of them.")
    if port is not None:
        return (Listen(address=str(port)),)
    return tuple(map(parse, addresses)) if addresses else None
