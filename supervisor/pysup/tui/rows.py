"""Apps -> the rows of a table: apps, and below those that are unfolded their instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

from pysup.tui.history import History
from pysup.unit import AppStatus, Instance
from pysup.wording import cpu_percent, duration

Number = TypeVar("Number", int, float)

MANY = 12
"""An app with more instances than this is folded at first."""

_GOOD = ("active", "waiting", "listening")
_BUSY = ("auto-restart", "activating", "deactivating", "reloading", "refreshing")
_BAD = ("failed", "broken")


class Mood(StrEnum):
    """How to colour a state."""

    GOOD = "good"
    BUSY = "busy"
    BAD = "bad"
    IDLE = "idle"


class Order(StrEnum):
    """What the rows are sorted by; the most comes first."""

    NAME = "name"
    CPU = "cpu"
    MEMORY = "memory"
    RESTARTS = "restarts"

    @property
    def next(self) -> Order:
        """The one after it, round and round."""
        each = list(Order)
        return each[(each.index(self) + 1) % len(each)]


class Row(NamedTuple):
    """An app or an instance (``key`` is its selector). ``fold`` is ``-`` for unfolded, ``+`` for folded, or empty."""

    key: str
    app: str
    number: int | None
    instances: int
    state: str
    mood: Mood
    fold: str = ""
    pid: int = 0
    uptime: str = ""
    restarts: int = 0
    cpu: float | None = None
    memory: int | None = None

    @property
    def has_several(self) -> bool:
        """Whether it is an app with several instances."""
        return self.key == self.app and self.instances > 1


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen of all the rows. ``folded`` and ``unfolded`` are apps that differ from what is usual."""

    order: Order = Order.NAME
    only: str = ""
    folded: frozenset[str] = field(default_factory=frozenset)
    unfolded: frozenset[str] = field(default_factory=frozenset)

    def is_folded(self, app: AppStatus) -> bool:
        """Whether the app's instances are hidden."""
        if app.name in self.folded:
            return True
        return len(app.instances) > MANY and app.name not in self.unfolded

    def toggled(self, name: str, *, fold: bool) -> View:
        """The same with one app folded or unfolded."""
        folded = self.folded | {name} if fold else self.folded - {name}
        unfolded = self.unfolded - {name} if fold else self.unfolded | {name}
        return View(self.order, self.only, folded, unfolded)


def rows(apps: Sequence[AppStatus], history: History, view: View, now: float) -> list[Row]:
    """The rows to show; *now* is seconds since the epoch."""
    words = view.only.lower()
    wanted = [app for app in apps if words in app.name.lower() or words in _state(app)[0]]
    groups = [_group(app, history, view, now) for app in wanted]
    return [row for group in sorted(groups, key=lambda group: _KEYS[view.order](group[0])) for row in group]


def _group(app: AppStatus, history: History, view: View, now: float) -> list[Row]:
    each = [_instance(app, one, history, now) for one in app.instances]
    if len(each) == 1:
        return [each[0]._replace(key=app.name)]
    folded = view.is_folded(app)
    state, colour = _state(app)
    whole = Row(
        key=app.name,
        app=app.name,
        number=None,
        instances=len(each),
        state=state,
        mood=colour,
        fold="" if not each else "+" if folded else "-",
        uptime=_youngest(app, now),
        restarts=sum(row.restarts for row in each),
        cpu=_sum([row.cpu for row in each]),
        memory=_sum([row.memory for row in each]),
    )
    below = [] if folded else sorted(each, key=_KEYS[view.order])
    return [whole, *below]


def _instance(app: AppStatus, one: Instance, history: History, now: float) -> Row:
    share = history.shares.get(one.name)
    return Row(
        key=str(one.name),
        app=app.name,
        number=one.name.number,
        instances=1,
        state=one.state,
        mood=mood(one.state),
        pid=one.pid,
        uptime=_uptime(one, now),
        restarts=one.restarts,
        cpu=cpu_percent(one, now) if share is None else share,
        memory=one.usage.memory,
    )


def mood(state: str) -> Mood:
    """How to colour a state."""
    if state in _GOOD:
        return Mood.GOOD
    return Mood.BAD if state in _BAD else Mood.BUSY if state in _BUSY else Mood.IDLE


def _state(app: AppStatus) -> tuple[str, Mood]:
    """One word for all instances, or how many are up; coloured as the worst of them."""
    if not app.spec:
        return "broken", Mood.BAD
    states = [one.state for one in app.instances]
    if len(set(states)) == 1:
        return states[0], mood(states[0])
    moods = {mood(state) for state in states}
    worst = next((one for one in (Mood.BAD, Mood.BUSY, Mood.GOOD) if one in moods), Mood.IDLE)
    return (f"{sum(one.is_up for one in app.instances)}/{len(states)} up" if states else "inactive"), worst


def _uptime(one: Instance, now: float) -> str:
    return duration(max(0.0, now - one.since)) if one.is_up and one.since else ""


def _youngest(app: AppStatus, now: float) -> str:
    since = [one.since for one in app.instances if one.is_up and one.since]
    return duration(max(0.0, now - max(since))) if since else ""


def _sum(values: Sequence[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


_KEYS: dict[Order, Callable[[Row], tuple[float, str, int]]] = {
    Order.NAME: lambda row: (0, row.app, row.number or 0),
    Order.CPU: lambda row: (-(row.cpu or 0), row.app, row.number or 0),
    Order.MEMORY: lambda row: (-(row.memory or 0), row.app, row.number or 0),
    Order.RESTARTS: lambda row: (-row.restarts, row.app, row.number or 0),
}
