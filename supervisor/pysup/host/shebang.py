"""The first line of a script, as execve(2) reads it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from pysup.errors import SpecError

SIZE = 4096  # more than the kernel looks at (256)

_BEYOND_QUOTES = re.compile(r"[$\\]|(^|\s)#")  # variables, escapes and comments of env -S
_SPLIT = re.compile(r"^(--split-string[= ]|-v?S)\s*")  # env's option to do what is done here anyway


@dataclass(frozen=True, slots=True)
class Shebang:
    """``#!interpreter argument``: all behind the interpreter is one argument."""

    interpreter: str
    argument: str = ""

    @property
    def is_env(self) -> bool:
        """Whether it asks env(1) to look on PATH."""
        return self.interpreter.rpartition("/")[2] == "env"

    def parts(self, file: Path) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """What it runs *file* by: the words before the program, the program, and its own arguments.

        Before it stand env and its assignments, if there are some. Raises SpecError for what cannot be known before
        env runs: its variables, and options of its own.
        """
        if not self.is_env:
            name = self.interpreter if "/" in self.interpreter else f"./{self.interpreter}"
            return (), name, (self.argument,) if self.argument else ()
        words = _words_of_env(_SPLIT.sub("", self.argument))
        at = next((index for index, word in enumerate(words) if "=" not in word), None)
        if at is None or words[0].startswith("-"):
            raise SpecError(
                f"script {str(file)!r} begins with '#!{self.interpreter} {self.argument}': that names no plain program",
                hint="Name its interpreter: --interpreter PROGRAM.",
            )
        before = (self.interpreter, *words[:at]) if at else ()
        return before, words[at], tuple(words[at + 1 :])


def parse(head: bytes, file: Path) -> Shebang | None:
    """The first line of a file that begins with *head*; None if it is not a script's.

    Raises SpecError for Windows line endings: the kernel would look for an interpreter whose name ends in one.
    """
    if not head.startswith(b"#!"):
        return None
    line = os.fsdecode(head[2:].partition(b"\n")[0])
    if line.endswith("\r"):
        raise windows_line_endings(file)
    interpreter, _, argument = line.replace("\t", " ").strip().partition(" ")
    return Shebang(interpreter, argument.strip()) if interpreter else None


def windows_line_endings(file: Path) -> SpecError:
    """The error for a script that no Unix interpreter will read."""
    return SpecError(
        f"script {str(file)!r} has Windows line endings (CRLF)",
        hint=f"Convert it: sed -i 's/\\r$//' {shlex.quote(str(file))}",
    )


def _words_of_env(text: str) -> list[str]:
    """The words as ``env -S`` splits them; none if it would do more than split and unquote."""
    if _BEYOND_QUOTES.search(text):
        return []
    try:
        return shlex.split(text)
    except ValueError:  # a quote that does not end
        return []
