"""The JSON Schema of a file of apps, made of ``appkeys`` and ``about``: files are validated by it, editors complete."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pysup.files import appkeys, kinds, namespaces
from pysup.files.about import ABOUT, PM2
from pysup.files.kinds import Kind, Schema
from pysup.files.problems import Keys, Problem, path, short

if TYPE_CHECKING:
    import jsonschema_rs

    from pysup.files.source import Source

FILE = "pysup.schema.json"
"""Its name beside this module, as it is shipped; a test compares it with what is made here."""

_TABLE = "a table"
_ALLOWED: Mapping[str, str] = {
    "include": "a path, or a list of paths",
    "variables": "'environment', the path of an env file, or a list of those",
    "$schema": "text",
}


def make() -> Schema:
    """The schema of a document."""
    app = {"$ref": "#/$defs/app"}
    apps = {"type": "object", "additionalProperties": app}
    layer = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "defaults": {**app, "description": "Keys that all apps have, unless they say otherwise."},
            "apps": {**apps, "description": "Apps by name."},
            "namespaces": {
                **namespaces.schema(),
                "description": "What all apps of a namespace may use together: limits.md.",
            },
        },
    }
    listed = kinds.NAMES.schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pysup.toml",
        "description": "Apps for pysup. Keys may be written with - for _, which editors do not know.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **layer["properties"],  # type: ignore[dict-item]
            "$schema": {"type": "string"},
            "env": {
                "type": "object",
                "additionalProperties": layer,
                "description": "Named environments (--env NAME): what they say counts more.",
            },
            "include": {**listed, "description": "Other files, from here; * may stand in them."},
            "variables": {**listed, "description": "Where ${NAME} comes from: environment, and paths of env files."},
        },
        "$defs": {"app": _table(appkeys.table(), "")},
    }


def validate(source: Source, document: object) -> Iterator[tuple[Keys, Problem]]:
    """All that is wrong with the shape of a document, and where."""
    for error in _validator().iter_errors(document):
        yield from _told(source, error)


def without(document: object, wrong: Iterable[Keys]) -> Mapping[str, Any]:
    """What of a document is in shape, so that other errors in it can be told as well."""
    if not isinstance(document, dict):
        return {}
    made = copy.deepcopy(document)
    for keys in wrong:
        table: Any = made
        for key in keys:
            below = table.get(key)
            if not isinstance(below, dict) or key == keys[-1]:
                table.pop(key, None)
                break
            table = below
    return made


def app_keys(keys: Keys) -> Keys:
    """The part of a document's keys that is inside of an app's table, or of the defaults."""
    if keys[:1] == ("env",):
        keys = keys[2:]
    return keys[1:] if keys[:1] == ("defaults",) else keys[2:]


def _validator() -> jsonschema_rs.Validator:
    import jsonschema_rs  # its library takes time to load, and only files need it

    return jsonschema_rs.validator_for(make())


def _table(table: Mapping[str, Kind], prefix: str) -> Schema:
    properties = {
        name: {
            **(_table(kind.parts, f"{prefix}{name}.") if kind.parts else kind.schema),
            "description": f"{ABOUT.get(prefix + name, '')} It is {kind.allowed}.".strip(),
        }
        for name, kind in table.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _told(source: Source, error: jsonschema_rs.ValidationError) -> Iterator[tuple[Keys, Problem]]:
    keys: Keys = tuple(error.instance_path)
    unexpected: Sequence[str] = getattr(error.kind, "unexpected", ())
    for key in unexpected:
        yield (*keys, key), _unknown(source, (*keys, key), _known(keys))
    if not unexpected:
        where = path(keys) or "the file"
        shown = "something else" if "secrets" in keys else short(error.instance)
        yield keys, source.problem(keys, f"{where} is {shown}", f"It must be {_allowed(keys)}.")


def _unknown(source: Source, keys: Keys, known: Sequence[str]) -> Problem:
    from difflib import get_close_matches  # an error's cost only

    tables = [(name, kind) for name, kind in appkeys.table().items() if name != "total"]  # its keys are those of limits
    nested = {part: f"{name}.{part}" for name, kind in tables for part in kind.parts or ()}
    near = get_close_matches(str(keys[-1]), known, n=1)
    is_apps = list(known) == list(appkeys.table())
    inside = nested.get(str(keys[-1])) if is_apps else None
    pm2s = PM2.get(str(keys[-1])) if is_apps else None
    if pm2s:
        hint = f"That is PM2's word; here it is {pm2s!r}."
    elif inside or near:
        hint = f"Did you mean {inside or near[0]!r}?"
    else:
        hint = f"There are: {', '.join(known)}." if len(known) < len(appkeys.table()) else "docs/files.md has all keys."
    return source.problem(keys, f"{path(keys)}: there is no such key", hint)


def _known(keys: Keys) -> Sequence[str]:
    """The keys that there are in the table at *keys*."""
    top = make()["properties"]
    if not keys:
        return list(top)
    if keys[0] == "env" and len(keys) == 2:
        return ["apps", "defaults", "namespaces"]
    if _is_of_namespace(keys):
        return list(namespaces.words())
    inside = app_keys(keys)
    kind = appkeys.at(inside)
    if kind is None:
        return list(appkeys.table())
    return list(kind.parts or _tables_of(kind.schema))


def _is_of_namespace(keys: Keys) -> bool:
    return (keys[2:] if keys[:1] == ("env",) else keys)[:1] == ("namespaces",)


def _tables_of(schema: Schema) -> list[str]:
    """The keys of tables that a schema allows among other things."""
    found = list(schema.get("properties", ()))
    for one in (*schema.get("anyOf", ()), *schema.get("patternProperties", {}).values()):
        found += _tables_of(one)
    return found + (_tables_of(schema["items"]) if "items" in schema else [])


def _allowed(keys: Keys) -> str:
    if keys and keys[0] in _ALLOWED:
        return _ALLOWED[str(keys[0])]
    if _is_of_namespace(keys):
        word = namespaces.words().get(str(keys[-1]))
        return word.kind.allowed if word else _TABLE
    kind = appkeys.at(app_keys(keys)) if app_keys(keys) else None
    return kind.allowed if kind else _TABLE


if __name__ == "__main__":  # python -m pysup.files.schema: the file that is shipped
    import json

    print(json.dumps(make(), indent=2))
