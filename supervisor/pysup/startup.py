"""What saved apps need at boot: for the machine's, a boot that reaches them; for a user's own, lingering."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pysup import names
from pysup.bus import login1, systemd1
from pysup.bus.blocking import BlockingConnection
from pysup.bus.call import Call, Conversation, T, check
from pysup.errors import BusError, EnvironmentProblem, NotPermitted
from pysup.host import ground, users
from pysup.unit import BOOT_TARGET, Scope

_DEFAULT = "default.target"
_PULLS = ("Requires", "Wants", "BindsTo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What the next boot will bring: the ``saved`` apps, and not the ``unsaved``. ``user`` is whose they are."""

    scope: Scope
    user: str
    saved: tuple[str, ...]
    unsaved: tuple[str, ...]


def enable(scope: Scope) -> Boot:
    """Have saved apps started at boot. For a user's own: lingering; it stays on until ``disable``.

    Raises NotPermitted with what to type as root, and EnvironmentProblem for a machine that boots to elsewhere.
    """
    if scope is Scope.SYSTEM:
        _require_boot_target()
    else:
        _linger(enable=True)
    return _boot(scope)


def disable(scope: Scope) -> Boot:
    """The opposite of ``enable``. The machine's own manager starts what is saved in any case."""
    if scope is Scope.USER:
        _linger(enable=False)
    return _boot(scope)


def reached(goal: str) -> Conversation[tuple[str, bool]]:
    """The target that the machine boots into, and whether *goal* is among what that pulls in."""
    todo, seen, default = [_DEFAULT], {_DEFAULT}, _DEFAULT
    while todo:
        paths = yield [systemd1.load_unit(unit) for unit in todo]
        calls = [_get(str(check(path)[0]), name) for path in paths for name in ("Id", *_PULLS)]
        values = [check(reply)[0] for reply in (yield calls)]
        found = {str(values[index]) for index in range(0, len(values), 1 + len(_PULLS))}
        if _DEFAULT in todo:
            default = str(values[0])  # default.target is a link: its Id is the name of what it leads to
        if goal in found:
            return default, True
        seen |= found
        pulled = {unit for value in values if isinstance(value, list) for unit in cast("list[str]", value)}
        todo = sorted(unit for unit in pulled - seen if unit.endswith(".target"))
        seen |= set(todo)
    return default, False


def _require_boot_target() -> None:
    goal = BOOT_TARGET[Scope.SYSTEM]
    default, is_reached = _converse(Scope.SYSTEM, reached(goal))
    if not is_reached:
        raise EnvironmentProblem(
            f"this machine boots into {default}, which does not start {goal} and the apps that hang on it",
            hint=f"As root, type: systemctl set-default {goal}",
        )


def _linger(*, enable: bool) -> None:
    account = users.name(os.geteuid())
    if users.lingering(account) is enable:
        return
    verb = "enable" if enable else "disable"
    remedy = f"Type: sudo loginctl {verb}-linger {account}"
    try:
        _converse(Scope.SYSTEM, _one(login1.set_user_linger(os.geteuid(), enable=enable)))
    except NotPermitted as exc:
        raise NotPermitted(f"user {account!r} may not {verb} lingering", hint=remedy) from exc
    except BusError as exc:
        raise EnvironmentProblem(
            f"systemd-logind, which keeps who may linger, does not answer: {exc}",
            hint=f"{remedy} (is the package libpam-systemd there?)",
        ) from exc


def _boot(scope: Scope) -> Boot:
    saved = _apps(ground.saved_dir(scope))
    try:
        runtime = _apps(ground.runtime_dir(scope))
    except EnvironmentProblem:  # a user's manager that has not come up yet has none
        runtime = set()
    return Boot(
        scope=scope,
        user=users.name(os.geteuid()),
        saved=tuple(sorted(saved)),
        unsaved=tuple(sorted(runtime - saved)),
    )


def _apps(directory: Path) -> set[str]:
    try:
        found: Iterable[str | None] = map(names.parse_template, os.listdir(directory))  # noqa: PTH208 (names are wanted)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {app for app in found if app}


def _converse(scope: Scope, conversation: Conversation[T]) -> T:
    try:
        connection = BlockingConnection(ground.bus_address(scope))
    except OSError as exc:
        raise ground.unreachable(scope, exc) from exc
    with connection:
        return connection.converse(conversation)


def _one(call: Call) -> Conversation[tuple[object, ...]]:
    (reply,) = yield [call]
    return check(reply)


def _get(path: str, name: str) -> Call:
    return systemd1.get(path, systemd1.UNIT, name)
