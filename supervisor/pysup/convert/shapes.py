"""What a file of PM2's may look like, whatever kind it is -> its apps, with their keys by their usual names; pure."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pysup.convert import values
from pysup.errors import SpecError

ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("exec", "cmd", "command"), "script"),
    "exec_interpreter": "interpreter",
    "interpreter_args": "node_args",
    "cron": "cron_restart",
    **dict.fromkeys(("out", "output", "out_log"), "out_file"),
    **dict.fromkeys(("error", "err", "err_file", "err_log"), "error_file"),
    "log": "log_file",
    "pid": "pid_file",
    "combine_logs": "merge_logs",
    "user": "uid",
}
"""PM2's other names of keys."""

_SERVE = "PM2_SERVE_"
_SCRIPTS = ("script", *(alias for alias, key in ALIASES.items() if key == "script"))


class Config(NamedTuple):
    """What a file says: apps, directories to be served (``static``), machines to deploy to, and what else is in it."""

    apps: list[dict[str, Any]]
    static: list[dict[str, Any]]
    deploy: Mapping[str, Any]
    rest: Mapping[str, Any]


def config(data: object, where: str) -> Config:
    """The apps of a file: a list of them, one alone, or a table that has them under ``apps`` or ``pm2``.

    Raises SpecError, naming *where*, for anything else.
    """
    table = data if isinstance(data, Mapping) else {"apps": data}
    if "apps" not in table and "pm2" in table:
        return config(table["pm2"], where)
    if "apps" in table or "static" in table:
        rest = {key: value for key, value in table.items() if key not in ("apps", "static", "deploy")}
        found = _tables(table.get("apps", []), where)
        static = _tables(table.get("static", []), where)
        deploy = table.get("deploy") or {}
    elif any(key in table for key in _SCRIPTS):
        found, static, deploy, rest = [dict(table)], [], {}, {}
    else:
        raise _nothing(where, f"it has {', '.join(map(repr, list(table)[:5]))}" if table else "it is empty")
    if not found and not static:
        raise _nothing(where, "its list of apps is empty")
    sites = [app for app in found if _is_site(app)]
    static += map(site, sites)
    return Config([app for app in found if app not in sites], static, values.mapping(deploy, "deploy"), rest)


def is_config(data: object) -> bool:
    """Whether data (of a .json or .yaml file) is PM2's and not pysup's, in which apps are a table by name."""
    if isinstance(data, Mapping):
        return isinstance(data.get("apps"), list) or "pm2" in data or any(key in data for key in _SCRIPTS)
    return isinstance(data, list) and any(isinstance(one, Mapping) for one in data)


def canonical(app: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The app's keys by their usual names, and those that were given twice, with the name that counts.

    ``env_<name>`` stay as they are: their names are the user's.
    """
    found: dict[str, Any] = {}
    twice: list[tuple[str, str]] = []
    for key, value in sorted(app.items(), key=lambda item: item[0] in ALIASES):
        snake = key if key.startswith("env_") else values.camel_to_snake(key)
        name = ALIASES.get(snake, snake)
        if name in found:
            twice.append((key, name))
        else:
            found[name] = value
    return found, twice


def serve(static: Mapping[str, Any]) -> str:
    """The command that serves a directory as an entry of ``static`` says."""
    said = ["pysup", "serve", str(static.get("path") or "."), "--port", str(static.get("port") or 8080)]
    said += ["--name", str(static["name"])] if static.get("name") else []
    said += ["--basic-auth", "file:PATH"] if static.get("basic_auth") else []
    return shlex.join([*said, *(f"--{flag}" for flag in ("spa", "ftp") if str(static.get(flag)).lower() == "true")])


def _is_site(app: Mapping[str, Any]) -> bool:
    """Whether an app is PM2's own server of files; one with args of its own is a program of that name."""
    given, _ = canonical(app)
    return given.get("script") == "serve" and (not given.get("args") or bool(_served(app)))


def site(app: Mapping[str, Any]) -> dict[str, Any]:
    """An app that is PM2's own server of files, as an entry of ``static``."""
    served = _served(app)
    path = os.path.join(str(app.get("cwd") or ""), str(served.get("path") or ""))  # noqa: PTH118 (may be empty)
    return {**served, "path": path, "name": app.get("name")}


def _served(app: Mapping[str, Any]) -> dict[str, Any]:
    env = app.get("env")
    given = env if isinstance(env, Mapping) else {}
    return {key.removeprefix(_SERVE).lower(): value for key, value in given.items() if key.startswith(_SERVE)}


def nearest(key: str, known: Sequence[str]) -> str:
    """A known key like this one; empty if there is none."""
    return next(iter(get_close_matches(key, known, n=1, cutoff=0.7)), "")


def _tables(found: object, where: str) -> list[dict[str, Any]]:
    each: list[Any] = found if isinstance(found, list) else [found]
    for number, one in enumerate(each):
        if not isinstance(one, Mapping) or values.marked(one):
            kind = values.marked(one) or repr(one)[:60]
            raise SpecError(f"{where}: apps[{number}] is {kind}, not a table", hint="Write { name: …, script: … }.")
    return [{str(key): value for key, value in one.items()} for one in each]


def _nothing(where: str, why: str) -> SpecError:
    return SpecError(f"{where} names no app: {why}", hint="Write: module.exports = { apps: [{ script: 'app.js' }] }")
