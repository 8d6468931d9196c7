"""PM2's command line -> the command, its targets, and its options by the names that they have in files; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pysup.convert.shapes import ALIASES, nearest
from pysup.convert.values import camel_to_snake
from pysup.errors import SpecError

_SHORT = {
    "-n": "name",
    "-o": "out_file",
    "-e": "error_file",
    "-l": "log_file",
    "-a": "update_env",
    "-f": "force",
    "-i": "instances",
    "-p": "pid_file",
    "-k": "kill_timeout",
    "-x": "execute_command",
    "-u": "user",
    "-c": "cron_restart",
    "-w": "write",
    "-s": "silent",
    "-m": "mini_list",
    "-v": "version",
    "-V": "version",
    "-h": "help",
}
_FLAGS = frozenset(
    {
        *("silent", "mini_list", "update_env", "force", "execute_command", "write", "version", "help", "time"),
        *("disable_logs", "shutdown_with_message", "wait_ready", "merge_logs", "source_map_support", "raw", "json"),
        *("disable_source_map_support", "wait_ip", "trace", "disable_trace", "attach", "v8", "event_loop_inspector"),
        *("deep_monitoring", "spa", "ftp", "monitor", "err", "out", "nostream", "format", "fresh", "color", "daemon"),
        *("vizion", "autostart", "autorestart", "treekill", "pmx", "automation", "only_stdout"),
    }
)
_VALUES = frozenset(
    {
        *("name", "interpreter", "node_args", "out_file", "error_file", "log_type", "log_date_format", "env"),
        *("instances", "parallel", "pid_file", "kill_timeout", "listen_timeout", "max_memory_restart", "user", "uid"),
        *("restart_delay", "exp_backoff_restart_delay", "gid", "namespace", "cwd", "hp", "service_name", "ext"),
        *("cron_restart", "only", "ignore_watch", "watch_delay", "stop_exit_codes", "sort", "lines", "highlight"),
        *("basic_auth_username", "basic_auth_password", "wait_ip", "port", "path", "host", "timestamp"),
    }
)
_MAYBE = frozenset({"watch", "log_file", "filter_env", "max_restarts", "timestamp"})
"""A word behind these is theirs, if the command has a target already."""

_LISTS = frozenset({"watch", "ignore_watch", "filter_env", "stop_exit_codes"})


@dataclass(slots=True, kw_only=True)
class Line:
    """What was typed: ``pm2 COMMAND TARGETS OPTIONS -- ARGUMENTS``."""

    command: str
    targets: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)


def parse(words: Sequence[str]) -> Line:
    """The parts of a command line. Raises SpecError for an option that PM2 does not know."""
    cut = words.index("--") if "--" in words else len(words)
    line = Line(command="", arguments=list(words[cut + 1 :]))
    rest = list(words[:cut])
    while rest:
        word = rest.pop(0)
        if word.startswith("-") and word != "-" and not _is_number(word):
            _option(line, word, rest)
        elif not line.command:
            line.command = word
        else:
            line.targets.append(word)
    return line


def _option(line: Line, word: str, rest: list[str]) -> None:
    text, equals, given = word.partition("=")
    key, negated = _name(text)
    if key in _MAYBE and not equals and line.targets and rest and not rest[0].startswith("-"):
        value: Any = rest.pop(0)
    elif equals:
        value = given
    elif key in _FLAGS or key in _MAYBE:
        value = not negated
    elif rest:
        value = rest.pop(0)
    else:
        raise SpecError(f"{text} needs a value", hint="pysup start --help shows pysup's own options.")
    if key in _LISTS and isinstance(value, str):
        before = line.options.get(key)
        value = [*(before if isinstance(before, list) else []), *value.replace(",", " ").split()]
    line.options[key] = value


def _name(text: str) -> tuple[str, bool]:
    """The key of an option, and whether it is the ``--no-`` of it."""
    key = _SHORT.get(text) or camel_to_snake(text.lstrip("-").replace("-", "_"))
    negated = key.startswith("no_")
    key = key.removeprefix("no_")
    key = key if key in ("user", "log") else ALIASES.get(key, key)
    key = "log_file" if key == "log" else key
    if key not in _FLAGS | _VALUES | _MAYBE:
        near = nearest(key, sorted(_FLAGS | _VALUES | _MAYBE))
        hint = f"Did you mean --{near.replace('_', '-')}?" if near else "pysup --help shows pysup's own commands."
        raise SpecError(f"there is no option {text!r}", hint=hint)
    return key, negated


def _is_number(word: str) -> bool:
    return word[1:].isdigit()


def watch_delay(options: Mapping[str, Any]) -> int | None:
    """Milliseconds: a plain number on the command line is seconds, other than in files."""
    text = str(options.get("watch_delay", ""))
    if not text:
        return None
    number = text.removesuffix("ms")
    if not number.isdigit():
        raise SpecError(f"--watch-delay is {text!r}", hint="Write seconds (4), or 4000ms.")
    return int(number) * (1 if text.endswith("ms") else 1000)
