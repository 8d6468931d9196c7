"""``pysup serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pysup import listen as addresses
from pysup import static
from pysup.cli import instances, output, wanted
from pysup.cli.options import Scopes, Wait, WaitTimeout, chosen_scope, seconds
from pysup.errors import EnvironmentProblem, SpecError
from pysup.host import balancers as programs
from pysup.unit import Scope

PORT = 8080
_PLACES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


def serve(
    directory: Annotated[
        str, typer.Argument(metavar="[DIR]", help="What to serve; usually here.", show_default=False)
    ] = ".",
    scope: Scopes = None,
    port: Annotated[int, typer.Option("--port", "-p", metavar="PORT", help="Where it listens.")] = PORT,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", metavar="ADDRESS", help="The same, as in pysup start: 127.0.0.1:8080.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="What to call it; usually static-PORT.", show_default=False)
    ] = None,
    spa: Annotated[bool, typer.Option("--spa", help="Answer with /index.html what is no file.")] = False,
    listing: Annotated[bool, typer.Option("--ftp", help="List directories that have no index.html.")] = False,
    cors: Annotated[bool, typer.Option("--cors", help="Let pages of other origins read it, as PM2 does.")] = False,
    basic_auth: Annotated[
        str | None,
        typer.Option(
            "--basic-auth",
            metavar="file:PATH|env:NAME",
            help="Ask for the user and password that a file or a variable has, as user:password.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the app of that name.")] = False,
    wait: Wait = True,
    timeout: WaitTimeout = None,
) -> None:
    """Serve the files of a directory, as an app of that nginx which is installed, on a port that systemd holds.

    It is an app like others: list, logs, reload, save, stop and delete work. Answers 404.html where there is one, and
    never what begins with a dot. Root's sites are read by nginx's own account.

    Examples:
      pysup serve
      pysup serve dist --port 3000 --spa
      pysup serve /srv/www --listen 127.0.0.1:8080 --name www && pysup save www
      pysup serve private --basic-auth file:/etc/private.auth
    """
    from shutil import which

    from pysup.sync import Manager

    chosen = chosen_scope(scope)
    nginx = which("nginx", path=_PLACES)
    if nginx is None:
        raise EnvironmentProblem(
            "nginx, which serves the files, is not installed", hint="Type: apt install nginx-light"
        )
    root = Path(os.path.abspath(directory))  # noqa: PTH100 (resolves no links: what they lead to may change)
    if not root.is_dir():
        raise SpecError(f"{directory!r} is no directory", hint="Name the one that has the files.")
    place = addresses.parse(listen or str(port))
    site = static.Site(
        name=name or f"static-{place.port or place.name}",
        directory=str(root),
        listen=place,
        spa=spa,
        listing=listing,
        auth=_secret(basic_auth),
        cross_origin=cors,
        account=programs.account("nginx") if chosen is Scope.SYSTEM else "",
    )
    env = wanted.usual_environment(chosen, "root")
    with Manager(chosen) as manager:
        manager.start(static.app(site, nginx, env), wait=wait, timeout=seconds(timeout, "--wait-timeout"), force=force)
        instances.show(manager.list(site.name))
    output.note(f"{root} is served on {place.address}")


def _secret(reference: str | None) -> str:
    """What a reference leads to; a password in the command line would be for all to see."""
    if reference is None:
        return ""
    kind, _, place = reference.partition(":")
    try:
        if kind == "file" and place:
            return Path(place).read_text().strip()
        if kind == "env" and place:
            return os.environ[place].strip()
    except KeyError:
        raise SpecError(
            f"--basic-auth: there is no variable {place!r} here", hint=f"Set it: export {place}=…"
        ) from None
    except OSError as exc:
        raise SpecError(f"--basic-auth: {place} cannot be read: {exc.strerror}", hint="Check the path.") from exc
    raise SpecError("--basic-auth is no reference", hint="Write file:PATH or env:NAME, which has user:password.")
