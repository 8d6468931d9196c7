"""A file -> apps: includes followed, variables put in, layers merged, every error told at once.

A document is plain data, whoever wrote it: ``{"defaults": {…}, "apps": {"web": {…}}, "env": {"production":
{"defaults": {…}, "apps": {…}}}, "include": […], "variables": […]}``. An environment is laid over the document, then
apps over the defaults; tables are merged, anything else is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pysup import check
from pysup.app import App, Limits
from pysup.errors import SpecError
from pysup.files import appkeys, build, kinds, namespaces, readers, schema, variables
from pysup.files.kinds import Kind, Spot
from pysup.files.problems import Keys, Malformed, Problem, path
from pysup.files.source import Source
from pysup.unit import Scope

MOST_FILES = 100

Table = Mapping[str, Any]
Note = tuple[str, str]
"""An app's name, and something worth telling about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The apps of a file in its order, each with the file's path as its origin; and limits of namespaces, by name."""

    file: str
    apps: tuple[App, ...]
    namespaces: Mapping[str, Limits] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """One file, ready to be merged."""

    source: Source
    data: Mapping[str, Any]

    @property
    def base(self) -> str:
        return os.path.dirname(self.source.file)  # noqa: PTH120

    def layers(self, env: str | None) -> Iterator[tuple[Keys, Table]]:
        """The tables that have defaults and apps, lowest first."""
        yield (), self.data
        named = self.data.get("env", {})
        if env is not None and env in named:
            yield ("env", env), named[env]


@dataclass(slots=True)
class _Reading:
    """What is gathered while files are read."""

    parts: list[_Part] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    env: str | None = None


def load(file: str, *, scope: Scope, env: str | None = None, only: Collection[str] = ()) -> Loaded:
    """The apps of a file, or just those in *only*, as the environment *env* has them.

    Raises Malformed with all that is wrong with it, and SpecError for an environment or an app that is not there.
    """
    file = os.path.abspath(file)  # noqa: PTH100 (resolves no links: the path is what people know it by)
    reading = _Reading(env=env)
    _read(file, reading, (), None)
    return _loaded(file, reading, scope=scope, env=env, only=only)


def of(data: Mapping[str, Any], file: str, *, scope: Scope) -> Loaded:
    """The apps of a document that was made, not read; *file* is what it was made from."""
    source = Source(file=file, data=data, find_lines=dict)
    reading = _Reading(parts=[_Part(source, data)])
    reading.problems += dict(schema.validate(source, data)).values()
    if reading.problems:
        raise Malformed(reading.problems)
    return _loaded(file, reading, scope=scope, env=None, only=())


def _loaded(file: str, reading: _Reading, *, scope: Scope, env: str | None, only: Collection[str]) -> Loaded:
    drafts = _drafts(reading, env)
    limits = _namespaces(reading, env)
    if reading.problems:
        raise Malformed([*reading.problems, *build.problems(drafts.values())])
    _require_environment(file, reading.parts, env)
    chosen = _chosen(file, drafts, only)
    apps, notes, problems = build.apps(chosen, origin=file, scope=scope)
    if problems:
        raise Malformed(problems)
    meant = {app.namespace for app in apps} if only else set(limits)
    limits = {name: one for name, one in limits.items() if name in meant}
    left = drafts.keys() - {draft.name for draft in chosen}
    told = (note for note in reading.notes if note[0] not in left)
    return Loaded(file=file, apps=apps, namespaces=limits, notes=(*told, *notes))


def names(file: str, *, env: str | None = None, only: Collection[str] = ()) -> list[str]:
    """The names of the apps in a file; what they run need not be there."""
    reading = _Reading(env=env)
    _read(os.path.abspath(file), reading, (), None)  # noqa: PTH100
    drafts = _drafts(reading, env)
    if reading.problems:
        raise Malformed(reading.problems)
    return [draft.name for draft in _chosen(file, drafts, only)]


def _read(file: str, reading: _Reading, chain: tuple[str, ...], known: Mapping[str, str] | None) -> None:
    """Read a file and what it includes, those first; *known* are the variables of whoever includes it."""
    reading.seen.append(file)
    if len(reading.seen) > MOST_FILES:
        raise SpecError(f"{chain[0]!r} includes more than {MOST_FILES} files", hint="Include fewer.")
    found = readers.read(file, reading.env)
    reading.notes += found.notes
    source, data = found.source, found.source.data if found.source.data is not None else {}
    if found.is_native:
        known = _variables(source, data, known)
        data, missing = variables.fill(source, data, known)
        reading.problems += missing
        data = _plain(source, data, reading.problems)
    wrong = dict(schema.validate(source, data))
    reading.problems += wrong.values()
    data = schema.without(data, wrong)
    for one in _included(source, data, reading.problems):
        if one in reading.seen:
            said = f"include has {os.path.relpath(one)!r}, which is included already"
            said = f"include goes round: {' -> '.join((*chain, file, one))}" if one in (*chain, file) else said
            reading.problems.append(source.problem(("include",), said, "Include each file once."))
        else:
            _read(one, reading, (*chain, file), known)
    reading.parts.append(_Part(source, data))


def _variables(source: Source, data: object, known: Mapping[str, str] | None) -> Mapping[str, str] | None:
    named = data.get("variables") if isinstance(data, dict) else None
    names = [named] if isinstance(named, str) else named
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return variables.values(names, os.path.dirname(source.file))  # noqa: PTH120
    return known


def _included(source: Source, data: Table, problems: list[Problem]) -> Iterator[str]:
    from glob import glob

    named = data.get("include", [])
    for name in [named] if isinstance(named, str) else named:
        one = kinds.absolute(name, Spot("include", os.path.dirname(source.file)))  # noqa: PTH120
        if any(char in name for char in "*?["):
            files = sorted(glob(one))  # noqa: PTH207
            is_there = bool(files or glob(os.path.dirname(one)))  # noqa: PTH120, PTH207 (a folder may be empty for now)
        else:
            files, is_there = [one], os.path.exists(one)  # noqa: PTH110
        if not is_there:
            problems.append(
                source.problem(("include",), f"include has {name!r}, which is not there", "Check the path.")
            )
            continue
        yield from files


def _plain(source: Source, data: object, problems: list[Problem]) -> object:
    """The document with our own keys written with ``_``; names of apps, variables and directives stay as they are."""
    if not isinstance(data, dict):
        return data

    def renamed(table: object, keys: Keys, parts: Mapping[str, Kind]) -> object:
        if not isinstance(table, dict):
            return table
        made: dict[str, object] = {}
        for key, value in table.items():
            name = key.replace("-", "_")
            if name in made:
                problems.append(source.problem((*keys, key), f"{path((*keys, key))} is there twice"))
            kind = parts.get(name)
            made[name] = renamed(value, (*keys, key), kind.parts) if kind and kind.parts else value
        return made

    def layer(table: object, keys: Keys) -> object:
        if not isinstance(table, dict):
            return table
        made = dict(table)
        if "defaults" in made:
            made["defaults"] = renamed(made["defaults"], (*keys, "defaults"), appkeys.table())
        if isinstance(made.get("apps"), dict):
            made["apps"] = {
                name: renamed(one, (*keys, "apps", name), appkeys.table()) for name, one in made["apps"].items()
            }
        if isinstance(made.get("namespaces"), dict):
            made["namespaces"] = {
                name: renamed(one, (*keys, "namespaces", name), {}) for name, one in made["namespaces"].items()
            }
        return made

    made = layer(data, ())
    if isinstance(made, dict) and isinstance(made.get("env"), dict):
        made["env"] = {name: layer(one, ("env", name)) for name, one in made["env"].items()}
    return made


def _require_environment(file: str, parts: Iterable[_Part], env: str | None) -> None:
    there = sorted({name for part in parts for name in part.data.get("env", {})})
    if env is None or env in there:
        return
    names = f"There are: {', '.join(there)}." if there else "It has none: write [env.NAME.apps.APP]."
    raise SpecError(f"{file!r} has no environment {env!r}", hint=names)


def _drafts(reading: _Reading, env: str | None) -> dict[str, build.Draft]:
    """Each app with its layers merged; what they say has been read."""
    drafts: dict[str, build.Draft] = {}
    for part in reading.parts:
        shared = _defaults(part, reading, env)
        for name, table in part.data.get("apps", {}).items():
            keys: Keys = ("apps", name)
            if name in drafts:
                source, place = drafts[name].places[()]
                said = f"apps.{name} is there already: {source.file}:{source.line(place)}"
                reading.problems.append(part.source.problem(keys, said, "Give each app its own name."))
                continue
            drafts[name] = shared.copy(name, part.base)
            drafts[name].places[()] = (part.source, keys)
            _lay(drafts[name], part, keys, table, reading.problems)
    for part in reading.parts:
        for name, layer in part.data.get("env", {}).items():
            _lay_environment(drafts, part, name, layer.get("apps", {}), reading.problems, is_chosen=name == env)
    return drafts


def _namespaces(reading: _Reading, env: str | None) -> dict[str, Limits]:
    """The limits of each namespace with its layers merged."""
    layers = [(part, list(part.layers(env))) for part in reading.parts]
    lowest = [(part, *found[0]) for part, found in layers]
    above = [(part, *layer) for part, found in layers for layer in found[1:]]
    fields: dict[str, dict[str, Any]] = {}
    for part, keys, table in (*lowest, *above):
        for name, limits in table.get("namespaces", {}).items():
            place = (*keys, "namespaces", name)
            with _telling(part, place, reading):
                check.app_name(name, path(place))
            for key, value in limits.items():
                with _telling(part, (*place, key), reading):
                    found = namespaces.read(key, value, Spot(path((*place, key)), part.base))
                    Limits(**found)
                    fields.setdefault(name, {}).update(found)
            fields.setdefault(name, {})
    return {name: Limits(**one) for name, one in fields.items()}


@contextmanager
def _telling(part: _Part, place: Keys, reading: _Reading) -> Iterator[None]:
    """Have an error in the block be one of the file's."""
    try:
        yield
    except SpecError as exc:
        reading.problems.append(part.source.problem(place, _told(exc, place), exc.hint))


def _told(exc: SpecError, place: Keys) -> str:
    return exc.message if exc.message.startswith(path(place)) else f"{path(place)}: {exc.message}"


def _defaults(part: _Part, reading: _Reading, env: str | None) -> build.Draft:
    """What the apps of a file have: beneath its own defaults are those of the file that was asked for."""
    shared = build.Draft("", "")
    root = reading.parts[-1]
    for owner in (root, part) if part is not root else (root,):
        for keys, table in owner.layers(env):
            _lay(shared, owner, (*keys, "defaults"), table.get("defaults", {}), reading.problems)
    return shared


def _lay_environment(
    drafts: Mapping[str, build.Draft], part: _Part, env: str, apps: Table, problems: list[Problem], *, is_chosen: bool
) -> None:
    """Lay an environment over the apps; of one that was not chosen, only see that its apps are there."""
    for name, table in apps.items():
        place = ("env", env, "apps", name)
        if name in drafts:
            if is_chosen:
                _lay(drafts[name], part, place, table, problems)
        else:
            said = f"{path(place)}: there is no app {name!r}"
            problems.append(part.source.problem(place, said, _nearest(name, drafts)))


def _lay(draft: build.Draft, part: _Part, keys: Keys, table: Table, problems: list[Problem]) -> None:
    """Lay a table over what is there, value by value."""
    draft.lay(_values(part, keys, table, appkeys.table(), problems))
    for below in _leaves(table, ()):
        draft.places[below] = (part.source, (*keys, *below))


def _values(
    part: _Part, keys: Keys, table: Table, parts: Mapping[str, Kind], problems: list[Problem]
) -> dict[str, object]:
    made: dict[str, object] = {}
    for key, value in table.items():
        kind, place = parts[key], (*keys, key)
        try:
            if kind.parts:
                made[key] = _values(part, place, value, kind.parts, problems)
            else:
                made[key] = kind.read(value, Spot(path(place), part.base))
        except SpecError as exc:
            problems.append(part.source.problem(place, _told(exc, place), exc.hint))
    return made


def _leaves(table: Table, keys: Keys) -> Iterator[Keys]:
    for key, value in table.items():
        yield (*keys, key)
        if isinstance(value, dict):
            yield from _leaves(value, (*keys, key))


def _chosen(file: str, drafts: Mapping[str, build.Draft], only: Collection[str]) -> list[build.Draft]:
    if not drafts:
        raise SpecError(f"{file!r} has no apps", hint="Write [apps.NAME], and below it command = '…'.")
    for name in only:
        if name not in drafts:
            raise SpecError(f"{file!r} has no app {name!r}", hint=_nearest(name, drafts))
    return [draft for name, draft in drafts.items() if not only or name in only]


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # an error's cost only

    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
