"""Which file is read by what: by its name, and for YAML and JSON by its shape."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pysup.errors import SpecError
from pysup.files import source as sources
from pysup.files.source import Source

NATIVE = ("pysup.toml", "pysup.yaml", "pysup.yml", "pysup.json")

_PATTERNS = ("*.toml", "*.yaml", "*.yml", "*.json")
_PM2 = ("*config.js", "*config.cjs", "*config.mjs")
_ECOSYSTEM = tuple(f"ecosystem.{end}" for end in ("config.js", "config.cjs", "config.mjs", "json", "yml", "yaml"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A document in its source; ``notes`` are of a conversion."""

    source: Source
    notes: tuple[tuple[str, str], ...] = ()
    is_native: bool = True


def read(file: str, env: str | None = None) -> Found:
    """Read a file of apps; PM2's are converted, for the environment *env*."""
    if file.endswith(".toml"):
        return Found(source=sources.read(file))
    from pysup.files import foreign  # pysup.toml needs no more than the standard library

    source = foreign.source(file)
    converted = foreign.of(source, env)
    if converted is None:
        return Found(source=source)
    source = Source(file=file, data=converted.document, find_lines=dict)
    notes = foreign.told(converted, file)
    if not converted.document["apps"]:
        raise SpecError(f"{file!r} has no apps, only directories to serve", hint="\n".join(text for _, text in notes))
    return Found(source=source, notes=notes, is_native=False)


def is_file(target: str) -> bool:
    """Whether a command's target is a file of apps, by its name; what is no file never is."""
    name = os.path.basename(target)  # noqa: PTH119
    return any(fnmatchcase(name, pattern) for pattern in (*_PATTERNS, *_PM2)) and os.path.isfile(target)  # noqa: PTH113


def shown(file: str) -> str:
    """A file's path as it is told: from here, if that is shorter."""
    near = os.path.relpath(file)
    return near if len(near) < len(file) else file


def here(directory: str = ".") -> str | None:
    """The file of apps in a directory, PM2's if there is none of pysup's, or None."""
    for name in (*NATIVE, *_ECOSYSTEM):
        if os.path.isfile(os.path.join(directory, name)):  # noqa: PTH113, PTH118
            return os.path.join(directory, name)  # noqa: PTH118
    return None
