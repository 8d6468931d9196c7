"""What one can have done to apps and instances: the words for it, whether to ask first, and the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pysup.errors import PysupError, StartFailed
from pysup.manager import Manager
from pysup.tui.loglines import safe
from pysup.tui.rows import Row

_LAST_LINES = 5


class Verb(NamedTuple):
    """``doing`` and ``done`` are its forms; ``warning`` is what to say before it, None where nothing needs be asked.

    ``is_of_app`` is what cannot be done to one instance: it is done to its app.
    """

    name: str
    doing: str
    done: str
    call: Callable[[Manager, str], Awaitable[object]]
    warning: str | None = None
    is_of_app: bool = False

    def target(self, row: Row) -> str:
        """The selector of what it is done to."""
        return row.app if self.is_of_app else row.key

    def question(self, row: Row, instances: int) -> str:
        """What to ask first; *instances* is how many the app has."""
        is_whole = self.is_of_app or row.number is None
        size = f" and its {instances} instances" if is_whole and instances > 1 else ""
        return f"{self.name.capitalize()} {self.target(row)}{size}?"


START = Verb("start", "starting", "started", lambda manager, what: manager.start(what))
STOP = Verb(
    "stop", "stopping", "stopped", lambda manager, what: manager.stop(what), "It stays known: start starts it again."
)
RESTART = Verb(
    *("restart", "restarting", "restarted"),
    lambda manager, what: manager.restart(what),
    "It is down for a moment; reload replaces instances one by one.",
)
RELOAD = Verb(
    *("reload", "reloading", "reloaded"),
    lambda manager, what: manager.reload(what),
    "Instances are replaced one by one, by the code as it is now.",
    is_of_app=True,
)
DELETE = Verb(
    *("delete", "deleting", "deleted"),
    lambda manager, what: manager.delete(what),
    "It is stopped and forgotten: its unit files go. What it logged stays in the journal.",
    is_of_app=True,
)

VERBS = {verb.name: verb for verb in (START, STOP, RESTART, RELOAD, DELETE)}


def scale(count: int) -> Verb:
    """Have so many instances."""
    return Verb("scale", "scaling", "scaled", lambda manager, what: manager.scale(what, count), is_of_app=True)


def failure(exc: PysupError) -> str:
    """What went wrong, the last log lines if there are some, and what to do next."""
    log = [f"| {safe(line)}" for line in exc.log[-_LAST_LINES:]] if isinstance(exc, StartFailed) else []
    return "\n".join([safe(exc.message), *log, *([exc.hint] if exc.hint else [])])
