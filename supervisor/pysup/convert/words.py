"""A document's app -> the words of ``pysup start`` that mean the same; pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_OPTIONS = {"user": "--uid", "group": "--gid", "schedule": "--schedule", "instances": "--instances"}
_FLAGS = {"autostart": {False: "--no-autostart"}, "spread": {True: "--spread"}, "stdin": {True: "--stdin"}}
_REPEATED = {"listen": "--listen", "env_files": "--env-file"}
_PAIRS = {"env": "--env", "increment": "--increment", "unit": "--unit", "service": "--service"}


def start(name: str, app: Mapping[str, Any], *, cwd: str) -> list[str]:
    """The words behind ``pysup``, for somebody who stands in *cwd*."""
    command, *args = app["command"]
    target = command.removeprefix(f"{cwd}/")
    words = ["start", f"./{target}" if target != command and "/" not in target and "." not in target else target]
    return [*words, "--name", name, *options(app, cwd=cwd), *(["--", *args] if args else [])]


def options(app: Mapping[str, Any], *, cwd: str = "") -> list[str]:
    """Those of an app's keys that are options."""
    words: list[str] = []
    for key, value in app.items():
        if key == "command" or (key == "cwd" and value == cwd):
            continue
        words += _option(key, value)
    return words


def _option(key: str, value: Any) -> Iterator[str]:
    if key in _FLAGS:
        yield from filter(None, [_FLAGS[key].get(value, "")])
    elif key in _PAIRS:
        for name, one in value.items():
            for text in one if isinstance(one, list) else [one]:
                yield from (_PAIRS[key], f"{name}={text}")
    elif key in _REPEATED:
        for one in value if isinstance(value, list) else [value]:
            yield from (_REPEATED[key], str(one))
    elif key == "interpreter":
        program, *args = value if isinstance(value, list) else [value]
        yield from ("--interpreter", program)
        yield from (f"--interpreter-args={shlex.join(args)}",) if args else ()
    elif key == "watch":
        yield from _watch(value)
    elif isinstance(value, Mapping):
        yield from _nested(key, value)
    else:
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        option = _OPTIONS.get(key, "--" + key.replace("_", "-"))
        yield from (f"{option}={text}",) if text.startswith("-") else (option, text)


def _nested(key: str, table: Mapping[str, Any]) -> Iterator[str]:
    """``log.output`` is --log-output, ``ready.timeout`` --ready-timeout, ``ready.when`` --ready."""
    for name, value in table.items():
        prefix = "" if key == "limits" else f"{key}-"
        option = f"--{prefix}{name.replace('_', '-')}" if name != "when" else f"--{key}"
        yield from (option, str(value))


def _watch(table: Mapping[str, Any]) -> Iterator[str]:
    for path in table.get("paths", ()):
        yield f"--watch={path}"
    for pattern in table.get("ignore", ()):
        yield from ("--ignore-watch", pattern)
    if "delay" in table:
        yield from ("--watch-delay", table["delay"])
