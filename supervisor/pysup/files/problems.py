"""What is wrong with a file: every error at once, each with its place, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pysup.errors import SpecError

Keys = tuple[str | int, ...]

MOST = 50
"""So many errors are shown."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One error. ``line`` counts from 1, 0 is unknown; ``message`` begins with the key."""

    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}" + (f". {self.hint}" if self.hint else "")


class Malformed(SpecError):
    """A file that cannot be used; ``problems`` are in the order of their lines. Nothing was done."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        shown = [str(problem) for problem in self.problems[:MOST]]
        left = len(self.problems) - len(shown)
        super().__init__("\n".join([*shown, *([f"and {left} more errors"] if left else [])]))


def path(keys: Keys) -> str:
    """Keys as people write them: ``apps.web.listen[0]``."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def short(value: object) -> str:
    """A value as it was found, not longer than a line."""
    if isinstance(value, dict):
        return "a table"
    shown = {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool | None) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:50]}…"
