"""An app as lines like those of pysup.toml, to be read and compared; values of the environment are not in them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum

from pysup.app import App, Limits
from pysup.files.namespaces import Limiting

_LEFT_OUT = ("name", "origin")


def unified(before: App | None, after: App | None, *, origin: str) -> list[str]:
    """What differs, as a unified diff."""
    old = list(lines(before, other=after)) if before else []
    new = list(lines(after, other=before, is_new=True)) if after else []
    app = before or after
    name = app.name if app else ""
    return list(difflib.unified_diff(old, new, f"{name} as it is", f"{name} in {origin}", lineterm="", n=1))


def limits(change: Limiting, *, origin: str) -> list[str]:
    """The same of a namespace."""
    name = f"[namespaces.{change.namespace}]"
    old, new = ([name, *_said_of(held)] for held in (change.before, change.after))
    return list(
        difflib.unified_diff(old, new, f"{change.name} as it is", f"{change.name} in {origin}", lineterm="", n=1)
    )


def _said_of(limits: Limits) -> Iterator[str]:
    for name in limits.given:
        yield f"{name} = {_text(getattr(limits, name))}"


def edited(unit: str, now: str, made: str) -> list[str]:
    """What somebody changed in a unit file that pysup had made, as what takes it back."""
    return list(
        difflib.unified_diff(
            now.splitlines(), made.splitlines(), f"{unit} as it is", f"{unit} as pysup writes it", lineterm="", n=1
        )
    )


def lines(app: App, *, other: App | None = None, is_new: bool = False) -> Iterator[str]:
    """What an app says that is not usual; a variable whose value is another one in *other* is told to be."""
    yield f"[apps.{app.name}]"
    usual = App(name=app.name, command=("/",))
    for field in fields(App):
        value = getattr(app, field.name)
        if field.name in _LEFT_OUT or (value == getattr(usual, field.name) and field.name != "command"):
            continue
        if field.name == "env":
            yield from _environment(app, other, is_new=is_new)
        else:
            yield from _said(field.name, value)


def _environment(app: App, other: App | None, *, is_new: bool) -> Iterator[str]:
    for name, value in app.env.items():
        is_changed = other is not None and other.env.get(name, value) != value
        kind = "secret" if name in app.secrets else "value"
        yield f"env.{name} = ({'another ' if is_new and is_changed else ''}{kind})"


def _said(key: str, value: object) -> Iterator[str]:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            content = getattr(value, field.name)
            default = field.default if field.default is not field.default_factory else None
            if content != default:
                yield from _said(f"{key}.{field.name}", content)
    elif isinstance(value, Mapping):
        for name, content in value.items():
            yield from _said(f"{key}.{name}", content)
    else:
        yield f"{key} = {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, StrEnum):
        return json.dumps(value.value)
    if isinstance(value, tuple):
        return f"[{', '.join(_text(one) for one in value)}]"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{{ {', '.join(line for line in _said('', value))} }}".replace("{ .", "{ ").replace(", .", ", ")
    return json.dumps(value, ensure_ascii=False)
