"""Taking apps over from a PM2 that runs: what would be done, doing it app by app, and undoing it.

Where an app's socket can be shared, pysup's instances stand beside PM2's before those go; else PM2's stop first, and
start again if pysup's do not come up. Nothing is lost on the way: what PM2 had is kept beside its dump.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysup.app import App
from pysup.convert import dump, pm2, shapes
from pysup.convert.draft import Kind, Note
from pysup.convert.dump import Running
from pysup.errors import Conflict, EnvironmentProblem, NotFound, PysupError, SpecError
from pysup.files import document
from pysup.files.problems import Malformed
from pysup.host import users
from pysup.host.pm2 import Bound, Pm2
from pysup.sync import Manager
from pysup.unit import Scope

Tell = Callable[[str], None]
DRAIN = 6.0
"""Seconds that PM2's processes have to answer what they were asked; Node keeps idle connections for five."""

_SITE = "PM2's own server of files, which needs PM2's package; this needs none"
_KEPT_UNIT = ".pysup-import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One app: as pysup will have it, as PM2 has it, and the sockets that both can share meanwhile."""

    app: App
    running: Running
    shared: tuple[Bound, ...] = ()

    @property
    def way(self) -> str:
        """What is done, in words."""
        if self.running.stopped:
            return "stopped in PM2: known to pysup, not started"
        if self.shared:
            ports = ", ".join(str(one.port) for one in self.shared)
            return f"pysup's instances join PM2's on port {ports}, then PM2's go: no gap"
        return "PM2's stop, then pysup's start: a short gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be taken over, in PM2's order; ``alive`` whether its daemon runs."""

    pm2: Pm2
    steps: tuple[Step, ...]
    notes: tuple[Note, ...]
    alive: bool
    unit: Path | None


def plan(source: Pm2, scope: Scope, *, only: Sequence[str] = ()) -> Plan:
    """Look at PM2 and say what would be done; nothing is. Raises EnvironmentProblem where there is no PM2."""
    _require_own(source)
    found = dump.apps(source.processes(), home=source.home, node=source.node)
    notes = [
        Note(one.name, "module", Kind.REFUSED, "a module of PM2's: it goes with PM2") for one in found if one.module
    ]
    notes += [
        Note(one.name, "script", Kind.CHANGED, f"{_SITE}: {shapes.serve(shapes.site(one.app))}")
        for one in found
        if dump.is_site(one.app) and (not only or one.name in only)
    ]
    there = {one.name for one in found if not one.module}
    for name in only:
        if name not in there:
            raise NotFound(f"PM2 has no app {name!r}", hint=f"It has: {', '.join(sorted(there)) or 'none'}.")
    running = [one for one in found if not one.module and (not only or one.name in only)]
    if not running:
        raise EnvironmentProblem("PM2 has no apps to take over", hint="pm2 list shows what it has.")
    made = pm2.convert([one.app for one in running], file=source.dump, cwd=Path("/"), home=source.home.parent)
    made = pm2.run_by("root", made) if scope is Scope.SYSTEM else made
    alive = source.pid is not None
    tables: dict[str, Any] = made.document["apps"]
    pairs = list(zip(running, tables, strict=True))
    shared = _sockets(pairs, tables, source.listening() if alive else [])
    try:
        apps = {app.name: app for app in document.of(made.document, str(source.dump), scope=scope).apps}
    except Malformed as exc:
        hint = "Take the others: pysup import --from-pm2 --only NAME,NAME. Or have PM2 forget it: pm2 delete NAME."
        raise SpecError(exc.message, hint=hint) from exc
    return Plan(
        pm2=source,
        steps=tuple(Step(app=apps[name], running=one, shared=shared.get(name, ())) for one, name in pairs),
        notes=(*notes, *made.notes),
        alive=alive,
        unit=source.startup_unit(),
    )


def carry_out(wanted: Plan, manager: Manager, tell: Tell) -> None:
    """Take the apps over, one by one. If one does not come up, PM2 keeps it and the rest, and its error is raised."""
    _refuse_known(wanted, manager)
    wanted.pm2.keep()
    for step in wanted.steps:
        tell(f"{step.app.name}: {step.way if wanted.alive else 'started'}")
        _take_over(step, wanted, manager)
    names = [step.app.name for step in wanted.steps]
    if wanted.unit or not wanted.alive:
        manager.save(names)
        tell(f"Saved, so that they come back at boot: {', '.join(names)}")
    _end_pm2(wanted, tell)


def undo(source: Pm2, manager: Manager, tell: Tell, *, dry_run: bool = False) -> list[str]:
    """Give the apps back to PM2, by its dump; the names of those that pysup has no more, or would have."""
    _require_own(source)
    if not source.kept.exists() and not source.dump.exists():
        raise EnvironmentProblem(
            f"there is no {source.dump}, from which PM2 would start its apps again", hint="Start them: pm2 start …"
        )
    mine = [app.name for app in manager.list() if app.spec and app.spec.origin == str(source.dump)]
    if not mine:
        raise Conflict("no app was taken over from there", hint="pysup list shows what there is.")
    source.require_command()
    if dry_run:
        tell(f"{', '.join(mine)}: deleted, and started by PM2 again")
        return mine
    manager.delete(mine)
    tell(f"Deleted: {', '.join(mine)}")
    _restore_unit(source, tell)
    source.resurrect()
    tell("PM2 has them again.")
    return mine


def _take_over(step: Step, wanted: Plan, manager: Manager) -> None:
    """Have pysup run what PM2 ran."""
    if step.running.stopped:
        manager.define(step.app)
    elif not wanted.alive:
        _start(step.app, manager)
    elif not _join(step, wanted.pm2, manager):
        _replace(step, wanted.pm2, manager)
    if wanted.alive:
        wanted.pm2.command("delete", step.running.name)


def _join(step: Step, source: Pm2, manager: Manager) -> bool:
    """Have pysup's instances stand beside PM2's, and then take all that is new; False if no socket is to be had."""
    with ExitStack() as held:
        taken = [source.take(one) for one in step.shared]
        shared = [held.enter_context(one) for one in taken if one]
        if not shared or len(shared) < len(step.shared):
            return False
        _start(step.app, manager)
        for one in shared:
            one.yield_to_the_other()
        _drain(step, source)
    return True


def _drain(step: Step, source: Pm2) -> None:
    """Let PM2's processes answer what they have; connections that are kept open longer are cut, as at any stop."""
    ports = {one.port for one in step.shared}
    deadline = time.monotonic() + DRAIN
    while source.connections(step.running.pids, ports) and time.monotonic() < deadline:
        time.sleep(0.05)  # the kernel tells nobody of other processes' connections


def _replace(step: Step, source: Pm2, manager: Manager) -> None:
    """PM2's go before pysup's come, and come back if those do not."""
    source.command("stop", step.running.name)
    try:
        _start(step.app, manager)
    except PysupError:
        source.command("restart", step.running.name)
        raise


def _start(app: App, manager: Manager) -> None:
    """Start it; if it does not come up it is gone again."""
    try:
        manager.start(app)
    except PysupError:
        manager.delete(app.name)
        raise


def _end_pm2(wanted: Plan, tell: Tell) -> None:
    """Nothing is left for PM2 to do: its daemon ends, and does not come back at boot."""
    left = [one for one in wanted.pm2.processes() if wanted.pm2.pid] if wanted.alive else []
    if left:
        tell(f"PM2 keeps: {', '.join(sorted({str(one.get('name')) for one in left}))}")
        return
    if wanted.unit and os.geteuid() == 0:
        _systemctl("disable", "--now", wanted.unit.name)
        wanted.unit.rename(_kept(wanted.pm2, wanted.unit))
        _systemctl("daemon-reload")
        tell(f"Removed: {wanted.unit}")
    elif wanted.unit:
        tell(f"To have PM2 no longer start at boot, type as root: systemctl disable --now {wanted.unit.name}")
    if wanted.pm2.pid:
        wanted.pm2.command("kill")
        tell("PM2's daemon has ended. To undo all this: pysup import --from-pm2 --undo")


def _restore_unit(source: Pm2, tell: Tell) -> None:
    kept = next(source.home.glob(f"*.service{_KEPT_UNIT}"), None)
    if kept is None or os.geteuid() != 0:
        return
    unit = Path("/etc/systemd/system", kept.name.removesuffix(_KEPT_UNIT))
    kept.rename(unit)
    _systemctl("daemon-reload")
    _systemctl("enable", unit.name)
    tell(f"Restored: {unit}")


def _kept(source: Pm2, unit: Path) -> Path:
    return source.home / f"{unit.name}{_KEPT_UNIT}"


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PysupError(f"systemctl {' '.join(words)} failed: {done.stderr.strip()}", hint="Do it as root.")


def _sockets(
    pairs: Sequence[tuple[Running, str]], tables: Mapping[str, dict[str, Any]], bound: Sequence[Bound]
) -> dict[str, tuple[Bound, ...]]:
    """Give each app of PM2's cluster the addresses that the daemon really holds for it; what both can share."""
    clustered = [name for one, name in pairs if one.cluster and not one.stopped]
    if not bound or not clustered:
        return {}
    found = {name: [one for one in bound if one.port in _ports(tables[name])] for name in clustered}
    claimed = [one for each in found.values() for one in each]
    unclaimed = [one for one in bound if one not in claimed]
    lost = [name for name in clustered if not found[name]]
    if len(lost) == 1:
        found[lost[0]] = unclaimed
    for name, each in found.items():
        tables[name].pop("listen", None)
        if each:
            tables[name]["listen"] = [f"{_address(one)},reuseport" for one in each]
            tables[name].setdefault("ready", "notify")
        elif tables[name].get("ready") == "notify":
            del tables[name]["ready"]
    return {name: tuple(each) for name, each in found.items() if each}


def _ports(table: Mapping[str, Any]) -> list[int]:
    return [int(str(one).rpartition(":")[2]) for one in table.get("listen", [])]


def _address(bound: Bound) -> str:
    if bound.host in ("::", "0.0.0.0"):  # noqa: S104 (as PM2 has it)
        return str(bound.port)
    return f"[{bound.host}]:{bound.port}" if ":" in bound.host else f"{bound.host}:{bound.port}"


def _refuse_known(wanted: Plan, manager: Manager) -> None:
    there = {app.name for app in manager.list()}
    twice = [step.app.name for step in wanted.steps if step.app.name in there]
    if twice:
        raise Conflict(
            f"pysup has apps of these names already: {', '.join(twice)}",
            hint=f"Delete them (pysup delete {twice[0]}), or take the others: --only NAMES.",
        )


def _require_own(source: Pm2) -> None:
    owner = source.home.stat().st_uid if source.home.exists() else os.geteuid()
    if owner != os.geteuid():
        name = users.name(owner)
        raise EnvironmentProblem(
            f"the PM2 in {source.home} is {name}'s", hint=f"Take it over as that user: sudo -iu {name} pysup import …"
        )
