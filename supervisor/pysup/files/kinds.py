"""What may stand for a value of some kind in a file: its JSON Schema, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pysup import check, parse
from pysup.errors import SpecError


class Spot(NamedTuple):
    """Where a value stands: its key as it is told, and the directory that its paths begin in."""

    key: str
    base: str


Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """``allowed`` completes "it must be …"; ``read`` takes what the schema lets pass; ``build`` what layers make of it.

    ``parts`` are the keys of a table of its own.
    """

    allowed: str
    schema: Schema
    read: Callable[[Any, Spot], Any]
    build: Callable[[Any], Any] = lambda value: value
    parts: Mapping[str, Kind] | None = None


VARIABLE = r"\$\{"
"""Text with this is a value after variables were put in, so the schema cannot say more of it."""

_TEXT: Schema = {"type": "string"}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}


def texts(value: object) -> list[Any]:
    """A value, or the values of a list, as a list."""
    return value if isinstance(value, list) else [value]


def scalar(value: object) -> str:
    """What a text, a number or a truth is as text: as TOML and JSON write them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _flag(value: object, spot: Spot) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return {"true": True, "false": False}[str(value)]
    except KeyError:
        raise SpecError(f"{spot.key} is {value!r}", hint="It must be true or false.") from None


def absolute(value: str, spot: Spot) -> str:
    """A path, from the directory of the file that it stands in."""
    return os.path.normpath(os.path.join(spot.base, os.path.expanduser(value)))  # noqa: PTH111, PTH118 (keeps no links)


def _place(value: str, spot: Spot) -> str:
    return value if value in ("journal", "null") else absolute(value, spot)


def _numbers(value: object, spot: Spot) -> tuple[int, ...]:
    return tuple(check.number(str(one), spot.key) for one in texts(value))


def _names(value: object, _: Spot) -> tuple[str, ...]:
    return tuple(str(one) for one in texts(value))


def one_or_many(schema: Schema) -> Schema:
    """A value, or a list of such values."""
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def or_text(schema: Schema, pattern: str) -> Schema:
    """A value, or text for it: by *pattern*, or with variables."""
    return {"anyOf": [schema, {"type": "string", "pattern": f"{pattern}|{VARIABLE}"}]}


_WHOLE = or_text({"type": "integer"}, "^-?[0-9]+$")

TEXT = Kind(allowed="text", schema=_TEXT, read=lambda value, _: value)
NUMBER = Kind(allowed="a whole number", schema=_WHOLE, read=lambda value, spot: check.number(str(value), spot.key))
FLAG = Kind(allowed="true or false", schema=or_text({"type": "boolean"}, "^(true|false)$"), read=_flag)
TIME = Kind(
    allowed="a time: seconds, or text such as '500ms', '2s', '5min'",
    schema={"anyOf": [{"type": "number", "minimum": 0}, _TEXT]},
    read=lambda value, spot: parse.span(str(value), spot.key),
)
SIZE = Kind(
    allowed="a size: bytes, or text such as '300M', '1.5G'",
    schema={"anyOf": [{"type": "integer", "minimum": 0}, _TEXT]},
    read=lambda value, spot: parse.size(str(value), spot.key),
)
SHARE = Kind(
    allowed="a share of CPUs: a number, or text such as '150%'",
    schema={"anyOf": [{"type": "number", "minimum": 0}, _TEXT]},
    read=lambda value, spot: parse.cpus(str(value), spot.key),
)
NAMES = Kind(allowed="text, or a list of texts", schema=one_or_many(_TEXT), read=_names)
NUMBERS = Kind(allowed="a whole number, or a list of them", schema=one_or_many(_WHOLE), read=_numbers)
PATH = Kind(allowed="a path", schema=_TEXT, read=absolute)
PLACE = Kind(allowed="journal, null or a path", schema=_TEXT, read=_place)
PATHS = Kind(
    allowed="a path, or a list of paths",
    schema=one_or_many(_TEXT),
    read=lambda value, spot: tuple(absolute(one, spot) for one in texts(value)),
)
TABLE = Kind(
    allowed="a table of names and values",
    schema={"type": "object", "additionalProperties": SCALAR},
    read=lambda value, _: {key: scalar(one) for key, one in value.items()},
)
DIRECTIVES = Kind(
    allowed="a table of directives, each with a value or a list of values",
    schema={"type": "object", "additionalProperties": one_or_many(SCALAR)},
    read=lambda value, _: {key: tuple(map(scalar, texts(one))) for key, one in value.items()},
)


def choice(enum: type[StrEnum]) -> Kind:
    """One of the values of *enum*."""
    spelt = [member.value for member in enum]
    return Kind(
        allowed=f"one of: {', '.join(spelt)}",
        schema={"anyOf": [{"enum": spelt}, {"type": "string", "pattern": VARIABLE}]},
        read=lambda value, spot: check.choice(enum, value, spot.key),
    )
