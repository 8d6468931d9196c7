"""What restarts an app, or runs it, by itself: a time, and files that change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pysup import check
from pysup.errors import SpecError


def _texts(values: Iterable[str] | str, field: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise SpecError(f"{field} is the text {values!r}, must be a list", hint=f"Write it as [{values!r}].")
    return tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Times at which an app is restarted or, if it is a job, run.

    ``when`` is what the user wrote, ``calendar`` what that is for systemd (``parse.schedule`` makes one of the other):
    systemd.time(7), "Calendar Events". ``catch_up`` runs a job once, soon after the boot, if its time came while the
    machine was off. ``random_delay`` is by how many seconds at most each run is put off, differently each time.
    """

    when: str
    calendar: tuple[str, ...]
    catch_up: bool = False
    random_delay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "calendar", _texts(self.calendar, "schedule.calendar"))
        for text in (self.when, *self.calendar):
            check.line(text, "schedule")
            if not text:
                raise SpecError("schedule is empty", hint="Write it like '0 3 * * *' or 'Mon..Fri 03:00'.")
        if not self.calendar:
            raise SpecError("schedule has no time", hint="Write it like '0 3 * * *' or 'Mon..Fri 03:00'.")
        check.not_negative(self.random_delay, "schedule.random_delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Files at whose change an app is restarted: all below ``paths`` (empty: its cwd), but for what is ignored.

    ``paths`` and ``ignore`` are absolute paths, or relative to the app's cwd; ``ignore`` may also have patterns with
    ``*`` and ``?`` for names (``*.tmp``) or for paths (``data/*``), and adds to what is ignored anyway. The restart
    comes once nothing has changed for ``delay`` seconds.
    """

    paths: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    delay: float = 0.2

    def __post_init__(self) -> None:
        for name in ("paths", "ignore"):
            object.__setattr__(self, name, _texts(getattr(self, name), f"watch.{name}"))
            for text in getattr(self, name):
                check.argument(text, f"watch.{name}")
                if not text:
                    raise SpecError(f"watch.{name} has an empty entry", hint="Take it out; '.' is the app's cwd.")
        check.positive(self.delay, "watch.delay")
