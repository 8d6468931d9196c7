"""The balancers' own configuration, and how their programs are run: text, from an app and the addresses before it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pysup.app import App
from pysup.balance import Balance, Program
from pysup.balancers import haproxy, nginx
from pysup.errors import SpecError
from pysup.unitfile import command_line

MARK = "# Made by pysup"
"""How a file of ours begins that is a part of the machine's server."""

Lines = Iterator[tuple[str, str]]

_ROOM = 8
_PLAIN = re.compile(r"[A-Za-z0-9_.:/\[\]@+-]+")

# Each ends when it has finished what it has; asked by its own name, for a balancer may become another program's.
_END = (
    'case "$(cat "/proc/$MAINPID/comm")" in nginx) kill -QUIT "$MAINPID";; *) kill -USR1 "$MAINPID";; esac; '
    'while kill -0 "$MAINPID" 2>/dev/null; do sleep 0.05; done'
)
# What is not ours stays; what the server would not take goes again, and what was there before comes back.
_INCLUDE = (
    'f=$1 p=$2 server=$3 mark=$4 old="$RUNTIME_DIRECTORY/old"; shift 4; rm -f -- "$old"; '
    'if [ -e "$p" ]; then '
    '[ "$mark" = any ] || head -n1 -- "$p" | grep -q "^$mark" || { echo "$p is not pysup\'s" >&2; exit 1; }; '
    'cp -- "$p" "$old"; fi; '
    """trap 'if [ -e "$old" ]; then cp -- "$old" "$p"; else rm -f -- "$p"; fi' EXIT; trap 'exit 1' TERM; """
    'cp -- "$f" "$p"; CHECK || exit 1; trap - EXIT; '
    'systemctl try-reload-or-restart "$server"'
)
_EXCLUDE = (
    'if head -n1 -- "$1" 2>/dev/null | grep -q "^$3"; then rm -f -- "$1"; systemctl try-reload-or-restart "$2" || :; fi'
)

_CONFIG = {Program.HAPROXY: haproxy.config, Program.NGINX: nginx.config}
_KINDS = {Program.HAPROXY: haproxy, Program.NGINX: nginx}


def command(balance: Balance, listens: int) -> tuple[str, ...]:
    """What runs the balancer, with so many sockets from systemd, on the configuration in its runtime directory.

    One that is a part of the machine's server is a process that does nothing, for as long as it is in it.
    """
    if balance.include:
        return ("/bin/sleep", "infinity")
    script = _KINDS[balance.program].run(listens)
    return ("/bin/sh", "-c", script, *balance.argv)


def service_section(balance: Balance, file: str) -> Lines:
    """How ``[Service]`` checks the configuration in *file* before it counts: at a start, and at a reload.

    What runs reads a copy in its runtime directory: the file moves when the app is saved.
    """
    if balance.include:
        yield from _including(balance, file)
        return
    kind = _KINDS[balance.program]
    take = f'cp -- "$f" "$RUNTIME_DIRECTORY/{kind.FILE}"'
    check = f"f=$1; shift; {kind.CHECK} && {take}"
    yield "ExecStartPre", command_line(("/bin/sh", "-c", check, "check", file, *balance.argv))
    reload = f'{check} && kill -{kind.RELOAD} "$MAINPID"'
    yield "ExecReload", command_line(("/bin/sh", "-c", reload, "reload", file, *balance.argv))
    yield "ExecStop", command_line(("/bin/sh", "-c", _END))


def _including(balance: Balance, file: str) -> Lines:
    """How it becomes a part of the machine's server, is changed there, and goes."""
    script = _INCLUDE.replace("CHECK", _KINDS[balance.program].CHECK_INCLUDED)
    server = f"{balance.program}.service"
    words = (file, balance.include, server, "any" if balance.overwrite else MARK, *balance.argv)
    yield "ExecStartPre", command_line(("/bin/sh", "-c", script, "include", *words))
    yield "ExecReload", command_line(("/bin/sh", "-c", script, "include", *words))
    yield "ExecStop", command_line(("/bin/sh", "-c", _EXCLUDE, "exclude", balance.include, server, MARK))


def addresses(balance: Balance, app: App, numbers: Collection[int]) -> dict[int, str]:
    """Where these instances of the app answer; one address where they share a socket.

    Raises SpecError for an app that nobody can connect to.
    """
    if app.port is not None:
        host = f"[{balance.host}]" if ":" in balance.host else balance.host
        return {number: f"{host}:{app.port + number}" for number in numbers if app.port + number <= 65535}
    if app.listen:
        return {0: reachable(app.listen[0].address)}
    raise SpecError(
        f"app {app.name!r} listens nowhere that pysup knows of, so nothing can be balanced",
        hint=f"Start it with --port BASE, each instance on its own: pysup start {app.name} --port 9001 --force",
    )


def slots(balance: Balance, app: App, count: int) -> dict[int, str]:
    """The addresses that a balancer knows beforehand: with room for spare instances, and for more of them."""
    size = _ROOM
    while size < 2 * count:
        size *= 2
    return addresses(balance, app, range(size))


def config(balancer: App, places: Mapping[int, str], served: Collection[int]) -> str:
    """The configuration: *places* are the addresses by instance, *served* those that get something to do now."""
    assert balancer.balance  # noqa: S101 (whoever asks has looked)
    for address in (*places.values(), *(one.address for one in balancer.listen)):
        if not _PLAIN.fullmatch(address):
            raise SpecError(f"a balancer cannot write down the address {address!r}", hint="Take a path without blanks.")
    text = _CONFIG[balancer.balance.program](balancer, balancer.balance, places, served)
    is_part = balancer.balance.include
    return f"{MARK}: {balancer.name}, the balancer of {balancer.balance.app}\n{text}" if is_part else text


def servers(text: str) -> set[str]:
    """The lines of a configuration that stand for instances which are served."""
    lines = map(str.strip, text.splitlines())
    return {line for line in lines if line.startswith("server ") and not line.endswith((" disabled", "{"))}


def reachable(address: str) -> str:
    """An address that can be connected to, for one that is listened on."""
    if address.isdecimal():
        return f"127.0.0.1:{address}"
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
