"""What happened, as the journal has it: systemd's words and pysup's own records as one list of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pysup import chronicle
from pysup.brakes import Specs
from pysup.events import Event, OfApp
from pysup.journal import words
from pysup.names import InstanceName
from pysup.selector import Chosen
from pysup.unit import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose events are wanted: of these ``apps``, and of single ``instances``; None for all that there ever were.

    ``uid`` is the owner of the manager.
    """

    scope: Scope
    uid: int
    apps: frozenset[str] | None = None
    instances: frozenset[InstanceName] = frozenset()

    def has(self, name: InstanceName) -> bool:
        """Whether events of this instance are wanted."""
        return self.apps is None or name.app in self.apps or name in self.instances

    def has_app(self, app: str) -> bool:
        """Whether events of the app as a whole are."""
        return self.apps is None or app in self.apps or any(name.app == app for name in self.instances)


def wanted(scope: Scope, uid: int, chosen: Sequence[Chosen] | None) -> Wanted:
    """What was chosen; None for everything."""
    if chosen is None:
        return Wanted(scope=scope, uid=uid)
    single = (InstanceName(one.app, number) for one in chosen if not one.whole for number in one.numbers)
    whole = frozenset(one.app for one in chosen if one.whole)
    return Wanted(scope=scope, uid=uid, apps=whole, instances=frozenset(single))


def read(of: Wanted, specs: Specs, *, since: float | None, until: float) -> list[Event]:
    """Everything from *since* to *until*, in order of time."""
    deeds = (deed for deed in words.of_pysup(of.scope, of.uid, since=since) if deed.at <= until)
    return join(of, specs, deeds, since=since, until=until, known_until={})


def join(
    of: Wanted,
    specs: Specs,
    deeds: Iterable[OfApp],
    *,
    since: float | None,
    until: float,
    known_until: Mapping[str, float],
) -> list[Event]:
    """Systemd's words as events up to *until*, or up to a unit's own moment if that is later; and the deeds."""
    said = words.of_systemd(of.scope, of.uid, of.instances if of.apps == frozenset() else None, since=since)
    heard = (word for word in said if of.has(word.name) and word.at <= max(until, known_until.get(word.name.unit, 0.0)))
    told: list[Event] = [*chronicle.tell(heard, specs.brake, now=until)]
    told += [deed for deed in deeds if of.has_app(deed.app)]
    return sorted(told, key=lambda event: event.at)
