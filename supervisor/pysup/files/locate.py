"""Where keys stand in TOML and JSON that is known to be well-formed: looked for only once there is an error to tell.

The parsers of the standard library are quick, and forget lines; those that keep them take ten times as long.
"""

from __future__ import annotations

import json
import re

from pysup.files.problems import Keys

_BLANK = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*(\.)?""")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\'', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}\n#]+")
_ASSIGN = re.compile(r"\s*[=:]\s*")


class Places:
    """The lines of keys, from 1; ``twice`` are keys of a JSON object that came before, with their line."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Keys, int] = {}
        self.twice: list[tuple[Keys, int]] = []
        self._text = text
        self._counts: dict[Keys, int] = {}  # elements of TOML's arrays of tables

    def toml(self) -> Places:
        """Read the statements of a TOML file."""
        table: Keys = ()
        at = self._blank(0)
        while at < len(self._text):
            begin = at
            if self._text[at] == "[":
                is_array = self._text.startswith("[[", at)
                names, at = self._names(at + 1 + is_array)
                table = self._header(names, is_array=is_array)
                for count in range(1, len(table) + 1):
                    self._note(table[:count], begin)
                at += 1 + is_array
            else:
                at = self._member(at, table)
            at = self._blank(at)
        return self

    def json(self) -> Places:
        """Read a JSON value."""
        self._value(self._blank(0), ())
        return self

    def _header(self, names: Keys, *, is_array: bool) -> Keys:
        """The keys of a table; of an array's table, its number too."""
        found: Keys = ()
        for index, name in enumerate(names):
            found = (*found, name)
            if is_array and index == len(names) - 1:
                self._counts[found] = self._counts.get(found, -1) + 1
            if found in self._counts:
                found = (*found, self._counts[found])
        return found

    def _member(self, at: int, table: Keys) -> int:
        names, after = self._names(at)
        for count in range(1, len(names) + 1):
            self._note((*table, *names[:count]), at)
        return self._value(self._assign(after), (*table, *names))

    def _value(self, at: int, keys: Keys) -> int:
        """Read over a value and note what is in it; the place behind it."""
        first = self._text[at : at + 1]
        if first in ("{", "["):
            return self._several(at, keys, is_table=first == "{")
        found = (_STRING if first in ('"', "'") else _PLAIN).match(self._text, at)
        return found.end() if found else at + 1

    def _several(self, at: int, keys: Keys, *, is_table: bool) -> int:
        at, index = self._blank(at + 1), 0
        while self._text[at : at + 1] not in ("]", "}", ""):
            if is_table:
                at = self._member(at, keys)
            else:
                self._note((*keys, index), at)
                at = self._value(at, (*keys, index))
            at, index = self._blank(at), index + 1
        return at + 1

    def _names(self, at: int) -> tuple[Keys, int]:
        names: list[str] = []
        while found := _KEY.match(self._text, at):
            name, at = found[1], found.end()
            names.append(_unquoted(name))
            if not found[2]:
                break
        return tuple(names), at

    def _note(self, keys: Keys, at: int) -> None:
        line = self._text.count("\n", 0, at) + 1
        if keys in self.lines:
            self.twice.append((keys, line))
        self.lines.setdefault(keys, line)

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def _assign(self, at: int) -> int:
        found = _ASSIGN.match(self._text, at)
        return found.end() if found else at + 1


def _unquoted(name: str) -> str:
    try:
        return str(json.loads(name, strict=False)) if name[0] == '"' else name.strip("'")
    except ValueError:  # an escape that only TOML has
        return name
