"""The story of an instance's last ends: how, by whom, what that means, its last lines, how often, what comes next."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pysup import cores, explain, history, local, logs
from pysup.app import App
from pysup.brakes import Specs
from pysup.cores import Core
from pysup.events import Asked, Event, Exited, Failed, Starting
from pysup.explain import Explanation
from pysup.host import cgroups
from pysup.host.cgroups import Strained
from pysup.journal import words
from pysup.store import Store
from pysup.unit import ActiveState, AppStatus, Exit, Instance

DAY, HOUR = 86400.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One end of an instance's main process; ``lived`` is how many seconds it had run, None if that is not known.

    ``log`` has the last lines of that run, oldest first; ``asked`` who asked for it, empty if nobody did with pysup;
    ``peak`` is the most memory that it used, in bytes, where systemd tells (255 and later).
    """

    exited: Exited
    meaning: Explanation | None
    lived: float | None = None
    asked: str = ""
    log: tuple[str, ...] = ()
    core: Core | None = None
    peak: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """An instance, how it is, and its last ends (the newest first). ``hourly`` and ``daily`` count unasked ends."""

    instance: Instance
    endings: tuple[Ending, ...]
    hourly: int
    daily: int
    next: str
    remedy: str = ""
    memory: Strained = Strained()  # noqa: RUF009 (a tuple)


def tell(store: Store, apps: Iterable[AppStatus], *, count: int, lines: int) -> list[Why]:
    """The stories of these instances; *count* ends of each, with so many lines. Raises NotPermitted."""
    return [_app(store, app, one, count, lines) for app in apps for one in app.instances]


def _app(store: Store, app: AppStatus, one: Instance, count: int, lines: int) -> Why:
    now = time.time()
    wanted = history.Wanted(
        scope=app.scope, uid=local.owner(app.scope), apps=frozenset(), instances=frozenset({one.name})
    )
    told = history.read(wanted, Specs(store), since=now - DAY, until=now)
    ends = [event for event in told if isinstance(event, Exited)]
    endings = tuple(_ending(app, one, end, told, lines) for end in reversed(ends[-count:] if count else []))
    unasked = [end.at for end in ends if not end.asked]
    has_given_up = any(isinstance(event, Failed) and event.gave_up for event in told[-3:])
    meaning = endings[0].meaning if endings else None
    return Why(
        instance=one,
        endings=endings,
        hourly=sum(at > now - HOUR for at in unasked),
        daily=len(unasked),
        next=what_next(one, app.spec, has_given_up=has_given_up),
        remedy=meaning.remedy if meaning else "",
        memory=cgroups.here().strained(one.control_group) if one.control_group else Strained(),
    )


def _ending(app: AppStatus, one: Instance, end: Exited, told: Sequence[Event], lines: int) -> Ending:
    before = [event for event in told if event.at <= end.at]
    starts = [event.at for event in before if isinstance(event, Starting) and event.invocation_id == end.invocation_id]
    began = starts[-1] if starts else None
    asked = [event for event in before if isinstance(event, Asked) and event.at > (began or 0)]
    log: tuple[str, ...] = ()
    if app.spec and lines:
        log = tuple(logs.lines_of_run(app.spec, app.scope, end, lines, since=began))
    core = cores.find(app.scope, one.name, around=end.at) if end.signal is not None else None
    return Ending(
        exited=end,
        meaning=_meaning(one, app.spec, end, log),
        lived=None if began is None else max(0.0, end.at - began),
        asked=_who(asked[-1]) if end.asked and asked else "",
        log=log,
        core=core,
        peak=words.peak(app.scope, local.owner(app.scope), one.name, end.invocation_id, ended=end.at),
    )


def _who(asked: Asked) -> str:
    return f"pysup {asked.verb}" + (f" by {asked.by}" if asked.by else "") + (f": {asked.why}" if asked.why else "")


def _meaning(one: Instance, app: App | None, end: Exited, log: Sequence[str]) -> Explanation | None:
    if end.asked and end.result == "success":
        return Explanation("it ended as it was asked to")
    code = 0 if end.code is None and end.signal is None and end.result == "success" else end.code
    as_it_was = one._replace(
        active_state=ActiveState.FAILED,
        sub_state="failed",
        result=end.result,
        restarts=0,
        last_exit=Exit(code=code, signal=end.signal, dumped=end.dumped, at=end.at),
    )
    return explain.conclude(as_it_was, app, log)


def what_next(one: Instance, app: App | None, *, has_given_up: bool = False) -> str:
    """What systemd does about it without being asked."""
    name = one.name
    if one.state == "auto-restart":
        delay = f" after {app.restart_delay:g} s" if app and app.restart_delay else ""
        return f"systemd starts it again{delay}"
    if one.active_state is ActiveState.FAILED:
        why = "it gave up" if has_given_up else "it leaves it so"
        return f"systemd does nothing: {why}. pysup start {name} tries again"
    if one.active_state is ActiveState.ACTIVATING:
        return "systemd is starting it"
    if not one.is_up:
        return f"nothing, until somebody starts it: pysup start {name}"
    if app is None or app.restart.value == "no":
        return "it runs; if it ends, it stays down" if app else "it runs"
    limit = app.restart_limit if not app.listen else 0
    brake = f", but gives up after {limit} starts in {app.restart_window:g} s" if limit else ""
    when = {"always": "if it ends", "on-success": "if it ends well"}.get(app.restart.value, "if it fails")
    return f"it runs; {when}, systemd starts it again{brake}"
