"""PM2's options for a script, in pysup's words: as ``convert`` understands them in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pysup.cli import output
from pysup.convert import flags
from pysup.convert.flags import Line
from pysup.errors import SpecError


def script(line: Line, target: str) -> list[str]:
    """The words that start a script as PM2's options say."""
    from pysup.convert import words

    app = {**_keys(line), "script": target}
    if line.arguments:
        app["args"] = line.arguments
    name, wanted = _converted(app)
    cwd = str(Path.cwd())
    env = wanted.get("env", {})
    passed = [key for key in _shell() if key not in env and key != wanted.get("instance_var")]
    native = words.start(name, wanted, cwd=cwd)
    at = native.index("--") if "--" in native else len(native)
    return [*native[:at], *(["--pass-env", ",".join(passed)] if passed else []), *native[at:]]


def changes(line: Line) -> list[str]:
    """Options for an app that is known."""
    from pysup.convert import words

    keys = _keys(line)
    passed = ["--pass-env", ",".join(_shell())] if line.options.get("update_env") and _shell() else []
    if not keys:
        return passed
    _, wanted = _converted({**keys, "script": "true"})
    usual = ("cwd", "stop_signal", "command", *(["env"] if "env" in wanted and "port" not in keys else []))
    return [*words.options({key: value for key, value in wanted.items() if key not in usual}), *passed]


def _keys(line: Line) -> dict[str, Any]:
    """The options as a file would have them."""
    keys = dict(line.options)
    delay = flags.watch_delay(keys)
    if delay is not None:
        keys["watch_delay"] = delay
    if keys.pop("execute_command", False):
        keys.setdefault("exec_mode", "fork")
    if isinstance(keys.get("user"), str):
        keys.setdefault("uid", keys["user"])
    for gone in ("update_env", "force", "attach", "daemon", "only", "env", "user", "write", "parallel", "ext", "hp"):
        if keys.pop(gone, None) not in (None, False, True) and gone == "ext":
            output.warn("--ext is not there: name what is ignored, --ignore-watch '*.log'")
    return keys


def _converted(app: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """An app's name and keys; what is lost is told."""
    from pysup.convert import pm2
    from pysup.convert.draft import Kind

    port = {"env": {"PORT": os.environ["PORT"]}} if "PORT" in os.environ else {}
    made = pm2.convert({**port, **app}, file=Path("pm2 start"), cwd=Path.cwd())
    if not made.document["apps"]:
        raise SpecError("serve is PM2's own server of files", hint=made.notes[-1].text)
    for note in made.notes:
        if note.kind is Kind.REFUSED:
            output.warn(f"{note.key}: {note.text}")
    ((name, wanted),) = made.document["apps"].items()
    return name, wanted


def _shell() -> list[str]:
    """The variables that PM2 would hand on, without those of the session; pysup hands on what is named."""
    from pysup.convert import dump

    return sorted(set(dump.captured({"env": dict(os.environ)})) - {"PATH", "PORT"})
