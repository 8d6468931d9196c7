"""Drafts of apps (what a file's layers say, merged) -> apps: programs found, App's own rules asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pysup import servers
from pysup.app import PER_CORE, App
from pysup.errors import PysupError, SpecError
from pysup.files import appkeys, secrets
from pysup.files.problems import Keys, Problem
from pysup.files.source import Source
from pysup.host import cpus, users
from pysup.host.resolve import resolve
from pysup.unit import Scope

STANDARD_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(slots=True)
class Draft:
    """What is known of an app so far: values by key, and where each was said. ``base`` is its file's directory."""

    name: str
    base: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, tuple[Source, Keys]] = field(default_factory=dict)

    def copy(self, name: str, base: str) -> Draft:
        """The beginnings of another app."""
        return Draft(name, base, _merged(self.values, {}), dict(self.places))

    def lay(self, over: Mapping[str, Any]) -> None:
        """Lay values over those that are there."""
        self.values = _merged(self.values, over)

    def problem(self, keys: Keys, message: str, hint: str) -> Problem:
        """An error at a key of the app, or at the app."""
        while keys and keys not in self.places:
            keys = keys[:-1]
        source, place = self.places[keys]
        return source.problem(place, message, hint)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: _merged(value, {}) if isinstance(value, dict) else value for key, value in under.items()}
    for key, value in over.items():
        before = made.get(key)
        made[key] = _merged(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return made


def apps(
    drafts: Sequence[Draft], *, origin: str, scope: Scope
) -> tuple[tuple[App, ...], list[tuple[str, str]], list[Problem]]:
    """The apps, what is worth telling about them, and all that is wrong with them."""
    made: list[App] = []
    notes: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for draft in drafts:
        try:
            app, note = _app(draft, origin, scope)
        except _Wrong as exc:
            problems += exc.problems
            continue
        made.append(app)
        if note:
            notes.append((app.name, note))
    problems += _crowded(made, drafts)
    return tuple(made), notes, problems


def problems(drafts: Iterable[Draft]) -> list[Problem]:
    """What is wrong with single keys of apps that cannot be made because something else is wrong, too."""
    found: list[Problem] = []
    for draft in drafts:
        try:
            found += _single(draft, _built(draft, {**draft.values, "command": [], "interpreter": []}))
        except _Wrong as exc:
            found += exc.problems
    return found


class _Wrong(Exception):
    """What is wrong with one app."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = list(problems)


def _app(draft: Draft, origin: str, scope: Scope) -> tuple[App, str]:
    values = {key: value for key, value in draft.values.items() if key not in ("command", "interpreter")}
    values = _built(draft, values)
    note = ""
    try:
        values |= _counted(values)
        found, note = _command(draft, values.setdefault("cwd", draft.base))
        values |= found
        values["env"] = {**_environment(values, scope), **_secrets(draft, values)}
        app = App(name=draft.name, origin=origin, **values)
        return (app if "ready" in values else replace(app, ready=servers.usual_ready(app))), note
    except PysupError as exc:
        single = list(_single(draft, values))
        raise _Wrong(single or [_placed(draft, exc)]) from exc


def _built(draft: Draft, values: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    problems = []
    for key, value in values.items():
        try:
            made[key] = appkeys.table()[key].build(value)
        except SpecError as exc:
            problems.append(_placed(draft, exc, key))
    if problems:
        raise _Wrong(problems)
    return made


def _single(draft: Draft, values: Mapping[str, Any]) -> Iterable[Problem]:
    """The errors of an app that are one key's alone, all of them."""
    usual: dict[str, Any] = {"name": draft.name, "command": ("/",)}
    for key, value in values.items():
        try:
            App(**{"name": "app", "command": ("/",), key: value})
        except SpecError as exc:
            if not exc.message.startswith("app 'app'"):  # such are about keys together
                yield _placed(draft, exc, key)
    try:
        App(**usual)
    except SpecError as exc:
        yield draft.problem((), f"apps.{draft.name}: {exc.message}", exc.hint)


def _placed(draft: Draft, exc: PysupError, key: str = "") -> Problem:
    """An error of App's at the key that it is about."""
    message = exc.message.removeprefix(f"app {draft.name!r}: ")
    words = re.findall(r"[a-z_]+", message)
    known = appkeys.table()
    first = key or next((word for word in words if word in known), "")
    part = re.match(rf"{first}\.(\w+)", message) if first else None
    keys: Keys = (first, *([part[1]] if part else [])) if first else ()
    prefix = f"apps.{draft.name}." if first and message.startswith(first) else f"apps.{draft.name}: "
    return draft.problem(keys, f"{prefix}{message}", exc.hint)


def _counted(values: Mapping[str, Any]) -> dict[str, Any]:
    """The number that ``max`` or a number below 1 means on this machine."""
    wanted = values.get("instances", 1)
    if wanted == PER_CORE or (isinstance(wanted, int) and wanted > 0):
        return {}
    reserve = values.get("reserve", 0)
    free = reserve if isinstance(reserve, int) else len(set(reserve) & set(cpus.allowed()))
    return {"instances": cpus.count(str(wanted), physical_cores=values.get("physical", False), free=free)}


def _command(draft: Draft, cwd: str) -> tuple[dict[str, Any], str]:
    command: str | list[str] = draft.values.get("command", [])
    if not command:
        raise SpecError("command is not there", hint="Say what runs: command = 'node server.js'.")
    target, args = (command, []) if isinstance(command, str) else (command[0], command[1:])
    before: list[str] = draft.values.get("interpreter") or []
    found = resolve(
        target,
        args,
        cwd=cwd,
        path=os.environ.get("PATH", os.defpath),
        interpreter=before[0] if before else None,
        interpreter_args=before[1:],
    )
    return {"command": found.command, "interpreter": found.interpreter}, found.note


def _environment(values: Mapping[str, Any], scope: Scope) -> dict[str, str]:
    """What every app gets, and what the file says; nothing of the caller's, so that who applies it does not matter.

    PATH is the machine's usual one, behind the directory of the program that runs.
    """
    program = (*values["interpreter"], *values["command"])[0]
    directory = str(Path(program).parent)
    first = () if directory in STANDARD_PATH or not values["interpreter"] else (directory,)
    home = users.home(scope, values.get("user", ""))
    return {"PATH": ":".join((*first, *STANDARD_PATH)), **home, **values.get("env", {})}


def _secrets(draft: Draft, values: Mapping[str, Any]) -> dict[str, str]:
    """The values of variables that are in files of their own."""
    found: dict[str, str] = {}
    problems = []
    for name, reference in values.get("secrets", {}).items():
        key = f"apps.{draft.name}.secrets.{name}"
        if name in values.get("env", {}):
            problems.append(draft.problem(("secrets", name), f"{key} is in env, too", "Take it out of one of them."))
        try:
            found |= secrets.values({name: reference})
        except SpecError as exc:
            problems.append(draft.problem(("secrets", name), f"{key}: {exc.message}", exc.hint))
    if problems:
        raise _Wrong(problems)
    return found


def _crowded(made: Sequence[App], drafts: Sequence[Draft]) -> Iterable[Problem]:
    """Two apps that would have one port, or one address."""
    taken: dict[str, str] = {}
    by_name = {draft.name: draft for draft in drafts}
    for app in made:
        for key, address in _addresses(app):
            other = taken.setdefault(address, app.name)
            if other != app.name:
                said = f"apps.{app.name}.{key}: {address} is taken by {other!r}"
                yield by_name[app.name].problem((key,), said, "Give each app its own.")
                break


def _addresses(app: App) -> Iterable[tuple[str, str]]:
    if app.port is not None:
        count = app.instances if isinstance(app.instances, int) else len(cpus.allowed())
        yield from (("port", f"port {port}") for port in range(app.port, app.port + count))
    for one in app.listen:
        host, _, port = one.address.rpartition(":")
        yield "listen", f"port {port}" if one.port is not None and not host else f"address {one.address}"
