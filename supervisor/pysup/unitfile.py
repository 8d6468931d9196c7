"""The text of unit files and environment files: written so that no value can become a directive, read without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

_C_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
_C_ESCAPES |= {"\\": r"\\", '"': r"\""}
_SHELL_SPECIAL = frozenset('"\\`$')


class Directive(NamedTuple):
    """One assignment, its value as it stands in the file (continuation lines joined)."""

    section: str
    key: str
    value: str


def specifier(text: str) -> str:
    """Text in which systemd's ``%`` stands for itself."""
    return text.replace("%", "%%")


def quote(argument: str) -> str:
    """One word of a command line or of ``Environment=``, exactly this text: systemd.syntax(7), "Quoting".

    ``$`` needs no care in the commands of ours: they begin with ``:``, which turns off variable expansion.
    """
    return f'"{specifier("".join(_escape(char) for char in argument))}"'


def command_line(argv: Iterable[str]) -> str:
    """A value for ``ExecStart=`` and its like that executes just this vector."""
    return ":" + " ".join(quote(argument) for argument in argv)


def section(name: str, directives: Iterable[tuple[str, str]]) -> str:
    """A section's text; the values are written as they are, so they must be quoted or checked before."""
    lines = [f"[{name}]"]
    for key, value in directives:
        if "\n" in value or "\r" in value or value.endswith("\\"):
            raise ValueError(f"{key}= would leave its line: {value!r}")
        lines.append(f"{key}={value}")
    return "\n".join(lines) + "\n"


def parse(text: str) -> Iterator[Directive]:
    """The directives of a unit file in order, as systemd reads them: comments dropped, continuations joined."""
    name = ""
    for line in _logical_lines(text):
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
        elif "=" in line:
            key, _, value = line.partition("=")
            yield Directive(name, key.rstrip(), value.strip())


def print_environment(values: Mapping[str, str]) -> str:
    """An environment file that gives each variable exactly this value: systemd.exec(5), ``EnvironmentFile=``."""
    return "".join(f'{key}="{"".join(_shell_escape(char) for char in value)}"\n' for key, value in values.items())


def parse_environment(text: str) -> dict[str, str]:
    """The variables of a file that ``print_environment`` wrote; ValueError for any other."""
    values: dict[str, str] = {}
    rest = text
    while rest:
        key, equals, rest = rest.partition('="')
        value, rest = _read_quoted(rest)
        if not equals or not rest.startswith("\n"):
            raise ValueError(f"not an environment file of pysup, near {key[:40]!r}")
        values[key] = value
        rest = rest[1:]
    return values


def _escape(char: str) -> str:
    if char in _C_ESCAPES:
        return _C_ESCAPES[char]
    return f"\\x{ord(char):02x}" if ord(char) < 32 or ord(char) == 127 else char


def _shell_escape(char: str) -> str:
    return "\\" + char if char in _SHELL_SPECIAL else char


def _read_quoted(text: str) -> tuple[str, str]:
    """What stands before the closing quote, unescaped, and what stands after it."""
    value: list[str] = []
    chars = iter(enumerate(text))
    for index, char in chars:
        if char == '"':
            return "".join(value), text[index + 1 :]
        value.append(next(chars, (0, ""))[1] if char == "\\" else char)
    raise ValueError("a quote is not closed")


def _logical_lines(text: str) -> Iterator[str]:
    joined = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if line.startswith(("#", ";")):
            continue
        joined += line
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if joined:
            yield joined
        joined = ""
    if joined:
        yield joined
