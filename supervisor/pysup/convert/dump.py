"""What PM2 says of its processes (``jlist``, ``dump.pm2``) -> apps as its files have them; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysup.convert import values

# Keys that mean in a dump what they mean in a file.
_SAME = (
    *("name", "namespace", "args", "node_args", "exec_mode", "instance_var", "increment_var", "autorestart"),
    *("restart_delay", "exp_backoff_restart_delay", "min_uptime", "max_restarts", "stop_exit_codes", "kill_timeout"),
    *("treekill", "shutdown_with_message", "wait_ready", "listen_timeout", "cron_restart", "watch", "ignore_watch"),
    *("watch_delay", "watch_options", "max_memory_restart", "uid", "gid", "merge_logs", "log_type", "log_date_format"),
)
_USUAL = {"treekill": True, "autorestart": True, "instance_var": "NODE_APP_INSTANCE", "namespace": "default"}

# Variables of the shell in which PM2 was called, and PM2's own: an app that needs one of them is told by its notes.
_SESSION = re.compile(
    r"PM2_(?!SERVE_).*|SSH_.*|SUDO_.*|XDG_.*|DBUS_.*|LC_.*|LESS.*|HIST.*|TMUX.*|VSCODE_.*|npm_.*|NVM_.*|SYSTEMD_.*|BASH.*|"
    r"_|PWD|OLDPWD|SHLVL|TERM|TERM_.*|COLORTERM|PS1|LS_COLORS|MAIL|DISPLAY|EDITOR|VISUAL|PAGER|SHELL|STY|WINDOW|"
    r"INVOCATION_ID|JOURNAL_STREAM|MEMORY_PRESSURE_.*|NOTIFY_SOCKET|MAINPID|MANAGERPID|LISTEN_.*|"
    r"HOME|USER|LOGNAME|LANG|LANGUAGE|unique_id|NODE_APP_INSTANCE|NODE_CHANNEL_.*|PYSUP_.*|km_link|vizion_running"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An app of PM2's: its keys as in a file, whether PM2 has stopped it, and whether its sockets are PM2's."""

    name: str
    app: dict[str, Any]
    pids: tuple[int, ...]
    stopped: bool
    cluster: bool
    module: bool


def apps(processes: Sequence[Mapping[str, Any]], *, home: Path, node: str = "") -> list[Running]:
    """The apps among PM2's processes, in its order. *node* is the program of its daemon, *home* PM2_HOME."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for process in processes:
        found = {**process, **values.mapping(process.get("pm2_env", {}), "pm2_env")}
        groups.setdefault(str(found.get("name", "")), []).append(found)
    return [_running(name, group, home, node) for name, group in groups.items()]


def is_site(app: Mapping[str, Any]) -> bool:
    """Whether it is PM2's own server of files, which is a script of its package."""
    return str(app.get("script")).endswith("/pm2/lib/API/Serve.js")


def captured(process: Mapping[str, Any]) -> dict[str, str]:
    """The variables that an app has of PM2, without those of a session and PM2's own."""
    env = values.mapping(process.get("env", {}), "env")
    own = str(process.get("name", ""))
    return {
        name: values.as_environment(value)
        for name, value in env.items()
        if not _SESSION.fullmatch(name)
        and name.isascii()
        and name.isidentifier()
        and (name, values.as_environment(value)) != (own, "{}")
    }


def _running(name: str, group: Sequence[Mapping[str, Any]], home: Path, node: str) -> Running:
    first = group[0]
    app = {key: first[key] for key in _SAME if first.get(key) not in (None, [], "", _USUAL.get(key))}
    app |= {"script": first.get("pm_exec_path"), "cwd": first.get("pm_cwd"), "env": captured(first)}
    cluster = first.get("exec_mode") == "cluster_mode"
    if not cluster and len(group) == 1:
        app.pop("exec_mode", None)
    if len(group) > 1:
        app["instances"] = len(group)
    variable = str(first.get("increment_var", ""))
    if variable in app["env"]:
        numbers = [captured(one).get(variable, "") for one in group]
        app["env"][variable] = min(numbers, key=lambda number: (len(number), number))
    app |= _interpreter(first, node) | _logs(first, home)
    return Running(
        name=name,
        app=app,
        pids=tuple(int(one["pid"]) for one in group if one.get("pid")),
        stopped=all(one.get("status") in ("stopped", "errored", "stopping") for one in group),
        cluster=cluster,
        module=bool(first.get("pmx_module")),
    )


def _interpreter(process: Mapping[str, Any], node: str) -> dict[str, Any]:
    """What the daemon ran it with: a Node that is not on our PATH is named whole."""
    found = str(process.get("exec_interpreter") or "")
    if found != "node":
        return {"interpreter": found} if found else {}
    return {"interpreter": node} if node else {}


def _logs(process: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Its log files, if they are not where PM2 puts them anyway."""
    found = {}
    for key, told in (("out_file", "pm_out_log_path"), ("error_file", "pm_err_log_path")):
        path = str(process.get(told) or "")
        if path and not Path(path).is_relative_to(home / "logs"):
            found[key] = re.sub(rf"-{process.get('pm_id', 0)}(?=\.log$|$)", "", path)
    return found
