"""What can stand for each key of an app: its JSON Schema, and how it becomes the value of App's field.

A field of App is a key by itself, by the type that it has; only what is written otherwise than it is kept has a row
here. What a key means to people is in ``about``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from pysup import check, listen, parse
from pysup.app import PER_CORE, App
from pysup.errors import SpecError
from pysup.files import secrets
from pysup.health import Ready, Watchdog
from pysup.isolate import Isolation, Level
from pysup.listen import Listen
from pysup.triggers import Schedule

NOT_KEYS = frozenset({"name", "origin", "balance"})
"""Fields of an App that come from elsewhere: its table's name, the file's, and what ``pysup balance`` finds."""


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
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_WHEN: Schema = {"type": ["string", "number"]}


def _limit(value: object, spot: Spot) -> Any:
    from pysup.limiting import words

    return words.value(spot.key.rpartition(".")[2].replace("-", "_"), str(value), spot.key)


def _cpus(value: object, spot: Spot) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list) else _limit(value, spot)


def _rates(value: object, spot: Spot) -> tuple[str, ...]:
    return tuple(rate for one in _texts(value) for rate in _limit(one, spot))


def _texts(value: object) -> list[Any]:
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


def _reserve(value: object, spot: Spot) -> int | tuple[int, ...]:
    from pysup.host import cpus

    return tuple(value) if isinstance(value, list) else cpus.reserve(str(value), spot.key)


def _listens(value: object, _: Spot) -> tuple[Listen, ...]:
    return tuple(_listen(one) for one in _texts(value))


def _listen(value: object) -> Listen:
    if not isinstance(value, dict):
        return listen.parse(str(value))
    keys = {key.replace("-", "_"): one for key, one in value.items()}
    if isinstance(keys.get("mode"), str):
        keys["mode"] = int(keys["mode"], 8)
    return Listen(**{**keys, "address": str(keys["address"])})


def _ready(value: object, spot: Spot) -> dict[str, object]:
    table = value if isinstance(value, dict) else {"when": value}
    given: dict[str, object] = {}
    if "when" in table:
        parse.ready(str(table["when"]))
        given["when"] = str(table["when"])
    if "timeout" in table:
        given["timeout"] = parse.span(str(table["timeout"]), f"{spot.key}.timeout")
    return given


def _built_ready(given: Mapping[str, Any]) -> Ready:
    return parse.ready(given.get("when", "exec"), timeout=given.get("timeout", Ready().timeout))


def _watchdog(value: object, spot: Spot) -> dict[str, Any]:
    given: dict[str, Any] = dict(value) if isinstance(value, dict) else {"when": value}
    if "when" in given:
        given["when"] = str(given["when"])
        parse.watchdog(given["when"])
    for name in ("interval", "timeout"):
        if name in given:
            given[name] = parse.span(str(given[name]), f"{spot.key}.{name}")
    return given


def _built_watchdog(given: Mapping[str, Any]) -> Watchdog | None:
    watchdog = parse.watchdog(given.get("when", "off"))
    changed = {name: value for name, value in given.items() if name != "when"}
    if watchdog is None and changed:
        raise SpecError("watchdog says how an app is watched, but not by what", hint="Add when: tcp, or a URL.")
    return replace(watchdog, **changed) if watchdog else None


def _schedule(value: object, spot: Spot) -> dict[str, object]:
    table = dict(value) if isinstance(value, dict) else {"when": value}
    if "random_delay" in table:
        table["random_delay"] = parse.span(str(table["random_delay"]), f"{spot.key}.random_delay")
    return table


def _built_schedule(given: Mapping[str, Any]) -> Schedule | None:
    options = dict(given)
    when = str(options.pop("when", "0"))
    return parse.schedule(when, **options) if when != "0" else None


def _isolate(value: object, spot: Spot) -> dict[str, object]:
    given: dict[str, Any] = dict(value) if isinstance(value, dict) else {"level": value}
    if "level" in given:
        check.choice(Level, given["level"], spot.key)
    for name in ("writable", "readable", "devices"):
        if name in given:
            given[name] = tuple(absolute(one, spot) for one in _texts(given[name]))
    if "network" in given:
        given["network"] = tuple(_texts(given["network"]))
    return given


def _instances(value: object, spot: Spot) -> object:
    if value not in ("max", PER_CORE) and not isinstance(value, int):
        return check.number(str(value), spot.key)
    return value


def _numbers(value: object, spot: Spot) -> tuple[int, ...]:
    return tuple(check.number(str(one), spot.key) for one in _texts(value))


def _names(value: object, _: Spot) -> tuple[str, ...]:
    return tuple(str(one) for one in _texts(value))


def _one_or_many(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _or_text(schema: Schema, pattern: str) -> Schema:
    return {"anyOf": [schema, {"type": "string", "pattern": f"{pattern}|{VARIABLE}"}]}


def _or_table(when: Schema, **others: Schema) -> Schema:
    """A value alone, or as ``when`` in a table with others."""
    table = {"type": "object", "additionalProperties": False, "properties": {"when": when, **others}}
    return {"anyOf": [when, table]}


_WHOLE = _or_text({"type": "integer"}, "^-?[0-9]+$")

TEXT = Kind(allowed="text", schema=_TEXT, read=lambda value, _: value)
NUMBER = Kind(allowed="a whole number", schema=_WHOLE, read=lambda value, spot: check.number(str(value), spot.key))
FLAG = Kind(allowed="true or false", schema=_or_text({"type": "boolean"}, "^(true|false)$"), read=_flag)
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
NAMES = Kind(allowed="text, or a list of texts", schema=_one_or_many(_TEXT), read=_names)
NUMBERS = Kind(allowed="a whole number, or a list of them", schema=_one_or_many(_WHOLE), read=_numbers)
PATH = Kind(allowed="a path", schema=_TEXT, read=absolute)
PLACE = Kind(allowed="journal, null or a path", schema=_TEXT, read=_place)
PATHS = Kind(
    allowed="a path, or a list of paths",
    schema=_one_or_many(_TEXT),
    read=lambda value, spot: tuple(absolute(one, spot) for one in _texts(value)),
)
TABLE = Kind(
    allowed="a table of names and values",
    schema={"type": "object", "additionalProperties": _SCALAR},
    read=lambda value, _: {key: scalar(one) for key, one in value.items()},
)
DIRECTIVES = Kind(
    allowed="a table of directives, each with a value or a list of values",
    schema={"type": "object", "additionalProperties": _one_or_many(_SCALAR)},
    read=lambda value, _: {key: tuple(map(scalar, _texts(one))) for key, one in value.items()},
)
_LISTEN_TABLE: Schema = {
    "type": "object",
    "required": ["address"],
    "additionalProperties": False,
    "properties": {
        "address": {"type": ["string", "integer"]},
        "name": _TEXT,
        "mode": {"type": ["string", "integer"], "pattern": "^0?[0-7]{3}$"},
        "owner": _TEXT,
        "group": _TEXT,
        "backlog": {"type": "integer"},
        "no_delay": {"type": "boolean"},
        "keep_alive": {"type": "boolean"},
        "ipv6_only": {"type": "boolean"},
        "reuse_port": {"type": "boolean"},
    },
}

_CPUS = Kind(
    allowed="CPUs: text such as '0-3,8', or a list; performance or efficiency where cores are of two kinds",
    schema={"anyOf": [{"type": "integer", "minimum": 0}, _TEXT, {"type": "array", "items": {"type": "integer"}}]},
    read=_cpus,
)
_RATES = Kind(
    allowed="a device or a path on it, and bytes a second, such as '/dev/vda 50M'; or a list of those",
    schema=_one_or_many(_TEXT),
    read=_rates,
)
_LIMITS: Mapping[str, Kind] = {
    "cpu_quota": SHARE,
    "io_read_max": _RATES,
    "io_write_max": _RATES,
    "cpus": _CPUS,
    "cpu_affinity": _CPUS,
    "numa_nodes": Kind(
        allowed="NUMA nodes: text such as '0-1', or a list",
        schema=_CPUS.schema,
        read=lambda value, spot: tuple(value) if isinstance(value, list) else parse.numbers(str(value), spot.key),
    ),
}
_LEVELS: Schema = {"anyOf": [{"enum": [level.value for level in Level]}, {"type": "string", "pattern": VARIABLE}]}
_ISOLATION_TABLE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "level": _LEVELS,
        **{name: _one_or_many(_TEXT) for name in ("writable", "readable", "devices", "network")},
        **{name: {"type": "boolean"} for name in ("dynamic_user", "bind_low_ports")},
    },
}

_ROWS: Mapping[str, Kind] = {
    "command": Kind(
        allowed="text, or a list of words",
        schema={"anyOf": [_TEXT, {"type": "array", "items": _SCALAR, "minItems": 1}]},
        read=lambda value, _: [scalar(one) for one in value] if isinstance(value, list) else value,
    ),
    "interpreter": Kind(
        allowed="a program, 'none', or a list of a program and its arguments",
        schema=_one_or_many(_TEXT),
        read=lambda value, _: _texts(value),
    ),
    "cwd": PATH,
    "instances": Kind(
        allowed="a whole number, 'max' or 'per-core'",
        schema=_or_text({"type": "integer"}, f"^(-?[0-9]+|max|{PER_CORE})$"),
        read=_instances,
    ),
    "reserve": Kind(
        allowed="how many CPUs, or which: text such as '0,2-3', or a list",
        schema={"anyOf": [{"type": "integer", "minimum": 0}, _TEXT, {"type": "array", "items": {"type": "integer"}}]},
        read=_reserve,
    ),
    "listen": Kind(
        allowed="a port, an address, a table with an address, or a list of those",
        schema=_one_or_many({"anyOf": [{"type": ["integer", "string"]}, _LISTEN_TABLE]}),
        read=_listens,
    ),
    "env_files": PATHS,
    "increment": Kind(
        allowed="a table of names and whole numbers",
        schema={"type": "object", "additionalProperties": {"type": "integer"}},
        read=lambda value, _: dict(value),
    ),
    "schedule": Kind(
        allowed="a time as cron or systemd writes it, '0' for none; or a table of when, zone, catch_up, random_delay",
        schema=_or_table(_TEXT, zone=_TEXT, catch_up={"type": "boolean"}, random_delay=TIME.schema),
        read=_schedule,
        build=_built_schedule,
    ),
    "secrets": Kind(
        allowed="a table of names and references: 'stored', 'file:PATH', 'credential:PATH', 'encrypted:PATH', 'import'",
        schema={"type": "object", "additionalProperties": {"type": "string"}},
        read=lambda value, spot: {name: secrets.reference(text, spot.base) for name, text in value.items()},
    ),
    "ready": Kind(
        allowed="exec, notify, send, tcp, tcp:PORT, a URL, a time; or a table of when and timeout",
        schema=_or_table(_WHEN, timeout=TIME.schema),
        read=_ready,
        build=_built_ready,
    ),
    "watchdog": Kind(
        allowed="a time, tcp, tcp:PORT, a URL, off; or a table of when, interval, timeout and failures",
        schema=_or_table(_WHEN, interval=TIME.schema, timeout=TIME.schema, failures={"type": "integer", "minimum": 1}),
        read=_watchdog,
        build=_built_watchdog,
    ),
    **{f"{owner}.{field}": kind for owner in ("limits", "total") for field, kind in _LIMITS.items()},
    "isolate": Kind(
        allowed="off, basic, strict or paranoid; or a table of level, writable, readable, devices, network, "
        "dynamic_user and bind_low_ports",
        schema={"anyOf": [_LEVELS, _ISOLATION_TABLE]},
        read=_isolate,
        build=lambda given: Isolation(**given),
    ),
    "log.output": PLACE,
    "log.error": PLACE,
    "stop_signal": Kind(
        allowed="a signal's name or number",
        schema={"type": ["string", "integer"]},
        read=lambda value, _: str(value),
    ),
}

_BY_TYPE: Mapping[object, Kind] = {
    str: TEXT,
    bool: FLAG,
    int: NUMBER,
    float: TIME,
    tuple[str, ...]: NAMES,
    tuple[int, ...]: NUMBERS,
    Mapping[str, str]: TABLE,
    Mapping[str, tuple[str, ...]]: DIRECTIVES,
}


@cache
def keys() -> Mapping[str, Kind]:
    """The keys of an app. Raises TypeError for a field of App of a type that there is no rule for."""
    return _table(App, "")


def at(path: Iterable[object]) -> Kind | None:
    """The kind of a key, by the keys that lead to it from the app's table; the nearest around it, or None."""
    found: Kind | None = None
    table: Mapping[str, Kind] | None = keys()
    for key in path:
        if not table or key not in table:
            break
        found = table[str(key)]
        table = found.parts
    return found


def _table(owner: type, prefix: str) -> dict[str, Kind]:
    hints = get_type_hints(owner)
    named = [field.name for field in fields(owner) if prefix or field.name not in NOT_KEYS]
    return {name: _kind(f"{prefix}{name}", hints[name]) for name in named}


def _kind(name: str, hint: object) -> Kind:
    """The kind of a field: its row, or what its type says; sizes are told from numbers by their names."""
    if name in _ROWS:
        return _ROWS[name]
    if get_origin(hint) in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not NoneType)
    if hint is int and name.rpartition(".")[2].startswith("memory_"):
        return SIZE
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _nested(hint, _table(hint, f"{name}."))
    try:
        return _BY_TYPE[hint]
    except (KeyError, TypeError):
        raise TypeError(f"App.{name} is {hint}: say in files/kinds.py what stands for it in a file") from None


def _choice(enum: type[StrEnum]) -> Kind:
    spelt = [member.value for member in enum]
    return Kind(
        allowed=f"one of: {', '.join(spelt)}",
        schema={"anyOf": [{"enum": spelt}, {"type": "string", "pattern": VARIABLE}]},
        read=lambda value, spot: check.choice(enum, value, spot.key),
    )


def _nested(owner: type, parts: Mapping[str, Kind]) -> Kind:
    return Kind(
        allowed=f"a table with: {', '.join(parts)}",
        schema={},  # made of the parts, by ``schema``
        read=lambda value, _: value,  # each part is read by itself
        build=lambda given: owner(**{key: parts[key].build(one) for key, one in given.items()}),
        parts=parts,
    )
