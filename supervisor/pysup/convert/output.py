"""Where output goes: log files as PM2 names them, or the journal; and the pid file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pysup.convert import values
from pysup.convert.draft import Draft
from pysup.unitfile import command_line

KEYS: tuple[str, ...] = (
    *("out_file", "error_file", "log_file", "merge_logs", "disable_logs", "log_type", "log_date_format"),
    *("time", "pid_file"),
)

_NOWHERE = ("NULL", "/dev/null")
_WRITE_PID = 'mkdir -p "${1%/*}"; echo "$MAINPID" >"$1-$PYSUP_INSTANCE.pid"'
_REMOVE_PID = 'rm -f "$1-$PYSUP_INSTANCE.pid"'


def apply(draft: Draft) -> None:
    """Give the draft its log files."""
    log: dict[str, Any] = {}
    suffix = _suffix(draft)
    for key, stream in (("out_file", "output"), ("error_file", "error")):
        if draft.given.get(key):
            log[stream] = _file(draft, key, suffix)
            draft.keep(key, "the number in its name is the instance's" if "{instance}" in log[stream] else "")
        elif key in draft.given:
            draft.keep(key, "the journal")
    _combined(draft, log, suffix)
    if "disable_logs" in draft.given:
        if values.flag(draft.given["disable_logs"], "disable_logs"):
            log = {"output": "null", "error": "null"}
        draft.keep("disable_logs", "")
    if log:
        draft.app["log"] = log
    _style(draft, in_files=any(place.startswith("/") for place in log.values()))
    if draft.given.get("pid_file"):
        _pid_file(draft)
    elif "pid_file" in draft.given:
        draft.keep("pid_file", "none")


def _suffix(draft: Draft) -> str:
    """PM2 puts an id into each name, but where it merges: one process, or as many as there are CPUs."""
    given = draft.given.get("merge_logs")
    if given is not None:
        merged = values.flag(given, "merge_logs")
        draft.keep("merge_logs", "" if merged or draft.app.get("instances", 1) != 1 else "there is one instance")
    else:
        explicit = str(draft.given.get("exec_mode", "")).startswith("cluster")
        merged = draft.app.get("instances") == "max" and not explicit
    return "" if merged or draft.app.get("instances", 1) == 1 else "-{instance}"


def _file(draft: Draft, key: str, suffix: str) -> str:
    given = values.text(draft.given[key], key)
    if given in _NOWHERE:
        return "null"
    path = _absolute(draft, given)
    return path if not suffix else re.sub(r"(\.log)?$", lambda found: suffix + (found[1] or ""), path, count=1)


def _absolute(draft: Draft, path: str) -> str:
    home = re.sub(r"^~(?=/|$)", str(draft.place.home), path)
    return os.path.abspath(Path(draft.app["cwd"], home))  # noqa: PTH100 (resolves no links)


def _combined(draft: Draft, log: dict[str, Any], suffix: str) -> None:
    given = draft.given.get("log_file")
    if "log_file" not in draft.given:
        return
    if not given or given is True or given == "true":
        draft.change("log_file", "the journal has both streams in order: pysup logs")
    elif log:
        draft.refuse("log_file", "a stream goes to one file; pysup logs shows both in order of time")
    else:
        log["output"] = log["error"] = _file(draft, "log_file", suffix)
        draft.keep("log_file", "")


def _style(draft: Draft, *, in_files: bool) -> None:
    """Times and JSON are added when lines are read, not when they are written."""
    for key, shown in (("log_date_format", "--format time"), ("time", "--format time"), ("log_type", "--json")):
        if not draft.given.get(key):
            if key in draft.given:
                draft.keep(key, "")
        elif in_files:
            draft.refuse(
                key, f"files hold what the program prints; without out_file and error_file: pysup logs {shown}"
            )
        else:
            draft.change(key, f"the journal has the time of each line: pysup logs {shown}")


def _pid_file(draft: Draft) -> None:
    path = re.sub(r"\.pid$", "", _absolute(draft, values.text(draft.given["pid_file"], "pid_file")))
    draft.app["service"] = {
        "ExecStartPost": [command_line(["/bin/sh", "-c", _WRITE_PID, "sh", path])],
        "ExecStopPost": [command_line(["/bin/sh", "-c", _REMOVE_PID, "sh", path])],
    }
    draft.keep("pid_file", f"{path}-0.pid and so on; pysup pid {draft.name} tells without files")
