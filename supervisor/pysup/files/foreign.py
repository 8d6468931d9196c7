"""Files of PM2's, whatever their kind, as documents."""

from __future__ import annotations

from pathlib import Path

from pysup.convert import pm2, shapes
from pysup.convert.draft import Converted, Kind
from pysup.errors import SpecError
from pysup.files import source as sources
from pysup.files.problems import Malformed
from pysup.files.source import Source
from pysup.host import evaluate

_SCRIPTS = (".js", ".cjs", ".mjs")
_PM2 = ("ecosystem", "pm2", "process")  # how names of PM2's files in JSON begin


def read(file: str, env: str | None = None) -> Converted | None:
    """What a file of PM2's means; None if it is one of pysup's own. Raises SpecError for what cannot be read."""
    return None if file.endswith(".toml") else of(source(file), env)


def source(file: str) -> Source:
    """A file that may be PM2's, as data: evaluated, where that is what it takes."""
    path = Path(file).absolute()
    if path.suffix in _SCRIPTS:
        return _evaluated(path)
    try:
        return sources.read(file)
    except Malformed:
        if path.suffix != ".json" or path.name == "pysup.json":
            raise
        return _relaxed(path)


def of(found: Source, env: str | None = None) -> Converted | None:
    """The same of a file that has been read."""
    path = Path(found.file).absolute()
    if path.name == "package.json" and not (isinstance(found.data, dict) and "pm2" in found.data):
        raise SpecError(
            f"{found.file!r} has no apps: there is no key pm2 in it", hint="Name the script, or another file."
        )
    if path.suffix not in _SCRIPTS and not shapes.is_config(found.data):
        return None
    return pm2.convert(found.data, env, file=path, cwd=Path.cwd())


def told(converted: Converted, file: str) -> tuple[tuple[str, str], ...]:
    """What has no effect, and how much means something else: for who starts a file, not for who moves it."""
    name = Path(file).name
    lost = [(note.app or name, f"{note.key}: {note.text}") for note in converted.notes if note.kind is Kind.REFUSED]
    changed = sum(note.kind is Kind.CHANGED for note in converted.notes)
    if changed:
        keys = "key means" if changed == 1 else "keys mean"
        lost.append((name, f"{changed} {keys} something else than in PM2; pysup import {name} says what"))
    return tuple(lost)


def _relaxed(path: Path) -> Source:
    """JSON with comments, or names without quotes, which PM2 takes: if it is PM2's, and else an error of JSON's.

    PM2 evaluates it as JavaScript. Here it is data: nobody expects a file of that name to be executed.
    """
    import json5  # rarely needed

    try:
        data = json5.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        pass  # JSON's error says so
    except ValueError as exc:
        if path.name.startswith(_PM2):
            what = str(exc).removeprefix("<string>:")
            hint = "It is read as JSON5: comments, and names without quotes. Code belongs in ecosystem.config.js."
            raise SpecError(f"{path}:{what}", hint=hint) from exc
    else:
        if shapes.is_config(data):
            return Source(file=str(path), data=data, find_lines=dict)
    return sources.read(str(path))


def _evaluated(path: Path) -> Source:
    if not path.is_file():
        raise SpecError(f"there is no file {str(path)!r}", hint="Check the path.")
    return Source(file=str(path), data=evaluate.javascript(path), find_lines=dict)
