"""(what a file says, what is stored and runs) -> what there is to do about each app: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from pysup import companions
from pysup.app import App
from pysup.limits.table import ROWS
from pysup.store import Stored


class Action(StrEnum):
    """What is done about an app; in the order in which it is done."""

    CREATE = "create"
    START = "start"
    ADOPT = "adopt"
    SCALE = "scale"
    LIMIT = "limit"
    ROLL = "roll"
    RESTART = "restart"
    DEFINE = "define"
    REMOVE = "remove"
    NONE = "none"


EDITED = "its template was edited by hand"

SAID: Mapping[Action, str] = {
    Action.CREATE: "is new",
    Action.START: "is to be started",
    Action.ADOPT: "becomes the file's; nothing restarts",
    Action.SCALE: "gets more or fewer instances; the others run on",
    Action.LIMIT: "gets other limits; nothing restarts",
    Action.ROLL: "is replaced, instance by instance",
    Action.RESTART: "is restarted at once: its sockets change",
    Action.DEFINE: "changes, and stays stopped",
    Action.REMOVE: "goes: the file no longer has it",
    Action.NONE: "is as it should be",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An app as it is found: ``up`` of its instances run, ``is_on`` says whether it was started.

    ``is_edited``: somebody changed its template. ``is_stale``: what runs may be older than its files.
    """

    stored: Stored
    up: int = 0
    is_on: bool = False
    is_edited: bool = False
    is_stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be done about an app, and why; ``before`` and ``after`` are None where there is none.

    ``anew``: its files are to be written again, though they say the same.
    """

    name: str
    action: Action
    reasons: tuple[str, ...] = ()
    before: App | None = None
    after: App | None = None
    anew: bool = False


def plan(
    apps: Sequence[App], seen: Mapping[str, Seen], *, origin: str, named: Collection[str], prune: bool
) -> list[Change]:
    """What to do so that *apps* run as they say; with *prune*, other apps of *origin*'s that are not *named* go."""
    changes = [_change(app, seen.get(app.name)) for app in apps]
    gone = [one.stored for one in seen.values() if _is_of(one.stored, origin) and one.stored.name not in named]
    if prune:
        removed = (Change(name=one.name, action=Action.REMOVE, before=one.app) for one in gone)
        changes += removed
    order = list(Action)
    return sorted(changes, key=lambda change: order.index(change.action))


def left_over(seen: Mapping[str, Seen], *, origin: str, named: Collection[str]) -> list[str]:
    """The apps that are a file's, and are no longer in it."""
    return [name for name, one in seen.items() if _is_of(one.stored, origin) and name not in named]


def different(before: App, after: App) -> list[str]:
    """The fields in which two apps differ."""
    return [field.name for field in fields(App) if getattr(before, field.name) != getattr(after, field.name)]


def _is_of(stored: Stored, origin: str) -> bool:
    return stored.app is not None and stored.app.origin == origin


def _change(app: App, found: Seen | None) -> Change:
    if found is None:
        return Change(name=app.name, action=Action.CREATE, after=app)
    before = found.stored.app
    reasons = tuple(_reasons(app, found))
    action = _action(app, before, found) if reasons else Action.NONE
    anew = before == app and (found.is_edited or found.is_stale)
    return Change(name=app.name, action=action, reasons=reasons, before=before, after=app, anew=anew)


def _reasons(app: App, found: Seen) -> Iterable[str]:
    before = found.stored.app
    if before is None:
        yield "its unit files cannot be read back"
    elif before != app:
        yield f"settings: {', '.join(different(before, app))}"
    if found.is_edited:
        yield EDITED
    if found.is_stale:
        yield "what runs may be older than its unit files"
    wanted = len(found.stored.numbers)
    if app.autostart and not found.is_on:
        yield "it does not run"
    elif app.autostart and not app.is_job and found.up < wanted:
        yield f"{found.up} of {wanted} instances run"


def _action(app: App, before: App | None, found: Seen) -> Action:
    if not found.is_on and not found.up:
        return Action.START if app.autostart else Action.DEFINE
    if before is None or before.listen != app.listen or before.spread != app.spread:
        return Action.RESTART
    if found.is_edited or found.is_stale:
        return Action.ROLL
    if before == app:
        return Action.START
    if replace(before, origin=app.origin) == app:
        return Action.ADOPT
    counted = isinstance(app.instances, int) and isinstance(before.instances, int)
    if counted and replace(before, origin=app.origin, instances=app.instances) == app:
        return Action.SCALE
    limited = replace(before, limits=app.limits, instance_limits=app.instance_limits, total=app.total)
    if replace(limited, origin=app.origin) == app and _is_live(before, app):
        return Action.LIMIT
    return Action.ROLL


def _is_live(before: App, app: App) -> bool:
    """Whether only limits differ that are of control groups, which can change while they run."""
    numbers = (None, *before.instance_limits, *app.instance_limits)
    held = [(companions.limits(before, number), companions.limits(app, number)) for number in numbers]
    differing = {row for row in ROWS for old, new in held if getattr(old, row.field) != getattr(new, row.field)}
    return all(row.is_of_groups for row in differing)
