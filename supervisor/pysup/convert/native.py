"""A document -> the text of a pysup.toml, with a comment for each decision that was made on the way; pure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pysup.convert.draft import Converted, Kind, Note

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SAID = {Kind.KEPT: "", Kind.CHANGED: "", Kind.REFUSED: "left out: "}


def toml(converted: Converted, *, source: str, directory: Path) -> str:
    """The text, for a file in *directory*; paths below that are written from there."""
    document = {name: dict(table) for name, table in converted.document.items()}
    lines = [f"# Made from {_line(source)} by pysup import. What has become of each key stands above its app's."]
    lines += [f"# {_line(note.key)}: {_SAID[note.kind]}{_line(note.text)}" for note in converted.notes if not note.app]
    for name, app in document["apps"].items():
        lines += ["", f"[apps.{_key(name)}]", *_comments(note for note in converted.notes if note.app == name)]
        lines += _table(_from_there(app, directory), f"apps.{_key(name)}")
    for env, layer in document.get("env", {}).items():
        for name, app in layer.get("apps", {}).items():
            prefix = f"env.{_key(env)}.apps.{_key(name)}"
            body = list(_table(app, prefix))
            lines += ["", *([f"[{prefix}]"] if body and body[0] else []), *body]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _comments(notes: Iterable[Note]) -> Iterator[str]:
    """What changed, line by line; what is as it was, in one."""
    same = []
    for note in notes:
        if note.kind is Kind.KEPT and not note.text:
            same.append(note.key)
        else:
            yield f"# {_line(note.key)}: {_SAID[note.kind]}{_line(note.text)}"
    if same:
        yield f"# as in PM2: {_line(', '.join(same))}"


def _from_there(app: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The app with paths as people write them."""
    short = dict(app)
    cwd = str(app.get("cwd", directory))
    if "cwd" in short:
        short["cwd"] = os.path.relpath(cwd, directory) if Path(cwd).is_relative_to(directory) else cwd
        if short["cwd"] == ".":
            del short["cwd"]
    command = list(app.get("command", []))
    if command and Path(command[0]).is_relative_to(cwd):
        relative = os.path.relpath(command[0], cwd)
        short["command"] = [relative if "/" in relative or "." in relative else f"./{relative}", *command[1:]]
    return short


def _table(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Plain values first, then tables: in TOML what follows a table's header is the table's."""
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield f"[{prefix}.{_key(key)}]"
            yield from _table(value, f"{prefix}.{_key(key)}")


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for DEL, which JSON lets stand.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _line(text: str) -> str:
    """Text that stays within its comment."""
    return "".join(char if char.isprintable() else " " for char in text)
