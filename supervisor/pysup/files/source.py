"""A file -> plain data (tables, lists, text, numbers, true and false) that knows on which line each key stands."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pysup.errors import SpecError
from pysup.files.problems import Keys, Malformed, Problem, path, short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pysup.files.locate import Places

LARGEST = 1024 * 1024
DEEPEST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a file holds. ``find_lines`` gives the lines of all keys; it is asked only when one must be told."""

    file: str
    data: object
    find_lines: Callable[[], Mapping[Keys, int]]

    def line(self, keys: Keys) -> int:
        """The line of a key, or of the nearest table around it; 0 if it is not known."""
        lines = self.find_lines()
        if keys not in lines:  # keys of ours may have been written with -
            lines = {tuple(map(_plain, known)): line for known, line in lines.items()}
            keys = tuple(map(_plain, keys))
        while keys and keys not in lines:
            keys = keys[:-1]
        return lines.get(keys, 0)

    def problem(self, keys: Keys, message: str, hint: str = "") -> Problem:
        """An error at a key."""
        return Problem(self.file, self.line(keys), message, hint)


def read(file: str) -> Source:
    """Read a TOML, YAML or JSON file, by its suffix.

    Raises SpecError if it is not there or too large, Malformed if it is not what its suffix says.
    """
    parse = _PARSERS.get(Path(file).suffix.lower())
    if parse is None:
        raise SpecError(f"{file!r} is no file of apps", hint=f"They end in {', '.join(_PARSERS)}.")
    source = parse(file, text_of(file))
    problems = list(_strange(source))
    if problems:
        raise Malformed(problems)
    return source


def text_of(file: str) -> str:
    """The text of a file of at most 1M, as UTF-8."""
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as exc:
        raise SpecError(
            f"{file!r} cannot be read: {exc.strerror}", hint="Check the path, and who may read it."
        ) from exc
    if len(data) > LARGEST:
        raise SpecError(
            f"{file!r} is larger than {LARGEST // 1024**2}M", hint="A file of apps is not; is it the right one?"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise Malformed([Problem(file, line, "not UTF-8", "Save it as UTF-8.")]) from exc


def _plain(key: str | int) -> str | int:
    return key.replace("-", "_") if isinstance(key, str) else key


def _toml(file: str, text: str) -> Source:
    import tomllib

    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as exc:
        found = re.search(r"\s*\(at line (\d+), column \d+\)|\s*\(at end of document\)", str(exc))
        line = int(found[1] or text.count("\n") + 1) if found else 0
        said = str(exc)[: found.start()] if found else _said(exc)
        raise Malformed([Problem(file, line, f"not TOML: {said}")]) from exc
    return Source(file=file, data=data, find_lines=_once(lambda: _places(text).toml().lines))


def _json(file: str, text: str) -> Source:
    import json

    twice = False

    def table(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal twice
        made = dict(pairs)
        twice = twice or len(made) < len(pairs)
        return made

    try:
        data = json.loads(text, object_pairs_hook=table)
    except json.JSONDecodeError as exc:
        raise Malformed([Problem(file, exc.lineno, f"not JSON: {exc.msg}")]) from exc
    except (RecursionError, ValueError) as exc:
        raise Malformed([Problem(file, 0, f"not JSON: {_said(exc)}")]) from exc
    if twice:
        raise Malformed(
            [Problem(file, line, f"{path(keys)} is there twice") for keys, line in _places(text).json().twice]
        )
    return Source(file=file, data=data, find_lines=_once(lambda: _places(text).json().lines))


def _yaml(file: str, text: str) -> Source:
    from pysup.files.yaml_text import Reader

    reader = Reader(file).read(text)
    if reader.problems:
        raise Malformed(reader.problems)
    return Source(file=file, data=reader.data, find_lines=lambda: reader.lines)


_PARSERS: dict[str, Callable[[str, str], Source]] = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".json": _json}


def _places(text: str) -> Places:
    from pysup.files.locate import Places  # an error's cost only

    return Places(text)


def _once(find: Callable[[], Mapping[Keys, int]]) -> Callable[[], Mapping[Keys, int]]:
    from functools import cache

    return cache(find)


def _said(exc: Exception) -> str:
    return f"nested deeper than {DEEPEST} levels" if isinstance(exc, RecursionError) else str(exc)


def _strange(source: Source) -> Iterator[Problem]:
    """What is not plain data: dates, infinite numbers, integers that nothing can hold, too deep a nesting."""
    stack: list[tuple[Keys, object]] = [((), source.data)]
    while stack:
        keys, value = stack.pop()
        if len(keys) > DEEPEST:
            yield source.problem(keys, f"nested deeper than {DEEPEST} levels")
        elif isinstance(value, dict):
            stack += [((*keys, key), one) for key, one in value.items()]
        elif isinstance(value, list):
            stack += [((*keys, index), one) for index, one in enumerate(value)]
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                yield source.problem(keys, f"{path(keys)} is {short(value)}", "No number here is that large.")
        elif isinstance(value, float):
            if not math.isfinite(value):
                yield source.problem(keys, f"{path(keys)} is {value}", "Write a finite number.")
        elif not isinstance(value, str | None):
            yield source.problem(keys, f"{path(keys)} is {value}, a date or a time", "Put it in quotes.")
