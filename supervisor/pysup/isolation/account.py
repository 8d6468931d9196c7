"""Who runs what the machine's systemd starts: root only where somebody has said so."""

from __future__ import annotations

from typing import NamedTuple

from pysup.app import App
from pysup.errors import SpecError

ALLOW = "PYSUP_ALLOW_ROOT"
"""The variable that says root once for all: for machines on which everything is root's."""

_DIRECTIVES = {"User", "DynamicUser"}


class Owner(NamedTuple):
    """An account, and what of the program is its: who could run it instead."""

    name: str
    path: str


def is_unsaid(app: App) -> bool:
    """Whether nothing says who runs it; in the machine's manager that is root."""
    return not (app.user or app.isolate.dynamic_user or _DIRECTIVES & app.service.keys())


def check(app: App, before: App | None, owner: Owner | None) -> None:
    """Raise SpecError for an app of the machine's that would be root's by accident; not if it was so *before*."""
    if is_unsaid(app) and not (before and is_unsaid(before)):
        raise unsaid(f"app {app.name!r}", owner, others=("--dynamic-user for an account of its own",))


def unsaid(what: str, owner: Owner | None, *, others: tuple[str, ...] = ()) -> SpecError:
    """The error for what would run as root although nobody said so, with who could run it."""
    proposed = (f"--uid {owner.name}, who owns {owner.path}",) if owner else ("--uid NAME",)
    return SpecError(
        f"{what} would run as root, and nobody has said that it shall",
        hint=f"Say who runs it: {', '.join((*proposed, *others))}, or --uid root; in files and in Python user = "
        f'"{owner.name if owner else "NAME"}" or "root". For all that root starts: {ALLOW}=1 in its environment.',
    )
