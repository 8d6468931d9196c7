"""``memory=2G cpu=150% weight=200`` -> what of an app's limits changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pysup import check, parse
from pysup.app import App
from pysup.errors import SpecError
from pysup.host import cpus
from pysup.limits import Limits
from pysup.limits.table import BY_FIELD, ROWS, Kind, Row
from pysup.selector import Chosen

UNLIMITED = ("unlimited", "infinity")
"""What takes a limit away: people's word, and systemd's."""

_WEIGHTS = ("cpu_weight", "io_weight")

Changes = Mapping[str, Any]
"""Fields of Limits; None, or nothing, takes a limit away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to change of the limits of each instance, and of those of all together (an app's, a namespace's).

    ``single`` are the limits of single instances, all that there are to be; None leaves them alone.
    """

    each: Changes
    total: Changes
    single: Mapping[int, Limits] | None = None

    def of(self, app: App, chosen: Chosen) -> App:
        """The app with these limits, or with such for the chosen instances, over what they have of their own."""
        return self._of_app(app) if chosen.whole else self._of_instances(app, chosen.numbers)

    def _of_app(self, app: App) -> App:
        return replace(
            app,
            limits=replace(app.limits, **self.each),
            instance_limits=app.instance_limits if self.single is None else self.single,
            total=replace(app.total, **self.total),
        )

    def _of_instances(self, app: App, numbers: Iterable[int]) -> App:
        if self.total:
            raise SpecError(
                f"--total and weight are of all instances of app {app.name!r}, not of single ones",
                hint=f"Name the app ({app.name}); among its instances cpu_weight and io count.",
            )
        single = {number: replace(app.instance_limits.get(number, Limits()), **self.each) for number in numbers}
        return replace(app, instance_limits={**app.instance_limits, **single})


def wish(assignments: Iterable[str], *, total: bool = False) -> Wish:
    """What these words ask for: of each instance, or of all together (*total*).

    ``weight`` is always of all together: it counts against other apps. Raises SpecError for the first that is wrong.
    """
    each: dict[str, Any] = {}
    together: dict[str, Any] = {}
    for assignment in assignments:
        word, _, text = assignment.partition("=")
        if word == "weight":
            together |= dict.fromkeys(_WEIGHTS, _value(Kind.WEIGHT, text, word))
        elif word == "numa":
            _require_each(word, total=total)
            each |= _numa(text)
        else:
            row = _row(word)
            if not row.is_of_groups:
                _require_each(word, total=total)
            (together if total else each)[row.field] = _value(row.kind, text, word)
    return Wish(each=each, total=together)


def all_of(app: App) -> Wish:
    """To have all limits that an app has, and no others."""
    fields = [row.field for row in ROWS]
    return Wish(
        each={name: getattr(app.limits, name) for name in fields},
        total={name: getattr(app.total, name) for name in fields},
        single=app.instance_limits,
    )


def limits(assignments: Iterable[str], before: Limits) -> Limits:
    """The limits of all together that these words ask for."""
    return replace(before, **wish(assignments, total=True).total)


def value(field: str, text: str, name: str) -> Any:
    """What a text means for a field of Limits; *name* is how the field is told."""
    return _value(BY_FIELD[field].kind, text, name)


def _require_each(word: str, *, total: bool) -> None:
    if total:
        raise SpecError(f"{word} is a limit of single processes", hint="Give it to each instance: without --total.")


def _row(word: str) -> Row:
    wanted = word.lower().replace("-", "_")
    for row in ROWS:
        if wanted in row.words or wanted == row.directive.lower():
            return row
    if wanted == "memory_restart":
        raise SpecError(
            "memory_restart is no limit of the kernel's, but what restarts an instance that holds too much",
            hint="Type: pysup start APP --memory-restart 512M --force",
        )
    from difflib import get_close_matches  # an error's cost only

    known = [*(name for row in ROWS for name in row.words), "weight", "numa"]
    near = get_close_matches(wanted, known, n=1)
    usual = ", ".join([*(row.words[0] for row in ROWS), "weight", "numa"])
    raise SpecError(
        f"there is no limit {word[:40]!r}", hint=f"Did you mean {near[0]}=?" if near else f"There are: {usual}."
    )


def _value(kind: Kind, text: str, name: str) -> Any:
    if text.lower() in UNLIMITED:
        return () if kind in (Kind.RATES, Kind.NUMBERS) else None
    if not text:
        raise SpecError(f"{name} has no value", hint=f"Write one, or take the limit away: {name}=unlimited")
    return _READ[kind](text, name)


def _numa(text: str) -> dict[str, Any]:
    """``bind:0-1``, ``interleave:0,2``, ``local``."""
    policy, _, nodes = text.partition(":")
    if policy.lower() in UNLIMITED:
        return {"numa_policy": None, "numa_nodes": ()}
    return {"numa_policy": policy, "numa_nodes": parse.numbers(nodes, "numa") if nodes else ()}


_READ: Mapping[Kind, Callable[[str, str], Any]] = {
    Kind.SIZE: parse.size,
    Kind.SHARE: parse.cpus,
    Kind.COUNT: check.number,
    Kind.WEIGHT: check.number,
    Kind.RATES: parse.rates,
    Kind.NUMBERS: cpus.choose,
    Kind.POLICY: lambda text, _: text,
}
