"""What ``balance`` is asked for -> the app that is the balancer, new or as it was with some things changed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pysup import balancers
from pysup.app import App, KillMode, Ready, ReadyWhen, Restart
from pysup.balance import Balance, Mode, Program
from pysup.converge import before
from pysup.errors import Conflict, EnvironmentProblem, SpecError
from pysup.host import balancers as programs
from pysup.listen import Listen
from pysup.store import Store, Stored
from pysup.unit import Scope

PORT = 9000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a balancer shall be like; None is as it was, or as is usual. ``name`` chooses among several.

    ``include`` is the file that the machine's own server gets; with ``overwrite`` also where there is one already.
    """

    name: str | None = None
    listen: tuple[Listen, ...] | None = None
    program: Program | None = None
    mode: Mode | None = None
    host: str | None = None
    sticky: bool | None = None
    health: str | None = None
    timeout: float | None = None
    include: str | None = None
    overwrite: bool = False


def make(store: Store, scope: Scope, name: str, wish: Wish) -> App:
    """The balancer of the app of that name, as it is wished for.

    Raises NotFound if there is no such app, SpecError if it listens nowhere, EnvironmentProblem if the program is not
    installed, and Conflict if there is another app of the balancer's name.
    """
    behind = store.get(name)
    app = behind.require()
    there = _there(store, name, wish)
    called = there.name if there else wish.name or f"{name}-balancer"
    listen = wish.listen or _listens(there) or (Listen(address=str(PORT)),)
    balance = _balance(app, there.balance if there else None, wish, scope, listen)
    _check_ports(app, len(balancers.addresses(balance, app, behind.numbers)), listen)
    _check_include(called, balance, there, scope)
    changed: dict[str, Any] = {
        "balance": balance,
        "listen": () if balance.include else listen,
        "command": balancers.command(balance, len(listen)),
        "restart": Restart.NO if balance.include else Restart.ALWAYS,
        "ready": Ready(when=ReadyWhen.NOTIFY if _notifies(balance) else ReadyWhen.EXEC),
    }
    return replace(there, **changed) if there else _new(app, called, scope, changed)


def _notifies(balance: Balance) -> bool:
    return balance.program is Program.HAPROXY and not balance.include


def _listens(there: App | None) -> tuple[Listen, ...]:
    binds = there.balance.binds if there and there.balance else ()
    return there.listen or tuple(Listen(address=bind) for bind in binds) if there else ()


def _new(app: App, name: str, scope: Scope, given: dict[str, Any]) -> App:
    usual = App(
        name=name,
        command=("/bin/sh",),
        namespace=app.namespace,
        description=f"balancer of {app.name}",
        user="root" if scope is Scope.SYSTEM else "",  # its workers are the package's account
        kill_mode=KillMode.MIXED,
        stop_timeout=30,
        after=(app.name,),
    )
    return replace(usual, **given)


def _there(store: Store, app: str, wish: Wish) -> App | None:
    """The balancer that is meant, if there is one already."""
    named = store.find(wish.name or f"{app}-balancer")
    if named and not _is_before(named, app):
        raise Conflict(f"there is an app {named.name!r} already, which is no balancer of {app!r}", hint="Add --name.")
    if named:
        return named.app
    found = [] if wish.name else before(store, app)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise SpecError(f"app {app!r} has several balancers: {names}", hint="Say which one: --name NAME.")
    return found[0].app if found else None


def _is_before(stored: Stored, app: str) -> bool:
    return bool(stored.app and stored.app.balance and stored.app.balance.app == app)


def _balance(app: App, there: Balance | None, wish: Wish, scope: Scope, listen: tuple[Listen, ...]) -> Balance:
    program = wish.program or (there.program if there else _installed())
    given = {field.name for field in fields(Balance)} & {field.name for field in fields(Wish)}
    asked = {name: value for name in given if (value := getattr(wish, name)) is not None}
    mode = wish.mode or (there.mode if there else Mode.HTTP)
    found: dict[str, Any] = {
        "program": program,
        "argv": programs.argv(program.value),
        "modules": programs.stream_modules() if (program, mode) == (Program.NGINX, Mode.TCP) else (),
        "account": programs.account(program.value) if scope is Scope.SYSTEM else "",
        "ipv6": programs.has_ipv6(),
        "binds": tuple(one.address for one in listen) if wish.include or (there and there.include) else (),
    }
    if there:
        return replace(there, **{**asked, **found})
    return Balance(app=app.name, **{**asked, **found})


def _installed() -> Program:
    program = next((program for program in Program if programs.is_here(program.value)), None)
    if program is None:
        raise EnvironmentProblem("neither haproxy nor nginx is installed", hint="On Debian: sudo apt install haproxy")
    return program


def _check_ports(app: App, count: int, listen: tuple[Listen, ...]) -> None:
    """A balancer must not sit where an instance, or a spare one at a reload, will listen."""
    for one in listen:
        if app.port is not None and one.port is not None and app.port <= one.port < app.port + 2 * count:
            raise SpecError(
                f"the balancer would listen on {one.port}, which is for instances of {app.name!r}",
                hint=f"They have {app.port} and up, and at a reload {count} more. Take a port below.",
            )


def _check_include(name: str, balance: Balance, there: App | None, scope: Scope) -> None:
    """A file that is somebody else's stays as it is, unless one says otherwise."""
    before = there.balance.include if there and there.balance else balance.include
    if before != balance.include:
        raise Conflict(
            f"{name} is {'a part of the server, by ' + before if before else 'an app of its own'} already",
            hint=f"Delete it first (pysup delete {name}), or put another one beside it: --name.",
        )
    if not balance.include:
        return
    if scope is Scope.USER:
        raise SpecError("--include is for the machine's own server", hint="As root; or without it, for one of yours.")
    file = Path(balance.include)
    if not file.parent.is_dir():
        raise SpecError(f"there is no directory {file.parent}", hint="See where the server looks for such files.")
    if file.exists() and not balance.overwrite and not file.read_text(errors="replace").startswith(_mark(name)):
        raise Conflict(f"{file} is there already, and not this balancer's", hint="--force has it replaced.")


def _mark(name: str) -> str:
    return f"{balancers.MARK}: {name},"
