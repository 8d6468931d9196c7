"""What runs, in how many processes, and where they listen: ``script``, ``interpreter``, ``instances`` and the like."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from pysup.convert import values
from pysup.convert.draft import Draft
from pysup.errors import SpecError
from pysup.host import commandline, nvm

KEYS: tuple[str, ...] = (
    *("script", "args", "cwd", "interpreter", "node_args", "exec_mode", "instances", "increment_var"),
    *("instance_var", "port", "source_map_support", "disable_source_map_support"),
)

_JAVASCRIPT = {".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}
_WRAPPERS = {"npm", "npx", "yarn", "pnpm", "pnpx", "bunx"}
_OTHERS = {".coffee": "coffee", ".ls": "lsc"}  # what pysup itself has no interpreter for
_READ = 200_000

_PORT = re.compile(r"\bPORT\b[\"'\]]*\s*(?:\|\||\?\?)\s*[\"']?(\d{2,5})\b|\.listen\(\s*(\d{2,5})\b")
_PORT_OPTION = re.compile(r"(?:-p|--port)(?:[= ](\d{2,5}))")
_LOCAL = re.compile(r"\.listen\([^)]{0,200}[\"'](127\.0\.0\.1|localhost|::1)[\"']")
_HOSTS = ("HOST", "HOSTNAME", "LISTEN_HOST", "BIND", "ADDRESS")


def apply(draft: Draft) -> None:
    """Give the draft its command, its count and its sockets."""
    _cwd(draft)
    _command(draft)
    _interpreter(draft)
    _source_maps(draft)
    _instances(draft)
    _numbers(draft)
    _port(draft)


def _cwd(draft: Draft) -> None:
    given, place = draft.given.get("cwd"), draft.place
    wanted = os.path.expanduser(values.text(given, "cwd")) if given else ""  # noqa: PTH111 (may be empty)
    cwd = place.cwd / wanted
    script = draft.given.get("script")
    beside = place.file.parent / wanted
    if isinstance(script, str) and not (cwd / script).exists() and (beside / script).exists():
        cwd = beside
        draft.change("cwd", f"{script} is not in {place.cwd}, where PM2 would look, but beside the file; it runs there")
    elif given:
        draft.keep("cwd", "")
    draft.app["cwd"] = os.path.abspath(cwd)  # noqa: PTH100 (resolves no links)


def _command(draft: Draft) -> None:
    if "script" not in draft.given:
        raise SpecError("it has no script", hint="Name what is to run: script: 'app.js'.")
    script = os.path.expanduser(values.text(draft.given["script"], "script"))  # noqa: PTH111
    args = values.words(draft.given["args"], "args") if "args" in draft.given else []
    file = Path(draft.app["cwd"], script)
    if file.exists() or not re.search(r"\s", script):
        draft.app["command"] = [os.path.abspath(file) if file.exists() else script, *args]  # noqa: PTH100
        draft.keep("script", "")
        if args:
            draft.keep("args", "")
        return
    line = shlex.join([script]) if not script.strip() else " ".join([script, *map(shlex.quote, args)])
    draft.app["command"] = commandline.split(line) or ["bash", "-c", line]
    draft.keep("script", "a command line")
    if args:
        draft.change("args", "PM2 drops them behind a command line; they are added to it")


def _interpreter(draft: Draft) -> None:
    given, script = draft.given.get("interpreter"), draft.app["command"][0]
    name = values.text(given, "interpreter") if given else _OTHERS.get(Path(script).suffix, "")
    if name.startswith("node@"):
        draft.app["interpreter"] = _node(name)
        draft.keep("interpreter", f"{name} of nvm's")
    elif name:
        draft.app["interpreter"] = os.path.expanduser(name)  # noqa: PTH111
        draft.keep("interpreter", "")
    draft.node = _is_node(name, script)
    if draft.given.get("node_args"):
        draft.app["interpreter_args"] = values.words(draft.given["node_args"], "node_args")
        draft.keep("node_args", "")
    elif "node_args" in draft.given:
        draft.keep("node_args", "none")
    if "interpreter" in draft.given and not given:
        draft.keep("interpreter", "none is named")


def _node(name: str) -> str:
    found = nvm.version(name.partition("@")[2])
    if found is None:
        there = ", ".join(nvm.installed()) or "none"
        raise SpecError(
            f"interpreter is {name!r}, and nvm has no such version (it has: {there})",
            hint=f"nvm install {name.partition('@')[2]}",
        )
    return str(found)


def _is_node(interpreter: str, script: str) -> bool:
    """Whether Node runs it: by its interpreter, its extension, or its first line."""
    if interpreter:
        return Path(interpreter).name.startswith(("node", "ts-node"))
    if Path(script).name in _WRAPPERS:
        return False
    return Path(script).suffix in _JAVASCRIPT or b"node" in _head(script).partition(b"\n")[0]


def _head(script: str) -> bytes:
    try:
        with Path(script).open("rb") as file:
            head = file.read(200)
    except OSError:
        return b""
    return head if head.startswith(b"#!") else b""


def _source_maps(draft: Draft) -> None:
    for key in ("source_map_support", "disable_source_map_support"):
        if key not in draft.given:
            continue
        wanted = values.flag(draft.given[key], key) is (key == "source_map_support")
        if wanted and draft.node:
            draft.app.setdefault("interpreter_args", []).append("--enable-source-maps")
            draft.change(key, "by Node itself: --enable-source-maps")
        else:
            draft.keep(key, "nothing is injected")


def _instances(draft: Draft) -> None:
    mode = values.text(draft.given.get("exec_mode") or "", "exec_mode")
    if mode not in ("", "fork", "fork_mode", "cluster", "cluster_mode"):
        raise SpecError(f"exec_mode is {mode!r}", hint="Use fork or cluster.")
    count = draft.given.get("instances")
    many = _count(count) if count is not None else 1
    inferred = count is not None and (draft.node or _is_wrapper(draft))
    draft.cluster = mode.startswith("cluster") or (not mode and inferred)
    if many != 1:
        draft.app["instances"] = many
    if count is not None:
        draft.keep("instances", "" if many != 1 else "one, as usual")
    if mode:
        draft.keep("exec_mode", "processes of their own, as ever" if not draft.cluster else "")


def _count(count: object) -> int | str:
    """As pysup's -i takes it."""
    if count in ("max", 0, "0"):
        return "max"
    number = values.number(count, "instances")
    return str(number) if number < 0 else number


def _is_wrapper(draft: Draft) -> bool:
    return Path(draft.app["command"][0]).name in _WRAPPERS


def _numbers(draft: Draft) -> None:
    """Variables that tell instances apart."""
    if draft.given.get("instance_var"):
        draft.app["instance_var"] = values.text(draft.given["instance_var"], "instance_var")
        draft.keep("instance_var", "")
    variable = draft.given.get("increment_var")
    if not variable:
        return
    name = values.text(variable, "increment_var")
    if name == "PORT" and "port" in draft.given:
        base = values.number(draft.given["port"], "port")
    elif name in draft.env:
        base = values.number(draft.env.pop(name), f"env.{name}")
    else:
        draft.refuse("increment_var", f"env has no {name} to begin with; put it there")
        return
    if name == "PORT":
        draft.app["port"] = base
    else:
        draft.app["increment"] = {name: base}
    draft.keep("increment_var", f"instance i gets {name}={base}+i")


def _port(draft: Draft) -> None:
    """The port that all instances share, or that one has."""
    port = values.number(draft.given["port"], "port") if "port" in draft.given else None
    if port is not None and "port" not in draft.app:
        draft.env["PORT"] = str(port)
        draft.keep("port", "in PORT")
    elif port is not None:
        draft.keep("port", "the first instance's")
    if draft.cluster and "listen" not in draft.given:
        _listen(draft)


def _listen(draft: Draft) -> None:
    """PM2's cluster shares whatever port the program listens on; systemd must be told which."""
    if "port" in draft.app or "increment" in draft.app:
        draft.change("exec_mode", "instances have ports of their own (increment_var): independent processes")
    elif _is_wrapper(draft) or not draft.node:
        draft.change("exec_mode", _independent(f"{Path(draft.app['command'][0]).name} is not node itself"))
    else:
        found = _find_port(draft)
        if found is None:
            draft.change("exec_mode", _independent("no port is known: neither PORT nor in the script"))
            return
        port, why = found
        draft.app["listen"] = [_address(draft, port)]
        draft.app["ready"] = "notify"
        draft.change(
            "exec_mode", f"systemd holds port {port} ({why}), and all instances share it: {draft.app['listen'][0]}"
        )
        _overlaid_ports(draft, port)


def _independent(why: str) -> str:
    return (
        f"independent processes that share no port ({why}). If they are to share one, name the script that listens, "
        "and add listen: 3000 (PM2 takes no notice of it)"
    )


def _find_port(draft: Draft) -> tuple[int, str] | None:
    told = _as_port(draft.env.get("PORT", ""))
    if told:
        return told, "PORT"
    option = _PORT_OPTION.search(" ".join(draft.app["command"][1:]))
    if option and _as_port(option[1]):
        return int(option[1]), "args"
    script = draft.app["command"][0]
    ports = {match[1] or match[2] for match in _PORT.finditer(_source(script))}
    port = _as_port(ports.pop()) if len(ports) == 1 else None
    return (port, f"read from {Path(script).name}") if port else None


def _as_port(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else None


def _source(script: str) -> str:
    try:
        with Path(script).open(encoding="utf-8", errors="replace") as file:
            return file.read(_READ)
    except OSError:
        return ""


def _address(draft: Draft, port: int) -> int | str:
    """The port alone, for all addresses; or just the one that the program asks for."""
    named = [_host(draft.env[name]) for name in _HOSTS if name in draft.env]
    local = _LOCAL.search(_source(draft.app["command"][0]))
    host = next(filter(None, named), "") or (_host(local[1]) if local else "")
    return f"{host}:{port}" if host else port


def _host(text: str) -> str:
    """An address for a socket unit; empty for any, and for names."""
    try:
        found = ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        return ""
    if found.is_unspecified:
        return ""
    return f"[{found}]" if found.version == 6 else str(found)


def _overlaid_ports(draft: Draft, port: int) -> None:
    """An environment with another PORT listens there."""
    for overlay in draft.overlays.values():
        other = _as_port(_variables(overlay).get("PORT", ""))
        if other and other != port:
            overlay["listen"] = [_address(draft, other)]


def _variables(overlay: Mapping[str, dict[str, str]]) -> dict[str, str]:
    return overlay.get("env", {})
