"""A command line that somebody typed: its words, if a shell would do no more than find them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pysup.errors import SpecError

BLANK = " \t"

_SHELL = frozenset("|&;<>()$`*?[\n")  # what a shell acts upon outside quotes
_ESCAPABLE = frozenset('$`"\\')  # what a backslash quotes inside double quotes
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")

# First words that only a shell knows, and that no program on PATH stands in for.
BUILTINS = frozenset({"!", ".", ":", "{", "case", "cd", "eval", "exec", "export", "for", "function", "if", "read"})
BUILTINS |= {"set", "shift", "source", "trap", "type", "ulimit", "umask", "unset", "until", "while"}


class _NeedsShell(Exception):
    """The line has something in it that only a shell can do."""


def split(line: str) -> list[str] | None:
    """The words of a command, unquoted; None if it takes a shell to run it (pipes, variables, patterns …)."""
    found = words(line)
    if found and (found[0] in BUILTINS or _ASSIGNMENT.match(found[0])):
        return None
    return found


def words(text: str) -> list[str] | None:
    """The words as sh(1) would have them, or None if it would do more than split and unquote them.

    Raises SpecError for a quote that does not end.
    """
    rest = iter(text.strip(BLANK + "\n"))
    try:
        return [_word(char, rest, text) for char in rest if char not in BLANK]
    except _NeedsShell:
        return None


def _word(char: str, rest: Iterator[str], text: str) -> str:
    """One word that begins with *char*; takes what it needs from *rest*."""
    if char in "~#":
        raise _NeedsShell
    parts: list[str] = []
    while char and char not in BLANK:
        if char in _SHELL:
            raise _NeedsShell
        if char == "'":
            parts.append(_single_quoted(rest, text))
        elif char == '"':
            parts.append(_double_quoted(rest, text))
        elif char == "\\":
            parts.append(_escaped(rest))
        else:
            parts.append(char)
        char = next(rest, "")
    return "".join(parts)


def _escaped(rest: Iterator[str]) -> str:
    char = next(rest, "\n")
    if char == "\n":  # a line that goes on
        raise _NeedsShell
    return char


def _single_quoted(rest: Iterator[str], text: str) -> str:
    parts: list[str] = []
    for char in rest:
        if char == "'":
            return "".join(parts)
        parts.append(char)
    raise _unbalanced("'", text)


def _double_quoted(rest: Iterator[str], text: str) -> str:
    parts: list[str] = []
    for char in rest:
        if char == '"':
            return "".join(parts)
        if char in "$`":
            raise _NeedsShell
        if char != "\\":
            parts.append(char)
            continue
        quoted = _escaped(rest)
        parts.append(quoted if quoted in _ESCAPABLE else "\\" + quoted)
    raise _unbalanced('"', text)


def _unbalanced(quote: str, text: str) -> SpecError:
    return SpecError(
        f"command line {text!r} has a {quote} that nothing closes",
        hint=f"Close it, or write \\{quote} for the character itself.",
    )
