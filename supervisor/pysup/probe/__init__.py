"""How an instance is asked whether it is ready and whether it lives: commands that need nothing of pysup's.

They run on when pysup is uninstalled: ``ask.py`` is copied beside the app's units, and any Python runs it. systemd ends
what waits for readiness at ``TimeoutStartSec=``; it ends by itself when the main process does. What watches is in the
instance's own control group, so it comes and goes with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pysup import names
from pysup.app import App, KillMode
from pysup.health import Asked, Question, ReadyWhen, door
from pysup.unit import Scope
from pysup.unitfile import command_line

_ALIVE = 'kill -0 "$MAINPID" 2>/dev/null || exit 1'
_SURVIVE = f'n=$1; while [ "$n" -gt 0 ]; do {_ALIVE}; sleep 0.1; n=$((n-1)); done; {_ALIVE}'


def text() -> str:
    """What the commands run."""
    return Path(__file__).with_name("ask.py").read_text(encoding="utf-8")


def is_for(app: App) -> bool:
    """Whether any of the app's commands runs it."""
    return app.ready.question is not None or (app.watchdog is not None and app.watchdog.question is not None)


def commands(app: App, scope: Scope, asks: Sequence[str], instance: str) -> list[str]:
    """Command lines for ``ExecStartPost=``: the first returns once the instance is ready, the second leaves a watch.

    *asks* is the command that runs the copy of ``ask.py``; *instance* is in the name of the socket that is asked.
    """
    found = []
    if app.ready.when is ReadyWhen.SECONDS:
        survive = ("/bin/sh", "-c", _SURVIVE, "ready", str(math.ceil(app.ready.seconds * 10)))
        found.append(command_line(survive))
    if asked := app.ready.question:
        found.append(_line(app, (*asks, "ready"), app.ready, asked, instance))
    if app.watchdog and (asked := app.watchdog.question):
        watchdog = app.watchdog
        words = (
            f"interval={watchdog.interval:g}",
            f"timeout={watchdog.timeout:g}",
            f"failures={watchdog.failures}",
            f"manager=--{scope.value}",
            *(("until=main",) if app.kill_mode is KillMode.PROCESS else ()),
        )
        found.append(_line(app, (*asks, "watch", *words), watchdog, asked, instance) + " unit=%n")
    return found


def _line(app: App, command: Sequence[str], question: Question, asked: Asked, instance: str) -> str:
    shared, words = door(asked, app.listen, app.port), [*command]
    place = f"{_bracketed(asked.host)}:{'' if asked.port is None else asked.port}"
    if asked.scheme:
        words += [f"what=GET {question.url}", f"scheme={asked.scheme}", f"host={_host(app, asked)}"]
        words += [f"path={asked.path}"]
        if question.statuses:
            words.append(f"statuses={','.join(map(str, question.statuses))}")
    elif shared:
        words.append(f"what={shared.address}")
    # Its parts need no quotes; %t is the runtime directory, %i may be in it.
    own = f"%t/{names.probe_path(app.name, instance)}"
    return command_line((*words, f"at={place}")) if shared is None else f"{command_line(words)} at={own}"


def _host(app: App, asked: Asked) -> str:
    """What the header says: the host as it was written, and the port where one is known."""
    shared = door(asked, app.listen, app.port)
    port = "{port}" if asked.port is None and shared is None else asked.port or (shared and shared.port)
    return _bracketed(asked.host) + ("" if port is None or asked.is_usual else f":{port}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
