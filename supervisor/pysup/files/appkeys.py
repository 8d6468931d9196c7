"""The keys of an app in a file: what may stand for each, and how it becomes the value of App's field.

A field of App is a key by itself, by the type that it has; only what is written otherwise than it is kept has a row
here. What a key means to people is in ``about``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pysup import check, listen, parse
from pysup.app import PER_CORE, App
from pysup.balance import Balance
from pysup.errors import SpecError
from pysup.files import kinds, secrets
from pysup.files.kinds import VARIABLE, Kind, Schema, Spot, absolute, one_or_many, or_text, scalar, texts
from pysup.health import Ready, Watchdog
from pysup.isolate import Isolation, Level
from pysup.limits import Limits
from pysup.listen import Listen
from pysup.triggers import Schedule, Watched

NOT_KEYS = frozenset({"name", "origin", "balance"})
"""Fields of an App that come from elsewhere: its table's name, the file's, and what ``pysup balance`` finds."""

_NUMBER = "^(0|[1-9][0-9]{0,3})$"
_TEXT = kinds.TEXT.schema
_SCALAR = kinds.SCALAR
_TIME = kinds.TIME.schema
_WHEN: Schema = {"type": ["string", "number"]}


def _limit(value: object, spot: Spot) -> Any:
    from pysup.limiting import words

    return words.value(spot.key.rpartition(".")[2].replace("-", "_"), str(value), spot.key)


def _cpus(value: object, spot: Spot) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list) else _limit(value, spot)


def _rates(value: object, spot: Spot) -> tuple[str, ...]:
    return tuple(rate for one in texts(value) for rate in _limit(one, spot))


def _reserve(value: object, spot: Spot) -> int | tuple[int, ...]:
    from pysup.host import cpus

    return tuple(value) if isinstance(value, list) else cpus.reserve(str(value), spot.key)


def _listens(value: object, _: Spot) -> tuple[Listen, ...]:
    return tuple(_listen(one) for one in texts(value))


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
            given[name] = tuple(absolute(one, spot) for one in texts(given[name]))
    if "network" in given:
        given["network"] = tuple(texts(given["network"]))
    return given


def _instances(value: object, spot: Spot) -> object:
    if value not in ("max", PER_CORE) and not isinstance(value, int):
        return check.number(str(value), spot.key)
    return value


def _or_table(when: Schema, **others: Schema) -> Schema:
    """A value alone, or as ``when`` in a table with others."""
    table = {"type": "object", "additionalProperties": False, "properties": {"when": when, **others}}
    return {"anyOf": [when, table]}


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
    schema=one_or_many(_TEXT),
    read=_rates,
)
_LIMITS: Mapping[str, Kind] = {
    "cpu_quota": kinds.SHARE,
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
        **{name: one_or_many(_TEXT) for name in ("writable", "readable", "devices", "network")},
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
        schema=one_or_many(_TEXT),
        read=lambda value, _: texts(value),
    ),
    "cwd": kinds.PATH,
    "instances": Kind(
        allowed="a whole number, 'max' or 'per-core'",
        schema=or_text({"type": "integer"}, f"^(-?[0-9]+|max|{PER_CORE})$"),
        read=_instances,
    ),
    "reserve": Kind(
        allowed="how many CPUs, or which: text such as '0,2-3', or a list",
        schema={"anyOf": [{"type": "integer", "minimum": 0}, _TEXT, {"type": "array", "items": {"type": "integer"}}]},
        read=_reserve,
    ),
    "listen": Kind(
        allowed="a port, an address, a table with an address, or a list of those",
        schema=one_or_many({"anyOf": [{"type": ["integer", "string"]}, _LISTEN_TABLE]}),
        read=_listens,
    ),
    "env_files": kinds.PATHS,
    "increment": Kind(
        allowed="a table of names and whole numbers",
        schema={"type": "object", "additionalProperties": {"type": "integer"}},
        read=lambda value, _: dict(value),
    ),
    "schedule": Kind(
        allowed="a time as cron or systemd writes it, '0' for none; or a table of when, zone, catch_up, random_delay",
        schema=_or_table(_TEXT, zone=_TEXT, catch_up={"type": "boolean"}, random_delay=_TIME),
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
        schema=_or_table(_WHEN, timeout=_TIME),
        read=_ready,
        build=_built_ready,
    ),
    "watchdog": Kind(
        allowed="a time, tcp, tcp:PORT, a URL, off; or a table of when, interval, timeout and failures",
        schema=_or_table(_WHEN, interval=_TIME, timeout=_TIME, failures={"type": "integer", "minimum": 1}),
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
    "log.output": kinds.PLACE,
    "log.error": kinds.PLACE,
    "stop_signal": Kind(
        allowed="a signal's name or number",
        schema={"type": ["string", "integer"]},
        read=lambda value, _: str(value),
    ),
}

_BY_TYPE: Mapping[object, Kind] = {
    str: kinds.TEXT,
    bool: kinds.FLAG,
    int: kinds.NUMBER,
    float: kinds.TIME,
    tuple[str, ...]: kinds.NAMES,
    tuple[int, ...]: kinds.NUMBERS,
    Mapping[str, str]: kinds.TABLE,
    Mapping[str, tuple[str, ...]]: kinds.DIRECTIVES,
}


@cache
def table() -> Mapping[str, Kind]:
    """The keys of an app. Raises TypeError for a field of App of a type that there is no rule for."""
    return _table(App, "")


def at(path: Iterable[object]) -> Kind | None:
    """The kind of a key, by the keys that lead to it from the app's table; the nearest around it, or None."""
    found: Kind | None = None
    parts: Mapping[str, Kind] | None = table()
    for key in path:
        if not parts or key not in parts:
            break
        found = parts[str(key)]
        parts = found.parts
    return found


def _table(owner: type, prefix: str) -> dict[str, Kind]:
    hints = get_type_hints(owner, localns={"Balance": Balance, "Schedule": Schedule, "Watched": Watched})
    named = [field.name for field in fields(owner) if prefix or field.name not in NOT_KEYS]
    return {name: _kind(f"{prefix}{name}", hints[name]) for name in named}


def _kind(name: str, hint: object) -> Kind:
    """The kind of a field: its row, or what its type says; sizes are told from numbers by their names."""
    if name in _ROWS:
        return _ROWS[name]
    if hint == Mapping[int, Limits]:
        return _by_number(_table(Limits, "limits."))
    if get_origin(hint) in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not NoneType)
    if hint is int and name.rpartition(".")[2].startswith("memory_"):
        return kinds.SIZE
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return kinds.choice(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _nested(hint, _table(hint, f"{name}."))
    try:
        return _BY_TYPE[hint]
    except (KeyError, TypeError):
        raise TypeError(f"App.{name} is {hint}: say in files/appkeys.py what stands for it in a file") from None


def _by_number(parts: Mapping[str, Kind]) -> Kind:
    """A table of limits for each of some instances."""
    limits = {"type": "object", "additionalProperties": False, "properties": {key: parts[key].schema for key in parts}}
    return Kind(
        allowed="a table of instances' numbers, each with keys of limits",
        schema={"type": "object", "additionalProperties": False, "patternProperties": {_NUMBER: limits}},
        read=lambda value, spot: {
            number: {
                key: parts[key].read(one, Spot(f"{spot.key}.{number}.{key}", spot.base)) for key, one in own.items()
            }
            for number, own in value.items()
        },
        build=lambda given: {int(number): Limits(**own) for number, own in given.items()},
    )


def _nested(owner: type, parts: Mapping[str, Kind]) -> Kind:
    return Kind(
        allowed=f"a table with: {', '.join(parts)}",
        schema={},  # made of the parts, by ``schema``
        read=lambda value, _: value,  # each part is read by itself
        build=lambda given: owner(**{key: parts[key].build(one) for key, one in given.items()}),
        parts=parts,
    )
