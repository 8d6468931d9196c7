"""Variables: ``env``, ``env_<name>``, and what PM2 hands to apps besides; names that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pysup.convert import values
from pysup.convert.draft import Draft

KEYS = ("env", "filter_env", "append_env_to_name")
PREFIX = "env_"
_OURS = ("PYSUP_APP", "PYSUP_INSTANCE")


def apply(draft: Draft, deploy: Mapping[str, Any]) -> None:
    """Fill the draft's env and overlays. ``deploy.<name>.env`` counts least, as in PM2."""
    draft.env = _variables(draft, "env", draft.given.get("env") or {})
    if "env" in draft.given and not draft.notes_of("env"):
        draft.keep("env", "")
    for key, value in draft.given.items():
        if is_environment(key) and isinstance(value, str):
            draft.refuse(key, f"it is text, which PM2 makes nothing of; a file of variables: env_files: {value!r}")
    for name in names([draft.given], deploy):
        key = PREFIX + name
        own = _variables(draft, key, draft.given.get(key) or {})
        under = {key: value for key, value in _deployed(draft, name, deploy).items() if key not in draft.env}
        if key in draft.given:
            draft.keep(key, f"with --env {name}")
        if key in draft.given or under:
            draft.overlays[name] = {"env": {**under, **own}}
    _filter(draft)


def is_environment(key: str) -> bool:
    """Whether it is an ``env_<name>``; ``env_files`` is pysup's own."""
    return key.startswith(PREFIX) and key != "env_files"


def names(apps: Iterable[Mapping[str, Any]], deploy: Mapping[str, Any]) -> list[str]:
    """The environments that there are: those of apps, and those that only ``deploy`` has variables for."""
    keys = (key for app in apps for key in app if is_environment(key) and not isinstance(app[key], str))
    own = (key.removeprefix(PREFIX) for key in keys)
    deployed = (name for name, target in deploy.items() if isinstance(target, Mapping) and target.get("env"))
    return list(dict.fromkeys((*own, *deployed)))


def choose(draft: Draft, wanted: str | None) -> None:
    """With an environment chosen, that is what the app has."""
    if "append_env_to_name" in draft.given:
        if values.flag(draft.given["append_env_to_name"], "append_env_to_name") and wanted:
            draft.app["name"] = f"{draft.name}-{wanted}"
        draft.keep("append_env_to_name", "")
    if wanted and wanted not in draft.overlays:
        draft.change("env", f"there is no env_{wanted}: only env counts, as in PM2")
    if wanted:
        overlay = draft.overlays.pop(wanted, {})
        draft.env.update(overlay.pop("env", {}))
        draft.app.update(overlay)
        draft.overlays.clear()


def buffering(draft: Draft) -> None:
    """PM2 has Python print at once; without that, the journal would show its lines late."""
    interpreter, script = str(draft.app.get("interpreter", "")), str(draft.app["command"][0])
    name = Path(interpreter or script).name
    if name.startswith("python") or (not interpreter and script.endswith(".py")):
        draft.env.setdefault("PYTHONUNBUFFERED", "1")


def _variables(draft: Draft, key: str, given: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.mapping(given, key).items():
        if values.marked(value):
            draft.refuse(key, f"{name} is a {values.marked(value)}, which is no text")
        elif name in _OURS or name == draft.given.get("instance_var", "NODE_APP_INSTANCE"):
            draft.change(key, f"{name} is left out: it is each instance's number")
        else:
            found[name] = values.as_environment(value)
    return found


def _deployed(draft: Draft, name: str, deploy: Mapping[str, Any]) -> dict[str, str]:
    target = deploy.get(name)
    given = target.get("env") if isinstance(target, Mapping) else None
    return _variables(draft, f"deploy.{name}.env", given) if given else {}


def _filter(draft: Draft) -> None:
    given = draft.given.get("filter_env")
    if given is None:
        return
    if given is True:
        draft.change("filter_env", "true does nothing in PM2; here nothing of the shell is handed on anyway")
    else:
        draft.keep("filter_env", "nothing of the shell is handed on but PATH and LANG, and what pass_env names")
