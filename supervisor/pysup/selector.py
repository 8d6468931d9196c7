"""Which apps and instances are meant: ``all``, ``web``, ``web@2``, ``web@0..3``, ``we*``, ``production/``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pysup.errors import NotFound, SpecError

ALL = "all"

_NUMBERED = re.compile(r"([^@]+)@(\d+)(?:\.\.(\d+))?")
_GLOB = re.compile(r"[*?\[]")


class Known(NamedTuple):
    """An app that can be chosen: its instances' numbers and its namespace."""

    numbers: tuple[int, ...]
    namespace: str = ""


class Chosen(NamedTuple):
    """An app, and those of its instances that are meant; ``whole`` when the app itself is."""

    app: str
    numbers: tuple[int, ...]
    whole: bool


def select(selectors: str | Sequence[str], known: Mapping[str, Known]) -> list[Chosen]:
    """What the selectors mean among the known apps, in order of names.

    Raises NotFound, with the nearest name as a hint, if one of them means nothing; ``all`` may mean nothing.
    """
    chosen: dict[str, Chosen] = {}
    for selector in [selectors] if isinstance(selectors, str) else selectors:
        for found in _one(selector, known):
            chosen[found.app] = _join(chosen.get(found.app), found)
    return [chosen[app] for app in sorted(chosen)]


def _one(selector: str, known: Mapping[str, Known]) -> list[Chosen]:
    if selector == ALL and ALL not in known:
        return _whole(known, known)
    if selector in known:
        return _whole([selector], known)
    numbered = _NUMBERED.fullmatch(selector)
    if numbered and numbered[1] in known:
        return [_some(numbered[1], int(numbered[2]), int(numbered[3] or numbered[2]), known)]
    if selector.endswith("/"):
        names = [name for name, app in known.items() if app.namespace and app.namespace == selector[:-1]]
    else:
        names = _matching(selector, known) if _GLOB.search(selector) else []
    if not names:
        raise NotFound(f"nothing here is called {selector!r}", hint=_suggestion(selector, known))
    return _whole(names, known)


def _whole(names: Iterable[str], known: Mapping[str, Known]) -> list[Chosen]:
    return [Chosen(name, known[name].numbers, whole=True) for name in names]


def _some(name: str, first: int, last: int, known: Mapping[str, Known]) -> Chosen:
    if last < first:
        raise SpecError(f"{name}@{first}..{last} runs backwards", hint=f"Write {name}@{last}..{first}.")
    there = known[name].numbers
    numbers = tuple(number for number in there if first <= number <= last)
    missing = [number for number in (first, last) if number not in there]
    if missing:
        shown = f"0 to {max(there)}" if there else "none"
        raise NotFound(f"app {name!r} has no instance {missing[0]}", hint=f"Its instances are {shown}.")
    return Chosen(name, numbers, whole=False)


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    import fnmatch  # few selectors are patterns

    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _join(one: Chosen | None, other: Chosen) -> Chosen:
    if one is None or one.whole:
        return one or other
    numbers = tuple(sorted({*one.numbers, *other.numbers}))
    return Chosen(other.app, numbers, whole=other.whole)


def _suggestion(selector: str, known: Mapping[str, Known]) -> str:
    import difflib

    names = [*known, *(f"{app.namespace}/" for app in known.values() if app.namespace)]
    near = difflib.get_close_matches(selector, names, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return "pysup list shows what there is." if known else "There are no apps yet: pysup start app.js"
