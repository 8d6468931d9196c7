"""An event as a line for people, and as JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from pysup.cli import output
from pysup.events import Event, Exited, Lost
from pysup.explain import signal_name

_BAD, _NOTE, _GOOD = output.RED, output.YELLOW, output.GREEN
_COLOURS = {
    "exited": _BAD,
    "failed": _BAD,
    "lost": _BAD,
    "restarting": _NOTE,
    "limithit": _NOTE,
    "started": _GOOD,
}
_ENDERS = {
    "watchdog": ", ended by the watchdog",
    "kernel": ", killed for want of memory",
    "systemd": ", ended by systemd",
    "somebody": ", sent by somebody",
}


def kind(event: Event) -> str:
    """The event's name: its class's in small letters."""
    return type(event).__name__.lower()


def line(event: Event) -> str:
    """Time, whom it happened to, what happened, and more about it."""
    what = kind(event)
    who = "" if isinstance(event, Lost) else str(getattr(event, "name", event.app))
    day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at)) + f"{event.at % 1:.3f}"[1:]
    more = output.plain(_MORE.get(what, _process)(event))
    words = [output.paint(day, output.DIM), f"{who:16}", output.paint(f"{what:10}", _COLOURS.get(what, ""))]
    return " ".join([*words, more]).rstrip()


def as_object(event: Event) -> dict[str, object]:
    """docs/json.md has the fields."""
    own = {field.name: getattr(event, field.name) for field in fields(event)}
    name, at = own.pop("name", None), own.pop("at")
    app = getattr(event, "app", None)
    number = name.number if name else own.pop("instance", None)
    own.pop("app", None)
    common = {
        "event": kind(event),
        "time": datetime.fromtimestamp(at).astimezone().isoformat(timespec="microseconds"),
        "at": at,
        "id": str(name) if name else app if number is None else f"{app}@{number}",
        "name": app,
        "instance": number,
        "unit": getattr(event, "unit", None),
        "pid": own.pop("pid", None) or None,
        "invocation_id": own.pop("invocation_id", None) or None,
    }
    properties = {key: getattr(event, key) for key in ("by", "gave_up") if key not in own and hasattr(event, key)}
    return common | own | properties


def _process(event: Any) -> str:
    return f"pid {event.pid}" if getattr(event, "pid", 0) else ""


def how(event: Exited) -> str:
    """How a process ended, and by whom."""
    if event.signal is not None:
        end = f"signal {signal_name(event.signal)}" + (", core dumped" if event.dumped else "")
    elif event.code is not None:
        end = f"exit code {event.code}"
    else:
        end = {"success": "successfully", "unknown": "systemd had gone on before it said how"}.get(
            event.result, event.result
        )
    asked = ", as it was asked to" if event.asked else _ENDERS.get(event.by, "")
    return end + asked


def _exited(event: Any) -> str:
    return how(event) + (f" (pid {event.pid})" if event.pid else "")


def _restarting(event: Any) -> str:
    of = f" (at most {event.limit} starts in its window)" if event.limit else ""
    return f"number {event.number}{of}" + (f", after {event.delay:g} s" if event.delay else "")


def _failed(event: Any) -> str:
    return "systemd gave up: it ended too often (start-limit-hit)" if event.gave_up else event.result


def _asked(event: Any) -> str:
    return f"to {event.verb}{_of(event)}{_by(event)}" + (f": {event.why}" if event.why else "")


def _of(event: Any) -> str:
    return f" of {', '.join(map(str, event.instances))}" if event.instances else ""


def _hook_ran(event: Any) -> str:
    whom = "" if event.instance is None else f" for instance {event.instance}"
    return f"{event.hook}{whom}" + (f" went wrong: {event.problem}" if event.problem else "")


def _by(event: Any) -> str:
    return f" by {event.by}" if event.by else ""


_MORE: Mapping[str, Callable[[Any], str]] = {
    "exited": _exited,
    "restarting": _restarting,
    "failed": _failed,
    "limithit": lambda event: f"{event.limit}, {event.times} times",
    "asked": _asked,
    "scaled": lambda event: f"from {event.before} to {event.count}{_by(event)}",
    "limited": lambda event: f"{_of(event)}{_by(event)}".lstrip(),
    "secretset": lambda event: f"{event.secret}{_by(event)}",
    "secretremoved": lambda event: f"{event.secret}{_by(event)}",
    "hookran": _hook_ran,
    "lost": lambda event: f"{event.reason}; from here on it is known again",
    **dict.fromkeys(("reloaded", "saved", "unsaved", "deleted"), lambda event: _by(event).lstrip()),
}
