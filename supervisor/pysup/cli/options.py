"""The options and arguments that commands share, each spelt once; and how a command gets its manager.

def stop(targets: Targets, scope: Scopes = None, wait: Wait = True, timeout: WaitTimeout = None) -> int | None:
    with manager(scope) as apps:
        ...
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from pysup.cli import complete
from pysup.unit import Scope

if TYPE_CHECKING:
    from pysup.sync import Manager

Scopes = Annotated[
    bool | None,
    typer.Option(
        "--user/--system",
        help="Your own systemd manager, or the machine's. Usual: the machine's for root, your own for others.",
        show_default=False,
    ),
]
Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="APP…",
        help="Apps or instances: web, web@2, web@0..3, 'we*', namespace/, all.",
        autocompletion=complete.selectors,
        show_default=False,
    ),
]
OptionalTargets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[APP…]",
        help="Apps or instances: web, web@2, web@0..3, 'we*', namespace/; all if none is named.",
        autocompletion=complete.selectors,
        show_default=False,
    ),
]
OneApp = Annotated[
    str,
    typer.Argument(metavar="APP", help="An app's name.", autocompletion=complete.selectors, show_default=False),
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it has happened, as is usual.", show_default=False)
]
WaitTimeout = Annotated[
    str | None,
    typer.Option("--wait-timeout", metavar="TIME", help="Wait no longer than this: 30s, 2min.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


before_the_command: bool | None = None
"""What stood before the command, as in ``pysup --user list``."""


def chosen_scope(scope: bool | None) -> Scope:
    """The scope that ``--user`` or ``--system`` say, behind the command or before it, or else the caller's usual."""
    from pysup.host import ground

    if scope is None:
        scope = before_the_command
    if scope is None:
        return ground.default_scope()
    return Scope.USER if scope else Scope.SYSTEM


def manager(scope: bool | None) -> Manager:
    """The blocking manager of the chosen scope; a context manager."""
    from pysup.sync import Manager

    return Manager(chosen_scope(scope))


def several(texts: Iterable[str] | None) -> tuple[str, ...]:
    """The values of an option that may be repeated, and have several in one: ``--only a,b --only c``."""
    return tuple(part.strip() for text in texts or () for part in text.split(",") if part.strip())


def several_names(texts: Iterable[str] | None) -> tuple[str, ...]:
    """The same of names, in which there are no blanks: those may stand between them, as PM2 has it."""
    return several(",".join(text.split()) for text in texts or ())


def seconds(text: str | None, option: str) -> float | None:
    """A time given to an option, in seconds."""
    from pysup import parse

    return None if text is None else parse.span(text, option)
