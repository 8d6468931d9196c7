"""Files of apps as targets of commands: ``pysup stop pysup.toml --only web``, and without a target the one here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pysup.cli import complete, output
from pysup.cli.options import several_names
from pysup.errors import NotFound, PysupError, SpecError
from pysup.unit import Scope

if TYPE_CHECKING:
    from pysup.app import App, Limits
    from pysup.files.document import Loaded
    from pysup.selector import Known
    from pysup.sync import Manager

FileTargets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[APP…|FILE]",
        help="Apps or instances: web, web@2, 'we*', namespace/, all; or a file of apps. Usual: pysup.toml here.",
        autocompletion=complete.selectors_and_files,
        show_default=False,
    ),
]
OneFile = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", help="A file of apps. Usual: pysup.toml here.", show_default=False),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="APPS", help="Of a file, just these apps: a,b.", show_default=False),
]
Env = Annotated[
    str | None,
    typer.Option("--env", metavar="NAME", help="The environment of the file that counts.", show_default=False),
]


class Meant(NamedTuple):
    """The targets of a command: selectors of what is known, and files of apps."""

    selectors: list[str]
    files: list[str]


class Wanted(NamedTuple):
    """What files say: their apps, and what the namespaces of these may use together."""

    apps: list[App]
    namespaces: dict[str, Limits]


def meant(
    targets: Sequence[str] | None,
    scope: Scope,
    *,
    only: Sequence[str] | None = None,
    env: str | None = None,
) -> Meant:
    """Which targets are files; without any target, the file of the current directory is."""
    from pysup import local, status

    known = status.known(status.read(local.store(scope))) if targets else {}
    files = [target for target in targets or () if is_file(target, known)] if targets else [here()]
    if (only or env) and not files:
        raise SpecError(f"{'--only' if only else '--env'} is for files of apps", hint="Name one, such as pysup.toml.")
    return Meant([target for target in targets or () if target not in files], files)


def is_file(target: str, known: Mapping[str, Known]) -> bool:
    """Whether a target is a file of apps; a known app of that name wins."""
    from pysup.files import readers  # only words that look like one have it loaded

    return target not in known and readers.is_file(target)


def here() -> str:
    """The file of apps in the current directory."""
    from pysup.files import readers

    found = readers.here()
    if found is None:
        raise SpecError(
            "no target given, and there is no pysup.toml here", hint="Name an app; pysup init makes a file."
        )
    return found


def known_names(
    targets: Sequence[str] | None, scope: Scope, *, only: Sequence[str] | None = None, env: str | None = None
) -> list[str]:
    """Selectors for commands that need no more than names: of a file's apps, those that are known."""
    from pysup import local
    from pysup.files import document

    found = meant(targets, scope, only=only, env=env)
    names = list(found.selectors)
    for file in found.files:
        there = local.store(scope).names()
        named = document.names(file, env=env, only=several_names(only))
        if not set(named) & set(there):
            raise NotFound(f"none of the apps in {file!r} is known", hint=f"To start them: pysup start {file}")
        names += [name for name in named if name in there]
    return names


def wanted(files: Sequence[str], scope: Scope, *, only: Sequence[str] | None = None, env: str | None = None) -> Wanted:
    """All that files say together; what is worth telling about it is printed."""
    found = Wanted([], {})
    for file in files:
        loaded = load(file, scope, only=only, env=env)
        found.apps.extend(loaded.apps)
        named = {app.namespace for app in loaded.apps}
        found.namespaces.update({name: limits for name, limits in loaded.namespaces.items() if name in named})
    return found


def limit_namespaces(manager: Manager, limits: Mapping[str, Limits], scope: Scope) -> list[PysupError]:
    """Hold namespaces to what files say of them; what went wrong with that."""
    if not limits:
        return []
    from pysup import local
    from pysup.files import namespaces  # few files say something of them

    failed: list[PysupError] = []
    for change in namespaces.plan(local.store(scope), limits, ()):
        try:
            manager.limit_namespace(change.namespace, change.after)
        except PysupError as exc:
            failed.append(exc)
    return failed


def load(file: str, scope: Scope, *, only: Sequence[str] | None = None, env: str | None = None) -> Loaded:
    """All that a file says; what is worth telling about it is printed."""
    from pysup.files import document

    warn_of_strangers(file, scope)
    loaded = document.load(file, scope=scope, env=env, only=several_names(only))
    for name, note in loaded.notes:
        output.note(f"{name}: {note}")
    return loaded


def warn_of_strangers(file: str, scope: Scope) -> None:
    """Tell root who else may change what it does by a file."""
    from pysup.host import trust, users

    whose = trust.stranger(file) if scope is Scope.SYSTEM and os.geteuid() == 0 else None
    if whose is not None:
        who = "others" if whose == trust.ANYBODY else f"user {users.name(whose)}"
        output.warn(f"{file} can be changed by {who}, and says what root runs")
