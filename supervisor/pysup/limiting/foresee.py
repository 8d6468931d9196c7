"""What limits would do to what runs now, found out before they are set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pysup import preflight, states, status
from pysup.app import App
from pysup.bus.call import Conversation
from pysup.errors import Conflict
from pysup.host import cgroups
from pysup.host.cgroups.reading import Reader
from pysup.limiting import groups
from pysup.limiting.danger import dangers
from pysup.limiting.groups import Group
from pysup.limits import Limits

Held = tuple[Group, Limits]


def apps(changes: Sequence[tuple[App, App]]) -> Conversation[list[Held]]:
    """The groups of apps that are to change from the one to the other, each with the limits that change for it.

    Raises SpecError for a device that is not there.
    """
    for _, after in changes:
        preflight.check_limits(after)
    units = yield from states.loaded(status.patterns([before.name for before, _ in changes]))
    return [
        (group, _changed(group.wanted(before), group.wanted(after)))
        for before, after in changes
        for group in groups.of_app(before, units)
    ]


def check(held: Iterable[Held], *, force: bool) -> list[str]:
    """What is worth telling. Raises Conflict if something would be killed at once, unless *force* says that it may."""
    trees, told = cgroups.here(), []
    reader = Reader(trees)
    for group, limits in held:
        if not limits.given or not group.control_group:
            continue
        for danger in dangers(group.name, limits, reader.read(group.control_group), trees.held(group.control_group)):
            if danger.kills and not force:
                raise Conflict(danger.message, hint="Give it more, or do it all the same: --force")
            told.append(danger.message)
    return told


def _changed(before: Limits, after: Limits) -> Limits:
    """Those of *after* that are others than before; what is not is no news."""
    same = [name for name in after.given if getattr(after, name) == getattr(before, name)]
    return Limits(**{name: getattr(after, name) for name in _watched(after) if name not in same})


def _watched(limits: Limits) -> list[str]:
    return [name for name in ("memory_max", "memory_high", "tasks_max", "nofile") if name in limits.given]
