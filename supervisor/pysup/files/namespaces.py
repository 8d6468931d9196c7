"""Limits of namespaces in a file of apps, by the words of ``pysup limit``: ``[namespaces.shop] memory = "8G"``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from pysup import status
from pysup.app import App, Limits
from pysup.errors import SpecError
from pysup.files import appkeys, kinds
from pysup.files.kinds import Kind, Schema, Spot
from pysup.limiting import namespaces
from pysup.limits.table import ROWS
from pysup.store import Store


class Word(NamedTuple):
    """A key, and the limits that it sets."""

    kind: Kind
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiting:
    """A namespace that is to have other limits."""

    namespace: str
    before: Limits
    after: Limits

    @property
    def name(self) -> str:
        """How it is told: ``shop/``."""
        return f"{self.namespace}/"


@cache
def words() -> Mapping[str, Word]:
    """The keys of a namespace."""
    parts = appkeys.table()["total"].parts or {}
    rows = {word: Word(parts[row.field], (row.field,)) for row in ROWS if row.is_of_groups for word in row.words}
    return {**rows, "weight": Word(kinds.NUMBER, ("cpu_weight", "io_weight"))}


def schema() -> Schema:
    """What may stand below ``namespaces``."""
    limits = {key: {**word.kind.schema, "description": f"It is {word.kind.allowed}."} for key, word in words().items()}
    return {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": False, "properties": limits},
    }


def read(key: str, value: Any, spot: Spot) -> dict[str, Any]:
    """The fields of Limits that a key sets. Raises SpecError."""
    kind, fields = words()[key]
    of_field = spot.key.rpartition(".")[0] + f".{fields[0]}"  # by which some kinds know what they read
    return dict.fromkeys(fields, kind.read(value, Spot(of_field, spot.base)))


def plan(store: Store, wanted: Mapping[str, Limits], apps: Iterable[App]) -> list[Limiting]:
    """What is to change. Raises SpecError for a namespace that no app is in, nor one of *apps* will be."""
    known = {one.app.namespace for one in status.read(store).values() if one.app} | {app.namespace for app in apps}
    for name in wanted:
        if name not in known:
            raise SpecError(
                f"namespaces.{name}: no app is in it", hint=f'Give one namespace = "{name}", or leave it out.'
            )
    found = [Limiting(namespace=name, before=namespaces.read(store, name), after=wanted[name]) for name in wanted]
    return [one for one in found if one.before != one.after]
