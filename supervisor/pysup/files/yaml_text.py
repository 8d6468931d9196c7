"""YAML -> plain data with lines, from the parser's events: no recursion, a budget for aliases, no surprises.

Plain words are read by YAML 1.2's core rules, so that ``no`` and ``on`` are text, and ``0660`` keeps its zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from pysup.files.problems import Keys, Problem

MOST_NODES = 100_000
DEEPEST = 50

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), int),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 16)),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 8)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"), float),
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"
_NO_KEY = object()


@dataclass(slots=True)
class _Open:
    """A list or table that is being read; ``key`` is the one whose value comes next."""

    value: dict[object, object] | list[object]
    keys: Keys
    anchor: str | None
    nodes: int
    key: object = _NO_KEY
    merged: list[object] = field(default_factory=list)


class Reader:
    """One document: ``data`` and ``lines`` when it was read, and ``problems``."""

    def __init__(self, file: str) -> None:
        self.data: object = None
        self.lines: dict[Keys, int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._anchors: dict[str, tuple[object, int]] = {}
        self._open: list[_Open] = []
        self._nodes = 0
        self._documents = 0

    def read(self, text: str) -> Reader:
        """Read the whole text; stops at what cannot be understood."""
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if not self._take(event):
                    break
        except yaml.YAMLError as exc:
            mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
            what = getattr(exc, "problem", None) or str(exc).partition("\n")[0]
            self._complain(mark.line + 1 if mark else 0, f"not YAML: {what}")
        return self

    def _take(self, event: yaml.Event) -> bool:
        """Take an event in; whether to go on."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            self._put(_scalar(event), line, event.anchor, 1)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                self._complain(line, f"the alias *{event.anchor} has no anchor before it")
                return False
            self._put(*self._anchors[event.anchor][:1], line, None, self._anchors[event.anchor][1])
        elif isinstance(event, yaml.CollectionStartEvent):
            value: dict[object, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append(_Open(value, self._here(line), event.anchor, self._nodes))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
        return self._is_bearable(line)

    def _is_bearable(self, line: int) -> bool:
        for is_too_much, said in (
            (len(self._open) > DEEPEST, f"is nested deeper than {DEEPEST} levels"),
            (self._nodes > MOST_NODES, f"has more than {MOST_NODES} values, counting each use of an anchor"),
            (self._documents > 1, "has a second document; a file is one"),
        ):
            if is_too_much:
                self._complain(line, f"it {said}")
                return False
        return True

    def _here(self, line: int) -> Keys:
        """The keys of the value that begins."""
        if not self._open:
            return ()
        top = self._open[-1]
        last = len(top.value) if isinstance(top.value, list) else str(top.key)
        keys = (*top.keys, last)
        self.lines.setdefault(keys, line)
        return keys

    def _close(self, line: int) -> None:
        done = self._open.pop()
        if isinstance(done.value, dict):
            for table in done.merged:
                for key, value in table.items() if isinstance(table, dict) else ():
                    done.value.setdefault(key, value)
        self._put(done.value, line, done.anchor, 1 + self._nodes - done.nodes, counted=True)

    def _put(self, value: object, line: int, anchor: str | None, nodes: int, *, counted: bool = False) -> None:
        self._nodes += 1 if counted else nodes
        if anchor:
            self._anchors[anchor] = (value, nodes)
        if not self._open:
            self.data = value
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            self._here(line)
            top.value.append(value)
        elif top.key is _NO_KEY:
            self._begin(top, value, line)
        else:
            self._assign(top, value)

    def _begin(self, top: _Open, key: object, line: int) -> None:
        if not isinstance(key, str | int | float | bool):
            self._complain(line, f"{key!r} cannot be a key")
            key = str(key)
        if isinstance(top.value, dict) and str(key) in top.value:
            where = ".".join(map(str, (*top.keys, key)))
            self._complain(line, f"{where} is there twice")
        self.lines.setdefault((*top.keys, str(key)), line)
        top.key = key

    def _assign(self, top: _Open, value: object) -> None:
        if top.key == _MERGE:
            top.merged += value if isinstance(value, list) else [value]
        elif isinstance(top.value, dict):
            top.value[str(top.key)] = value
        top.key = _NO_KEY

    def _complain(self, line: int, message: str) -> None:
        self.problems.append(Problem(self._file, line, message))


def _scalar(event: yaml.ScalarEvent) -> object:
    """The value of a word; only plain ones can be anything but text."""
    text = str(event.value)
    if event.style or (event.tag and event.tag != "!"):
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return next((convert(text) for pattern, convert in _NUMBERS if pattern.fullmatch(text)), text)
