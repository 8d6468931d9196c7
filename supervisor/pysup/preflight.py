"""What can be known to be wrong before anything is written: what is not there, and what systemd cannot do here."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Collection
from pathlib import Path

from pysup import companions, names, revisions, states
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import Conversation
from pysup.bus.call import check as check_reply
from pysup.errors import EnvironmentProblem, NotFound, SpecError
from pysup.host import cgroups, cpus, delegation, features, ground, owners, ports, trust, users
from pysup.host.features import Feature
from pysup.isolate import Isolation
from pysup.isolation import account
from pysup.isolation import ground as isolation
from pysup.limits import Limits
from pysup.limits.table import directives, numbers
from pysup.listen import Listen
from pysup.render.service import dependency_unit, limits
from pysup.secret import reference
from pysup.store import Store
from pysup.unit import Scope


def check(app: App, scope: Scope, store: Store, *, strict: bool = False) -> None:
    """Raise SpecError for the first thing that would keep *app* from being executed, or have root execute it unsaid.

    A directory of log files may be missing, for ``prepare`` makes it; but not with *strict*.
    """
    _check_root(app, scope, store)
    _check_accounts(app, scope)
    if not os.path.isdir(app.cwd):  # noqa: PTH112 (cheaper than a Path, and this is on the start path)
        raise SpecError(f"app {app.name!r}: cwd {app.cwd!r} is not a directory", hint="Create it, or name another.")
    _check_program(app, scope)
    for file in app.env_files:
        if not Path(file).is_file():
            raise SpecError(f"app {app.name!r}: env file {file!r} is not there", hint="Check the path.")
        if any(char in file for char in "*?["):
            raise SpecError(f"app {app.name!r}: env file {file!r} would be a pattern", hint="Rename it without * ? [.")
    check_limits(app)
    _check_watch(app)
    _check_isolation(app, scope)
    if app.schedule:
        from pysup.host import calendar  # few have one

        calendar.check(app.schedule.calendar, app.name)
    for name, text in app.secrets.items():
        found = reference.read(text)
        is_file = found.kind in (reference.CREDENTIAL, reference.ENCRYPTED) and not found.is_blob
        if is_file and not Path(found.where).exists():
            raise SpecError(f"app {app.name!r}: secret {name!r}: {found.where!r} is not there", hint="Check the path.")
    _check_log_files(app, scope)
    for folder in _missing_log_folders(app):
        if strict or not folder.parent.is_dir():
            raise SpecError(
                f"app {app.name!r}: there is no directory {str(folder)!r} for its log files", hint=f"mkdir -p {folder}"
            )


def check_limits(app: App) -> None:
    """Raise SpecError for devices, CPUs or NUMA nodes that this machine does not have."""
    check_parts(app.limits, f"app {app.name!r}: limits")
    for number, own in app.instance_limits.items():
        check_parts(own, f"app {app.name!r}: instance_limits.{number}")
    check_parts(app.total, f"app {app.name!r}: total")


def check_parts(limits: Limits, where: str) -> None:
    """The same. systemd would leave the limit of a device out, and say so in its log only; and start nothing without a
    CPU, or node, that is there.
    """
    for named, there, what in (
        (limits.cpus, cpus.present, "CPU"),
        (limits.cpu_affinity, cpus.present, "CPU"),
        (limits.numa_nodes, cpus.nodes, "NUMA node"),
    ):
        if named and not {*named} & {*there()}:
            raise SpecError(
                f"{where}: there is no {what} {numbers(named)} here", hint=f"There are: {numbers(there())}."
            )
    for name in ("io_read_max", "io_write_max"):
        _check_devices(getattr(limits, name), f"{where}.{name}")


def _check_devices(rates: Collection[str], where: str) -> None:
    if not rates:
        return
    from pysup.host import devices  # few limit any

    for entry in rates:
        path = entry.rpartition(" ")[0]
        why = devices.objection(path)
        if why:
            raise SpecError(
                f"{where}: {path!r} cannot be limited: {why}",
                hint="Name a device such as /dev/vda, or a file or directory on one: lsblk and df show them.",
            )


def prepare(app: App) -> None:
    """Make the directories of its log files, as its account's; what is above them has to be there."""
    for folder in _missing_log_folders(app):
        try:
            if app.user and os.geteuid() == 0:
                owner = users.get(app.user)
                trust.make_folder(folder, owner.uid, owner.gid)
            else:
                folder.mkdir()
        except OSError as exc:
            raise SpecError(
                f"app {app.name!r}: the directory {str(folder)!r} for its log files cannot be made: {exc.strerror}",
                hint="Make it, or name another.",
            ) from exc


def _missing_log_folders(app: App) -> list[Path]:
    folders = dict.fromkeys(Path(where).parent for where in (app.log.output, app.log.error) if where.startswith("/"))
    return [folder for folder in folders if not folder.is_dir()]


def _check_log_files(app: App, scope: Scope) -> None:
    """Raise SpecError for a file of root's that the app's account would have to append to."""
    for where in trust.opened_by_account(app, scope):
        try:
            found = Path(where).lstat()
        except OSError:
            continue
        if found.st_uid == 0 and not found.st_mode & stat.S_IWOTH:
            raise SpecError(
                f"app {app.name!r}: {where} is root's, in a directory that {app.user} may change",
                hint=f"systemd must not open it as root there. Give it to the app: chown -h {app.user} {where}",
            )


def _check_root(app: App, scope: Scope, store: Store) -> None:
    if scope is Scope.USER or not account.is_unsaid(app) or owners.may_be_root() or revisions.is_restoring():
        return
    known = store.find(app.name)
    account.check(app, known.app if known else None, owners.of((*app.interpreter, *app.command), app.cwd))


def _check_accounts(app: App, scope: Scope) -> None:
    if (app.user or app.group) and scope is Scope.USER:
        raise SpecError(
            f"app {app.name!r}: user and group can be chosen for the machine's apps only",
            hint="Your own apps run as yourself. As root: sudo pysup start … --uid NAME",
        )
    if app.user:
        users.get(app.user)
    if app.group:
        users.get_group_id(app.group)
    for listen in app.listen:
        _check_socket_file(app, listen, scope)


def _check_socket_file(app: App, listen: Listen, scope: Scope) -> None:
    if listen.port is None and ports.is_taken_by_a_file(listen.address):
        raise SpecError(
            f"app {app.name!r} cannot listen on {listen.address}: there is a file that is no socket",
            hint=f"Look at it, and take it away: ls -l {listen.address}",
        )
    if listen.owner and users.get(listen.owner).uid != os.getuid() and scope is Scope.USER:
        raise SpecError(
            f"app {app.name!r}: your own systemd cannot give {listen.address} to {listen.owner!r}",
            hint="It is yours. Let others in by mode=0666, or by a group that you are in: group=NAME,mode=0660.",
        )
    if listen.group and users.get_group_id(listen.group) not in (os.getgid(), *os.getgroups()) and scope is Scope.USER:
        raise SpecError(
            f"app {app.name!r}: you are not in group {listen.group!r}, so {listen.address} cannot have it",
            hint="See which you are in: id. As root: sudo pysup start --system …, with --uid for the account.",
        )


def _check_watch(app: App) -> None:
    if not app.watch:
        return
    if importlib.util.find_spec("watchfiles") is None:
        raise EnvironmentProblem(
            f"app {app.name!r}: watching files takes the library watchfiles, which is not installed",
            hint="Type: pip install 'pysup-systemd[watch]'",
        )
    for path in app.watch.paths:
        if not Path(app.cwd, path).exists():
            raise SpecError(
                f"app {app.name!r}: there is no {path!r} to watch",
                hint=f"Relative paths begin at its directory, {app.cwd}.",
            )


def _check_isolation(app: App, scope: Scope) -> None:
    if app.isolate == Isolation():
        return
    filters = features.supports("IPAddressDeny", features.OLDEST, cgroups.hierarchy())
    isolation.check(app, scope, namespaces=ground.has_user_namespaces(), filters=filters)
    for path in app.isolate.devices:
        if Path(path).exists() and not (Path(path).is_char_device() or Path(path).is_block_device()):
            raise SpecError(
                f"app {app.name!r}: isolate.devices: {path!r} is no device",
                hint="Name each by itself, such as /dev/dri/renderD128: a directory opens none that is in it.",
            )
    for name in ("writable", "readable", "devices"):
        for path in getattr(app.isolate, name):
            if not Path(path).exists():
                raise SpecError(
                    f"app {app.name!r}: isolate.{name}: {path!r} is not there",
                    hint="Check the path." if name != "writable" else f"Make it, as its account's: mkdir -p {path}",
                )


def _check_program(app: App, scope: Scope) -> None:
    program = app.argv[0]
    if not os.path.exists(program):  # noqa: PTH110
        raise SpecError(f"app {app.name!r}: {program!r} is not there", hint="Check the path of the program.")
    if os.path.isdir(program) or not os.access(program, os.X_OK):  # noqa: PTH112
        raise SpecError(f"app {app.name!r}: {program!r} is not executable", hint=f"chmod +x {program}")
    script = app.command[0] if len(app.interpreter) == 1 and app.command else ""  # with -c or -m, it is another thing
    if script.startswith("/") and not os.path.exists(script):  # noqa: PTH110
        raise SpecError(f"app {app.name!r}: {script!r} is not there", hint="Check the path of the script.")
    has_view = app.isolate.level.hides_homes or app.service  # of its own, in which the way to it may be open
    if scope is Scope.SYSTEM and app.user and not has_view:
        _check_way(app, program)


def _check_way(app: App, program: str) -> None:
    """Raise SpecError for a program that its account cannot execute: it would end without a word."""
    owner = users.get(app.user)
    place = "" if owner.uid == 0 else users.stopped_at(owner, program, group=users.group_id(app.group))
    if place:
        raise SpecError(
            f"app {app.name!r}: {owner.name} may not execute {program}: {place} is closed to it",
            hint="Take a program that all may execute (/usr/bin/…; --interpreter for a script's), or open that: "
            f"chmod a+x {place}",
        )


def ask(app: App, scope: Scope) -> Conversation[tuple[str, ...]]:
    """Raise NotFound for what *app* requires and is not there; notes on what it only wants, or asks in vain."""
    yield from _credentials(app, scope)
    yield from _check_ports(app, scope)
    missing = yield from _dependencies(app)
    yield from _reserved_for(app)
    vain = yield from without_effect(app, scope)
    left_out = isolation.notes(app, scope, namespaces=ground.has_user_namespaces())
    return (*missing, *vain, *_strangers(app, scope), *left_out)


def _strangers(app: App, scope: Scope) -> tuple[str, ...]:
    """A note on each file that is read as root for an app of the machine's, and that somebody else may change."""
    if scope is Scope.USER:
        return ()
    if users.is_root(app.user) and not app.isolate.dynamic_user:
        files, harm = [*app.env_files], "and so have it run what they like as root"
    else:
        files = [*app.env_files, *(where for text in app.secrets.values() if (where := reference.path(text)))]
        harm = "which root reads for it: by a link in its place, it is handed what only root may read"
    return tuple(f"others than root can change {file}, {harm}" for file in files if trust.stranger(file) is not None)


def version() -> Conversation[int]:
    """The number of this systemd."""
    (told,) = yield [systemd1.manager_property("Version")]
    return features.parse_version(str(check_reply(told)[0])) or features.OLDEST


def _check_ports(app: App, scope: Scope) -> Conversation[None]:
    """Raise SpecError for ports that a user's own manager may not open."""
    first = ports.first_free() if app.listen and scope is Scope.USER else 0
    low = next((one.port for one in app.listen if one.port is not None and one.port < first), None)
    if low is None:
        return
    (reply,) = yield [systemd1.process_id()]
    if not ports.may_open_all(int(str(check_reply(reply)[0]))):
        why = ports.reserved(low)
        raise SpecError(f"app {app.name!r} cannot listen on {low}: {why.what}", hint=why.remedy)


def _dependencies(app: App) -> Conversation[tuple[str, ...]]:
    units = {dependency_unit(name): name for name in (*app.requires, *app.wants)}
    found = (yield from states.load_states(units)) if units else {}
    missing = {unit: state for unit, state in found.items() if state != "loaded"}
    required = {dependency_unit(name) for name in app.requires}
    for unit, state in missing.items():
        if unit in required:
            raise NotFound(f"app {app.name!r} requires {units[unit]!r}: {unit} is {state}", hint=_remedy(unit, state))
    return tuple(f"it wants {units[unit]!r}, but {unit} is {state}" for unit, state in missing.items())


def _reserved_for(app: App) -> Conversation[None]:
    """Raise NotFound if CPUs are left free for what is not there."""
    if app.reserve_for:
        found = yield from states.load_states([app.reserve_for])
        state = found[app.reserve_for]
        if state != "loaded":
            raise NotFound(
                f"app {app.name!r} reserves CPUs for {app.reserve_for}, which is {state}",
                hint="systemctl list-unit-files shows what there is; a user's own systemd has none of the machine's.",
            )


def _credentials(app: App, scope: Scope) -> Conversation[None]:
    """Raise SpecError for a credential that this systemd cannot hand over."""
    encrypted = [name for name, text in app.secrets.items() if reference.read(text).is_encrypted]
    globs = [name for name in app.secrets if name.endswith("*")]
    if not encrypted and not globs:
        return
    there = yield from version()
    since = features.since("LoadCredentialEncrypted", scope)
    if encrypted and there < since:
        raise SpecError(
            f"app {app.name!r}: secret {encrypted[0]!r} is encrypted, which needs systemd {since}; this is {there}",
            hint="Use credential:PATH, a file that only its owner can read"
            + ("; or run it as root, with --system." if scope is Scope.USER else "."),
        )
    since = features.since("ImportCredential", scope)
    if globs and there < since:
        raise SpecError(
            f"app {app.name!r}: secret {globs[0]!r} stands for several, which needs systemd {since}; this is {there}",
            hint="Name each of them.",
        )


def _remedy(unit: str, state: str) -> str:
    if state == "masked":
        return f"systemctl unmask {unit}"
    if unit.startswith(names.PREFIX):
        return "Start that app first."
    return f"Install what brings {unit}, or take it out of requires; systemctl list-unit-files shows what there is."


def without_effect(app: App, scope: Scope) -> Conversation[tuple[str, ...]]:
    """A note for each directive of the app's that has no effect with this systemd or on this machine."""
    return said((yield from in_vain(app, scope)), scope)


def unknown_directives(app: App) -> tuple[str, ...]:
    """A note on each extra directive that systemd would pass over, and say so in its log only; runs a program."""
    if not app.unit and not app.service:
        return ()
    from pysup.host.directives import unknown  # few apps have extras

    return tuple(
        f"{key} is no directive for [{section}] that this systemd knows, and does nothing: check how it is written"
        for section, extras in (("Unit", app.unit), ("Service", app.service))
        for key in unknown(section, extras)
        if key not in features.BY_DIRECTIVE  # those have a note of their own
    )


def said(vain: Collection[Feature], scope: Scope) -> tuple[str, ...]:
    """The same in words, with what would change it if that is a matter of what users' managers are given."""
    notes = [str(one) for one in vain]
    controllers = {one.controller for one in vain} - {""}
    if controllers and scope is Scope.USER and cgroups.hierarchy() is cgroups.Hierarchy.V2:
        missing = " ".join(sorted(controllers - cgroups.here().delegated(os.getuid())))
        write = f"sudo pysup doctor --fix (it writes {delegation.DROP_IN}: {delegation.LINE})"
        notes += [f"your own systemd is not given {missing}: {write}"] if missing else []
    return tuple(notes)


def in_vain(app: App, scope: Scope) -> Conversation[list[Feature]]:
    """What the app asks for and this systemd, or this machine, does not have."""
    single = [one for limited in app.instance_limits.values() for one in directives(limited)]
    held = [*limits(companions.limits(app), app.nice), *single, *directives(app.total)]
    kept = ["AllowedCPUs"] if app.reserve_for else []
    return (yield from _lacking({*(directive for directive, _ in held), *kept, *app.unit, *app.service}, scope))


def limits_in_vain(limits: Limits, scope: Scope) -> Conversation[list[Feature]]:
    """The same for limits of a slice."""
    return (yield from _lacking({directive for directive, _ in directives(limits)}, scope))


def _lacking(wanted: Collection[str], scope: Scope) -> Conversation[list[Feature]]:
    if not any(feature.directive in wanted for feature in features.FEATURES):
        return []
    there = yield from version()
    controllers = cgroups.here().delegated(os.getuid()) if scope is Scope.USER else None
    missing = features.lacking(there, cgroups.hierarchy(), controllers=controllers)
    return [one for one in missing if one.directive in wanted]
