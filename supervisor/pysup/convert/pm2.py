"""What PM2's files say -> a document of pysup's, and a note for each decision. SpecError for what cannot be meant.

Every key of PM2's is there in the document, or is noted with the reason; what is no key of anybody's is noted, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pysup import names
from pysup.app import App
from pysup.convert import absent, environment, life, output, process, shapes, values
from pysup.convert.draft import Converted, Draft, Kind, Note, Place
from pysup.errors import SpecError

OWN = ("name", "name_prefix", "namespace", "uid", "gid")
KEYS = (*OWN, *process.KEYS, *environment.KEYS, *life.KEYS, *output.KEYS, *absent.WHY)
"""Every key of an app's that PM2 knows, by its usual name; beside them ``env_<name>``."""

_UNSET = (
    *("max_memory_restart", "kill_timeout", "listen_timeout", "restart_delay", "min_uptime", "max_restarts"),
    *("watch_delay", "watch_options", "stop_exit_codes", "port"),
)
"""Keys of numbers and the like, which ``false`` and empty text leave as they are usually."""


def convert(data: object, env: str | None = None, *, file: Path, cwd: Path, home: Path | None = None) -> Converted:
    """What the plain data of a file means; paths begin in *cwd*, which is where PM2 was called.

    With *env* each app has its ``env_<name>``; without, they are the document's environments.
    """
    config = shapes.config(data, str(file))
    place = Place(file=file, cwd=cwd, home=home or Path.home())
    drafts = [_draft(app, index, config, place, env) for index, app in enumerate(config.apps)]
    _refuse_twins(drafts, file)
    document: dict[str, Any] = {"apps": {draft.app.pop("name", draft.name): draft.app for draft in drafts}}
    overlays: dict[str, Any] = {}
    for draft in drafts:
        for name, overlay in draft.overlays.items():
            overlays.setdefault(name, {"apps": {}})["apps"][draft.name] = overlay
    if env:
        document["env"] = {env: {}}
    elif overlays:
        document["env"] = overlays
    notes = [*_file_notes(config, env), *(note for draft in drafts for note in draft.notes)]
    return Converted(document=document, notes=tuple(notes))


def run_by(account: str, converted: Converted) -> Converted:
    """The same with who called PM2, and so ran every app that has no ``uid``, as the account of those."""
    apps: dict[str, dict[str, Any]] = converted.document["apps"]
    unsaid = [name for name, app in apps.items() if "user" not in app and not _has_dynamic_user(app)]
    said = {name: {**app, "user": account} if name in unsaid else app for name, app in apps.items()}
    why = f"PM2 runs it as who calls it, {account}; name an account of its own, if it can have one"
    notes = (*converted.notes, *(Note(name, "user", Kind.CHANGED, why) for name in unsaid))
    return Converted(document={**converted.document, "apps": said}, notes=notes)


def _has_dynamic_user(app: Mapping[str, Any]) -> bool:
    isolate = app.get("isolate")
    return isinstance(isolate, Mapping) and bool(isolate.get("dynamic_user"))


def _draft(app: Mapping[str, Any], index: int, config: shapes.Config, place: Place, env: str | None) -> Draft:
    given, twice = shapes.canonical(app)
    unset = [key for key, value in given.items() if _is_unset(key, value)]
    draft = Draft(name=f"apps[{index}]", given={key: given[key] for key in given if key not in unset}, place=place)
    try:
        draft.name = _name(draft.given)
        for key in unset:
            draft.keep(key, f"{values.as_environment(given[key])}: as if it were not there")
        for key, name in twice:
            draft.refuse(key, f"{name} is given, too, and counts")
        _identity(draft)
        environment.apply(draft, config.deploy)
        process.apply(draft)
        life.apply(draft)
        output.apply(draft)
        absent.apply(draft)
        environment.buffering(draft)
        environment.choose(draft, env)
        _others(draft)
        _finish(draft)
    except SpecError as exc:
        raise SpecError(f"{place.file}: app {draft.name!r}: {exc.message}", hint=exc.hint) from exc
    return draft


def _is_unset(key: str, value: object) -> bool:
    """Whether PM2 takes the key for one that is not there, as ``max_memory_restart: isLarge && '1G'`` may leave it."""
    return (value is None and key in KEYS) or (key in _UNSET and (value is False or value == ""))


def _name(given: Mapping[str, Any]) -> str:
    """The name as pysup can have it; a script's without one is its own, without extension."""
    script = str(given.get("script", ""))
    name = values.text(given["name"], "name") if given.get("name") else Path(script.split(" ")[0]).stem
    prefix = values.text(given["name_prefix"], "name_prefix") + "-" if given.get("name_prefix") else ""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", prefix + name).lstrip("-._")[:64] or "app"


def _identity(draft: Draft) -> None:
    given = draft.given
    for key in ("name", "name_prefix"):
        if not given.get(key):
            continue
        if str(given[key]) in (draft.name, draft.name.partition("-")[0]):
            draft.keep(key, "")
        else:
            draft.change(key, f"{given[key]!r} has what units' names cannot have; it is {draft.name}")
    if "namespace" in given:
        namespace = values.text(given["namespace"] or "default", "namespace")
        valid = re.sub(r"[^A-Za-z0-9_.-]+", "-", namespace).lstrip("-._")[:64]
        if namespace != "default":
            draft.app["namespace"] = valid
        (draft.keep if valid == namespace else draft.change)("namespace", "" if valid == namespace else f"as {valid}")
    for key, name in (("uid", "user"), ("gid", "group")):
        if given.get(key) not in (None, ""):
            draft.app[name] = values.text(given[key], key)
            draft.keep(key, "")
        elif key in given:
            draft.keep(key, "none")
    if not names.NAME.fullmatch(draft.name):
        raise SpecError(f"name is {draft.name!r}", hint="Begin it with a letter or a digit.")


def _others(draft: Draft) -> None:
    """Keys of pysup's own, which PM2 takes no notice of; and such as nobody knows."""
    own = {field.name for field in fields(App)} - {"name", "origin"}
    for key, value in draft.given.items():
        if key in KEYS or environment.is_environment(key):
            continue
        if key in own:
            draft.app[key] = value
            draft.keep(key, "a key of pysup's own")
        else:
            near = shapes.nearest(key, [*KEYS, *sorted(own)])
            draft.refuse(key, f"there is no such key; did you mean {near}?" if near else "there is no such key")


def _finish(draft: Draft) -> None:
    """Keys in the shapes that documents have."""
    app = draft.app
    arguments = app.pop("interpreter_args", [])
    if arguments:
        app["interpreter"] = [app.get("interpreter", "node"), *arguments]
    timeout = app.pop("ready_timeout", None)
    if timeout:
        app["ready"] = {"when": app.get("ready"), "timeout": timeout}
    if draft.env:
        app["env"] = dict(draft.env)


def _refuse_twins(drafts: list[Draft], file: Path) -> None:
    names = [draft.app.get("name", draft.name) for draft in drafts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError(
            f"{file}: two apps are called {twice!r}", hint="Give each a name of its own, or one app more instances."
        )


def _file_notes(config: shapes.Config, env: str | None) -> list[Note]:
    notes = []
    there = environment.names(config.apps, config.deploy)
    if env and env not in there:
        told = f"there are: {', '.join(there)}" if there else "no app has one"
        notes.append(Note("", f"--env {env}", Kind.REFUSED, f"there is no env_{env}, so only env counts; {told}"))
    if config.deploy:
        notes.append(
            Note("", "deploy", Kind.REFUSED, "it is for pm2 deploy, which pysup has none of; its env is taken")
        )
    for key in config.rest:
        near = shapes.nearest(key, ("apps", "deploy", "static"))
        told = f"there is no such key; did you mean {near}?" if near else "it says nothing of apps"
        notes.append(Note("", key, Kind.REFUSED, told))
    for one in config.static:
        told = f"nginx serves directories, as an app of its own: {shapes.serve(one)}"
        notes.append(Note("", f"static {one.get('name', one.get('path', ''))}", Kind.REFUSED, told))
    return notes
