"""All that there is to know about an app: its spec, its units, its instances, why they failed, what they said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pysup import cores, logs, status
from pysup.bus import systemd1
from pysup.bus.call import Conversation
from pysup.cores import Core
from pysup.explain import Explanation, conclude
from pysup.host import cgroups
from pysup.host.cgroups import InForce
from pysup.logs import Restarted
from pysup.store import Store
from pysup.unit import ActiveState, AppStatus, Instance, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceDescription:
    """An instance; ``limits`` are those in force, ``pids`` all of its processes, ``why`` what is wrong with it.
    ``core`` is the dump that its last exit left.

    ``restarted`` is the last restart that its schedule, its watch or its memory led to, ``ended`` why systemd started
    it again by itself, when it did so last. ``log`` has its last lines, oldest first; it is empty if the journal may
    not be read.
    """

    instance: Instance
    limits: InForce = InForce()  # noqa: RUF009 (a tuple)
    pids: tuple[int, ...] = ()
    why: Explanation | None = None
    core: Core | None = None
    ended: Explanation | None = None
    log: tuple[str, ...] = ()
    restarted: Restarted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An app, or some of its instances.

    ``files`` are its unit files, ``foreign`` those drop-ins among them that others made. ``is_edited`` when its
    template was changed by hand; ``is_stale`` when systemd has not read the files as they are now;
    ``is_env_hidden`` when the caller may not read the values of the environment, which are empty then.
    """

    app: AppStatus
    instances: tuple[InstanceDescription, ...]
    files: tuple[Path, ...]
    foreign: tuple[Path, ...]
    is_edited: bool
    is_stale: bool
    is_env_hidden: bool = False


def gather(store: Store, scope: Scope, selectors: str | Sequence[str]) -> Conversation[list[tuple[AppStatus, bool]]]:
    """The chosen apps, with the chosen ones of their instances; and whether systemd's picture of them is stale."""
    found = yield from status.apps(store, scope, selectors, detail=True)
    gathered = []
    for app in found:
        stale = yield from _is_stale(app)
        gathered.append((app, stale))
    return gathered


def complete(store: Store, gathered: Iterable[tuple[AppStatus, bool]], *, lines: int) -> list[Description]:
    """What was gathered, with what files, control groups and the journal tell; not to be done in an event loop."""
    return [
        Description(
            app=app,
            instances=tuple(_instance(app, one, lines) for one in app.instances),
            files=tuple(store.files(app.name)),
            foreign=tuple(store.foreign(app.name)),
            is_edited=app.spec is not None and store.is_edited(app.name),
            is_stale=stale,
            is_env_hidden=app.spec is not None and store.hides_environment(app.name),
        )
        for app, stale in gathered
    ]


def _is_stale(app: AppStatus) -> Conversation[bool]:
    """Whether systemd says so of any unit that it has loaded."""
    alive = [one.name.unit for one in app.instances if one.active_state is not ActiveState.INACTIVE]
    if not alive:
        return False
    replies = yield [systemd1.get(systemd1.unit_path(unit), systemd1.UNIT, "NeedDaemonReload") for unit in alive]
    return any(isinstance(reply, tuple) and reply[0] is True for reply in replies)


def _instance(app: AppStatus, one: Instance, lines: int) -> InstanceDescription:
    one = _with_last_exit(app, one)
    log = tuple(logs.last_lines(app.spec, app.scope, one.name, lines)) if app.spec and lines else ()
    group = one.control_group if one.pid else ""
    return InstanceDescription(
        instance=one,
        limits=cgroups.limits(group) if group else InForce(),
        pids=cgroups.here().pids(group) if group else (),
        why=conclude(one, app.spec, log),
        core=_core(app, one),
        ended=_ended(app, one),
        log=log,
        restarted=logs.last_restart(app.spec, app.scope, one.name) if app.spec and app.spec.has_companions else None,
    )


def _core(app: AppStatus, one: Instance) -> Core | None:
    end = one.last_exit
    return cores.find(app.scope, one.name, around=end.at) if end and end.signal is not None and end.at else None


def _ended(app: AppStatus, one: Instance) -> Explanation | None:
    """Why it is not the process that it was, from the journal: systemd has forgotten."""
    if not one.restarts or not one.is_up or not app.spec:
        return None
    result = logs.last_result(app.spec, app.scope, one.name) or "success"
    words = logs.watchdog_words(app.spec, app.scope, one.name) if result == "watchdog" else []
    then = one._replace(active_state=ActiveState.ACTIVATING, sub_state="auto-restart", result=result)
    return conclude(then, app.spec, words)


def _with_last_exit(app: AppStatus, one: Instance) -> Instance:
    """The instance with how it ended last; systemd forgets that as soon as it has started it again."""
    if one.last_exit or not one.restarts or not app.spec:
        return one
    return one._replace(last_exit=logs.last_exit(app.spec, app.scope, one.name))
