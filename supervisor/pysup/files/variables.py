"""``${NAME}`` and ``${NAME:-default}`` in a file's texts: from where its ``variables`` says, and nowhere else."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

from pysup.errors import SpecError
from pysup.files.problems import Keys, Problem, path
from pysup.files.source import Source, text_of

ENVIRONMENT = "environment"

_REFERENCE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)


def values(names: Sequence[str], base: str) -> dict[str, str]:
    """The variables of these sources (``environment``, and env files from *base*); the first that has one counts."""
    found: dict[str, str] = {}
    for name in names:
        found = {**(os.environ if name == ENVIRONMENT else _file(os.path.join(base, name))), **found}  # noqa: PTH118
    return found


def fill(source: Source, data: object, known: Mapping[str, str] | None) -> tuple[object, list[Problem]]:
    """The data with variables put in, and what cannot be; *known* None means that the file asks for none."""
    filler = _Filler(source, known)
    return filler.fill(data, ()), filler.problems


class _Filler:
    def __init__(self, source: Source, known: Mapping[str, str] | None) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._known = known

    def fill(self, value: object, keys: Keys) -> object:
        if isinstance(value, dict):
            return {key: self.fill(one, (*keys, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one, (*keys, index)) for index, one in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda found: self._value(found, keys), value)
        return value

    def _value(self, found: re.Match[str], keys: Keys) -> str:
        escaped, name, usual = found.groups()
        if escaped:
            return str(escaped)
        if self._known is None:
            said = f"{path(keys)} has {found[0]!r}, but the file does not say where variables come from"
            hint = "Write variables = ['environment'] at its top; or $${ for a plain ${."
        elif not name:
            said = f"{path(keys)} has a '${{' that begins no variable"
            hint = "Write ${NAME} or ${NAME:-default}; $${ for a plain ${."
        else:
            given = self._known.get(name)
            if given is not None and (given or usual is None):
                return given
            if usual is not None:
                return str(usual)
            said, hint = f"{path(keys)}: there is no variable {name}", f"Set it, or write ${{{name}:-default}}."
        self.problems.append(self._source.problem(keys, said, hint))
        return ""


def _file(file: str) -> dict[str, str]:
    """The variables of an env file: K=V lines, quotes as in a shell, # before comments."""
    found = {}
    for number, line in enumerate(text_of(file).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if not match:
            raise SpecError(f"{file}:{number}: not a variable", hint="Write NAME=VALUE.")
        found[match[1]] = _unquoted(match[2], f"{file}:{number}")
    return found


def _unquoted(text: str, where: str) -> str:
    if not text.startswith(("'", '"')):
        return text.partition(" #")[0].rstrip()
    try:
        words = shlex.split(text, comments=True)
    except ValueError as exc:
        raise SpecError(f"{where}: {exc}", hint="Close the quotes.") from None
    return " ".join(words)
