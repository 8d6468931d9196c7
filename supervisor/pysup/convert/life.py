"""How an app lives: restarts, stops, readiness, schedules, watching, memory."""

from __future__ import annotations

import re
from typing import Any

from pysup.convert import values
from pysup.convert.draft import Draft

KEYS: tuple[str, ...] = (
    *("autorestart", "autostart", "restart_delay", "exp_backoff_restart_delay", "min_uptime"),
    *("max_restarts", "stop_exit_codes", "kill_timeout", "kill_retry_time", "treekill"),
    *("shutdown_with_message", "wait_ready", "listen_timeout", "cron_restart", "watch", "ignore_watch"),
    *("watch_delay", "watch_options", "max_memory_restart", "force"),
)

_MAX_RESTARTS, _MIN_UPTIME = 16, 1000
_MOST_BACKOFF = "15s"
_PLAIN = re.compile(r"[\w\-/ ]*(?:\\\.[\w\-/ ]*)*")


def apply(draft: Draft) -> None:
    """Give the draft what its keys say of its life."""
    _start(draft)
    _restart(draft)
    _limit(draft)
    _stop(draft)
    _ready(draft)
    _schedule(draft)
    _watch(draft)
    if "max_memory_restart" in draft.given:
        draft.app["memory_restart"] = values.size(draft.given["max_memory_restart"], "max_memory_restart")
        draft.change("max_memory_restart", "the whole control group is counted, not the first process alone")


def _start(draft: Draft) -> None:
    if "autostart" in draft.given:
        if not values.flag(draft.given["autostart"], "autostart"):
            draft.app["autostart"] = False
        draft.keep("autostart", "")
    if "force" in draft.given:
        draft.refuse("force", "an app is there once; give a second one a name of its own")


def _restart(draft: Draft) -> None:
    given = draft.given
    if "autorestart" in given:
        if not values.flag(given["autorestart"], "autorestart"):
            draft.app["restart"] = "no"
        draft.keep("autorestart", "")
    if "restart_delay" in given:
        draft.app["restart_delay"] = values.span(values.milliseconds(given["restart_delay"], "restart_delay"))
        draft.keep("restart_delay", "")
    if given.get("exp_backoff_restart_delay"):
        delay = values.milliseconds(given["exp_backoff_restart_delay"], "exp_backoff_restart_delay")
        draft.app |= {"restart_delay": values.span(max(delay, 1)), "restart_delay_max": _MOST_BACKOFF}
        draft.keep("exp_backoff_restart_delay", "half as long again each time, up to 15 s")
    elif "exp_backoff_restart_delay" in given:
        draft.keep("exp_backoff_restart_delay", "none")
    if "stop_exit_codes" in given:
        codes = [
            values.number(code, "stop_exit_codes") for code in values.words(given["stop_exit_codes"], "stop_exit_codes")
        ]
        draft.app["stop_exit_codes"] = codes
        if 0 in codes:
            draft.change("stop_exit_codes", "a process that a signal killed is started again; PM2 takes it for code 0")
        else:
            draft.keep("stop_exit_codes", "")


def _limit(draft: Draft) -> None:
    """So many starts within as much time as PM2 watches: min_uptime for each."""
    given = draft.given
    if "min_uptime" not in given and "max_restarts" not in given:
        return
    count = values.number(given.get("max_restarts", _MAX_RESTARTS), "max_restarts")
    uptime = values.milliseconds(given.get("min_uptime", _MIN_UPTIME), "min_uptime")
    for key, value, usual in (("max_restarts", count, _MAX_RESTARTS), ("min_uptime", uptime, _MIN_UPTIME)):
        if key in given:
            lost = f" (PM2 itself loses a 0 and takes {usual})" if not value else ""
            draft.change(key, f"in any such time, not only after the first start{lost}")
    draft.app["restart_limit"] = max(count, 1)
    draft.app["restart_window"] = values.span(max(count, 1) * (uptime or _MIN_UPTIME))


def _stop(draft: Draft) -> None:
    given = draft.given
    draft.app["stop_signal"] = "SIGINT"  # what PM2 sends, and its users' programs wait for
    if "kill_timeout" in given:
        timeout = values.milliseconds(given["kill_timeout"], "kill_timeout")
        draft.app["stop_timeout"] = values.span(timeout or 1)
        if timeout:
            draft.keep("kill_timeout", "")
        else:
            draft.change("kill_timeout", "killed at once; PM2 itself loses a 0 and waits 1.6 s")
    else:
        draft.keep("kill_timeout", "10 s from SIGINT to SIGKILL, as pysup has it; PM2 waits 1.6 s")
    if "kill_retry_time" in given:
        draft.refuse("kill_retry_time", "nobody polls: the kernel tells systemd of every exit")
    if "treekill" in given:
        if values.flag(given["treekill"], "treekill"):
            draft.keep("treekill", "")
        else:
            draft.app["kill_mode"] = "process"
            draft.keep("treekill", "children stay")
    if "shutdown_with_message" in given:
        if values.flag(given["shutdown_with_message"], "shutdown_with_message"):
            draft.refuse(
                "shutdown_with_message",
                "SIGINT stops it; in the program: process.on('SIGINT', () => process.emit('message', 'shutdown'))",
            )
        else:
            draft.keep("shutdown_with_message", "")


def _ready(draft: Draft) -> None:
    given = draft.given
    waits = "wait_ready" in given and values.flag(given["wait_ready"], "wait_ready")
    if waits and draft.node:
        draft.app["ready"] = "send"
        draft.change(
            "wait_ready", "an instance that does not say process.send('ready') in time has failed; PM2 calls it online"
        )
    elif waits:
        draft.refuse("wait_ready", "only Node has process.send: use ready: 'notify', 'tcp:PORT' or a URL")
    elif "wait_ready" in given:
        draft.keep("wait_ready", "")
    if "listen_timeout" in given:
        timeout = values.milliseconds(given["listen_timeout"], "listen_timeout")
        if "ready" in draft.app and timeout:
            draft.app["ready_timeout"] = values.span(timeout)
            draft.change("listen_timeout", "an instance that is not ready by then has failed; PM2 goes on without it")
        else:
            draft.refuse("listen_timeout", "nothing waits for it to listen; add wait_ready, or ready: 'tcp:PORT'")


def _schedule(draft: Draft) -> None:
    if "cron_restart" not in draft.given:
        return
    given = draft.given["cron_restart"]
    if not given or str(given).strip() == "0":
        draft.keep("cron_restart", "none")
        return
    draft.app["schedule"] = values.text(given, "cron_restart").strip()
    if draft.app.get("restart") == "no":
        draft.change("cron_restart", "a scheduled job: it runs at these times")
    else:
        draft.change("cron_restart", "restarts it at these times, unless it is stopped; PM2 starts it then")


def _watch(draft: Draft) -> None:
    given = draft.given
    paths = given.get("watch", False)
    watched: dict[str, Any] = {}
    if isinstance(paths, bool) or paths in ("true", "false"):
        watched = {"paths": ["."]} if values.flag(paths, "watch") else {}
    elif paths:
        watched = {"paths": values.patterns(paths, "watch")}
    if "watch" in given:
        draft.keep("watch", "" if watched else "off")
    ignored = [pattern for key in ("ignore_watch",) if key in given for pattern in _ignored(draft, key, given[key])]
    delay = values.milliseconds(given["watch_delay"], "watch_delay") if "watch_delay" in given else 0
    options = values.mapping(given["watch_options"], "watch_options") if "watch_options" in given else {}
    for name, value in options.items():
        if name == "ignored":
            ignored += _ignored(draft, "watch_options.ignored", value)
        else:
            draft.refuse(f"watch_options.{name}", "the kernel tells of changes; there is nothing to be chosen")
    if "watch_options" in given and not options:
        draft.keep("watch_options", "none")
    for key in ("ignore_watch", "watch_delay"):
        if key in given and not draft.notes_of(key):
            draft.keep(key, "" if watched else "nothing is watched")
    if "watch_options" in given and not draft.notes_of("watch_options"):
        draft.keep("watch_options", "by their names")
    if watched:
        draft.app["watch"] = (
            watched | ({"ignore": ignored} if ignored else {}) | ({"delay": values.span(delay)} if delay else {})
        )


def _ignored(draft: Draft, key: str, given: object) -> list[str]:
    """Patterns; of regular expressions those that are plain words."""
    found: list[str] = []
    if isinstance(given, str):
        given = given.split()  # as PM2 does where it would rather have a list
    for one in given if isinstance(given, list) else [given]:
        if values.marked(one) == "regexp":
            text = str(one["text"]) if isinstance(one, dict) else ""
            plain = text.replace("\\/", "/").replace("\\.", ".").strip("/")
            if _PLAIN.fullmatch(text.replace("\\/", "/")) and plain:
                found.append(plain)
                draft.change(key, f"/{text}/ as the pattern {plain}")
            else:
                draft.refuse(key, f"/{text}/ is a regular expression; write it as a pattern such as **/*.log")
        elif not isinstance(one, bool):
            found.append(values.text(one, key))
    return found
