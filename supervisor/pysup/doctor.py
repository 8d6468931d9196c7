"""What is wrong with apps and their units, though nobody was told: checks over the files, and what systemd says.

The machine itself is looked at by ``pysup.host.doctor``.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pysup import disk, hooks, local, names, preflight, sockets, states, status
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import Conversation
from pysup.bus.call import check as values_of
from pysup.errors import PysupError
from pysup.events import HookRan
from pysup.explain import explain
from pysup.host import cgroups, features, files, ground, users
from pysup.host.doctor import Check, Fix, Status
from pysup.journal import words
from pysup.render import File
from pysup.states import UnitState
from pysup.store import Store, Stored
from pysup.unit import ActiveState, AppStatus, Scope
from pysup.unitfile import parse

_SECRET = re.compile(
    r"passw(or)?d|passphrase|token|secret|credential|(api|private|access|signing)[_-]?key", re.IGNORECASE
)
_IDLE = (ActiveState.INACTIVE, ActiveState.FAILED)
_UNITS = (".service", ".slice", ".socket")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """What the checks look at: the apps, and the units of ours that systemd has loaded, apps' or not."""

    store: Store
    scope: Scope
    apps: Mapping[str, Stored]
    units: Mapping[str, UnitState]
    stale: Sequence[str]
    version: int

    @property
    def systemctl(self) -> str:
        return "systemctl --user" if self.scope is Scope.USER else "systemctl"

    @property
    def specs(self) -> list[App]:
        return [stored.app for stored in self.apps.values() if stored.app]


def checks(store: Store, scope: Scope) -> Conversation[list[Check]]:
    """Everything that can be checked about this scope's apps; one that says so when all is well."""
    apps = status.read(store)
    units = yield from states.loaded([f"{names.PREFIX}*"], detail=True)
    alive = [unit for unit, state in units.items() if state.active_state is not ActiveState.INACTIVE]
    replies = yield [systemd1.get(systemd1.unit_path(unit), systemd1.UNIT, "NeedDaemonReload") for unit in alive]
    stale = [unit for unit, reply in zip(alive, replies, strict=True) if isinstance(reply, tuple) and reply[0] is True]
    (version,) = yield [systemd1.manager_property("Version")]
    patient = _Patient(
        store=store,
        scope=scope,
        apps=apps,
        units=units,
        stale=stale,
        version=features.parse_version(str(values_of(version)[0])) or features.OLDEST,
    )
    found = [check for look in _LOOKS for check in look(patient)]
    if all(check.status in (Status.OK, Status.INFO) for check in found):
        found.append(Check(name="apps", status=Status.OK, message=f"nothing wrong with any, of {len(apps)}"))
    return found


def fix(found: Iterable[Check]) -> Conversation[list[Fix]]:
    """Write what mends these, as root; what was written. Raises NotPermitted for others."""
    fixes = list(dict.fromkeys(check.fix for check in found if check.fix))
    for one in fixes:
        with disk.writing(one.path.parent):
            disk.make(one.path.parent)
            disk.replace(one.path.parent, one.path.name, File(one.text))
    if fixes:
        (reply,) = yield [systemd1.reload()]
        values_of(reply)
    return fixes


def _failed(patient: _Patient) -> Iterator[Check]:
    for app in patient.apps.values():
        found = status.assemble(app, patient.units, patient.scope)
        for one in found.instances:
            if one.active_state is ActiveState.FAILED:
                why = explain(one, app.app)
                yield Check(
                    name=str(one.name),
                    status=Status.FAIL,
                    message=f"failed, and systemd leaves it so: {why.what if why else one.result}",
                    remedy=f"{(why and why.remedy) or 'Mend it.'} Then type: pysup start {one.name}",
                )
        yield from _restless(found)


def _restless(app: AppStatus) -> Iterator[Check]:
    for one in app.instances:
        if one.state == "auto-restart":
            yield Check(
                name=str(one.name),
                status=Status.WARN,
                message=f"it keeps ending: systemd is starting it again, {one.restarts} times by now",
                remedy=f"Type: pysup describe {one.name}",
            )


def _other_units(patient: _Patient) -> Iterator[Check]:
    """Sockets, targets, jobs … that failed: systemd does not try them again."""
    for unit, state in patient.units.items():
        if state.active_state is ActiveState.FAILED and names.parse_instance(unit) is None:
            yield Check(
                name=unit,
                status=Status.FAIL,
                message="failed, and systemd leaves it so",
                remedy=f"See why: {patient.systemctl} status {unit}. Then: {patient.systemctl} reset-failed {unit}",
            )


def _orphans(patient: _Patient) -> Iterator[Check]:
    for unit, state in patient.units.items():
        name = names.parse_instance(unit)
        if name is None or state.active_state in _IDLE:
            continue
        app = patient.apps.get(name.app)
        if app is None or name.number not in app.numbers:
            what = "its app's files are gone" if app is None else f"app {name.app!r} does not want that many"
            yield Check(
                name=str(name),
                status=Status.WARN,
                message=f"it runs, but {what}",
                remedy=f"Type: {patient.systemctl} stop {unit}",
            )


def _deaf(patient: _Patient) -> Iterator[Check]:
    """Apps whose sockets are down while instances run, and instances that were started without their descriptors."""
    for name, stored in patient.apps.items():
        app = stored.app
        if app is None or not app.listen:
            continue
        running = [
            unit
            for unit in (names.instance_unit(name, number) for number in stored.numbers)
            if patient.units.get(unit) and patient.units[unit].active_state is ActiveState.ACTIVE
        ]
        dead = [
            unit
            for unit in sockets.all_units(app, stored.numbers)
            if running and (unit not in patient.units or patient.units[unit].active_state in _IDLE)
        ]
        count = len(app.listen) + (app.probed is not None)
        deaf = [unit for unit in running if not _has_descriptors(patient.units[unit].pid, count)]
        if dead or deaf:
            yield Check(
                name=name,
                status=Status.FAIL,
                message=f"not all of it can be reached: {', '.join((*dead, *deaf))} without a listening socket",
                remedy=f"Type: pysup stop {name} && pysup start {name}",
            )


def _has_descriptors(pid: int, count: int) -> bool:
    """Whether systemd handed so many sockets to a process; True where its environment may not be read."""
    environment = files.read(f"/proc/{pid}/environ")
    return environment is None or not environment or f"LISTEN_FDS={count}".encode() in environment.split(b"\0")


def _corrupt(patient: _Patient) -> Iterator[Check]:
    for name, app in patient.apps.items():
        if app.problem:
            yield Check(name=name, status=Status.FAIL, message=app.problem.message, remedy=app.problem.hint)


def _edited(patient: _Patient) -> Iterator[Check]:
    for name, app in patient.apps.items():
        template = names.template_unit(name)
        if app.app and patient.store.is_edited(name):
            yield Check(
                name=name,
                status=Status.WARN,
                message=f"{app.directory / template} was changed by hand; pysup's next change of the app undoes that",
                remedy=f"Put it into a file of its own: {patient.systemctl} edit {template}",
            )
        foreign = ", ".join(map(str, patient.store.foreign(name)))
        if foreign:
            yield Check(name=name, status=Status.INFO, message=f"others add to its units: {foreign}")


def _stale(patient: _Patient) -> Iterator[Check]:
    if patient.stale:
        yield Check(
            name="units",
            status=Status.WARN,
            message=f"systemd has not read these as they are now: {', '.join(patient.stale)}",
            remedy=f"Type: {patient.systemctl} daemon-reload",
        )


def _not_enabled(patient: _Patient) -> Iterator[Check]:
    for name, app in patient.apps.items():
        target = names.target_unit(name)
        if (
            app.saved
            and app.app
            and app.app.autostart
            and not (app.directory / f"{patient.store.boot_target}.wants" / target).is_symlink()
        ):
            yield Check(
                name=name,
                status=Status.FAIL,
                message=f"it is saved, but {target} is not enabled: it will not start at boot",
                remedy=f"Type: {patient.systemctl} enable {target}",
            )


def _lingering(patient: _Patient) -> Iterator[Check]:
    caller = ground.Caller.now()
    saved = [name for name, app in patient.apps.items() if app.saved]
    if saved and patient.scope is Scope.USER and not users.lingering(caller.name):
        yield Check(
            name="boot",
            status=Status.FAIL,
            message=f"{', '.join(saved)}: saved, but without lingering nothing of {caller.name} starts at boot",
            remedy="Type: pysup startup",
        )


def _ports(patient: _Patient) -> Iterator[Check]:
    taken: dict[int, str] = {}
    told: set[tuple[str, str]] = set()
    for name, app in patient.apps.items():
        base = app.app.port if app.app else None
        for port in () if base is None else (base + number for number in app.numbers):
            other = taken.setdefault(port, name)
            if other != name and (other, name) not in told:
                told.add((other, name))
                yield Check(
                    name=name,
                    status=Status.WARN,
                    message=f"port {port} is {other}'s as well",
                    remedy=f"Give one of them other ports: pysup start {name} --force --port {_free(taken)}",
                )


def _free(taken: Mapping[int, str]) -> int:
    return min(max(taken) + 1, 65535)


def _secrets(patient: _Patient) -> Iterator[Check]:
    """Values that every user of the machine can see: arguments in /proc, directives over D-Bus."""
    for app in patient.specs:
        for where, word in (*_in_arguments(app), *_in_directives(app)):
            yield Check(
                name=app.name,
                status=Status.WARN,
                message=f"everybody on this machine can read {word} in {where}",
                remedy="Hand it over by --env or --env-file: only its own user can read those.",
            )


def _in_arguments(app: App) -> Iterator[tuple[str, str]]:
    for word, following in zip(app.argv, (*app.argv[1:], ""), strict=True):
        option, equals, value = word.partition("=")
        if not _SECRET.search(option) or not (equals or word.startswith("-")):
            continue
        value = value if equals else following
        if value and not value.startswith(("-", "/", "@", "$")):  # files, and what a shell fills in
            yield "its command", option


def _in_directives(app: App) -> Iterator[tuple[str, str]]:
    for value in app.service.get("Environment", ()):
        for key in re.findall(r"([A-Za-z_][A-Za-z0-9_]*)=", value):
            if _SECRET.search(key):
                yield "Environment=", key


def _modes(patient: _Patient) -> Iterator[Check]:
    for name, stored in patient.apps.items():
        own = stored.directory / names.environment_file(name)
        if _mode(own) & 0o077:
            yield _readable(name, own, Status.FAIL)
        for file in stored.app.env_files if stored.app else ():
            if _mode(Path(file)) & 0o004:
                yield _readable(name, Path(file), Status.WARN)


def _readable(name: str, file: Path, how_bad: Status) -> Check:
    message = f"others may read its environment in {file}"
    return Check(name=name, status=how_bad, message=message, remedy=f"Type: chmod go= {file}")


def _mode(file: Path) -> int:
    try:
        return file.stat().st_mode
    except OSError:
        return 0


def _next_start(patient: _Patient) -> Iterator[Check]:
    for app in patient.specs:
        try:
            preflight.check(app, patient.scope, patient.store, strict=True)
        except PysupError as exc:
            message = f"its next start will fail: {exc.message.removeprefix(f'app {app.name!r}: ')}"
            yield Check(name=app.name, status=Status.FAIL, message=message, remedy=exc.hint)


def _without_effect(patient: _Patient) -> Iterator[Check]:
    """Directives in the apps' units that this systemd, or this machine, does not know."""
    trees = cgroups.here()
    controllers = None if patient.scope is Scope.SYSTEM else trees.delegated(ground.Caller.now().uid)
    lacking = features.lacking(patient.version, trees.hierarchy, controllers=controllers)
    by_directive = {feature.directive: feature for feature in lacking}
    for name in patient.apps:
        units = [file for file in patient.store.files(name) if file.suffix in _UNITS or file.parent.suffix == ".d"]
        for directive in dict.fromkeys((one.key, one.value) for file in units for one in parse(_text(file))):
            written = "=".join(directive)
            lacks = by_directive.get(directive[0]) or by_directive.get(written)
            if lacks:
                yield Check(
                    name=name,
                    status=Status.WARN,
                    message=f"{written} does not work here: {lacks.without}",
                    remedy="The lines named 'feature' say what it takes.",
                )


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _hooks(patient: _Patient) -> Iterator[Check]:
    """Hooks that went wrong within a day."""
    uid, yesterday = local.owner(patient.scope), time.time() - 86400
    wrong: dict[tuple[str, str], HookRan] = {}
    if hooks.are_there(patient.store):
        with contextlib.suppress(PysupError):  # the journal may not be read: a check of the machine's says so
            for event in words.of_pysup(patient.scope, uid, since=yesterday):
                if isinstance(event, HookRan):
                    wrong[event.app, event.hook] = event
    for event in wrong.values():
        if event.problem:
            yield Check(
                name=event.app,
                status=Status.WARN,
                message=f"its hook {event.hook} went wrong: {event.problem}",
                remedy=f"See and mend it: pysup hooks {event.app}; then try: pysup hooks {event.app} --test",
            )


_LOOKS: tuple[Callable[[_Patient], Iterator[Check]], ...] = (
    _deaf,
    _corrupt,
    _failed,
    _other_units,
    _orphans,
    _edited,
    _stale,
    _not_enabled,
    _lingering,
    _next_start,
    _ports,
    _secrets,
    _modes,
    _without_effect,
    _hooks,
)
