"""This machine, as the manager needs it: where units live, which CPUs there are, how to reach systemd."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from pysup.bus.call import Conversation
from pysup.host import ground
from pysup.unit import BOOT_TARGET, Scope

if TYPE_CHECKING:
    from pysup.bus.blocking import BlockingConnection
    from pysup.bus.direct import DirectConnection
    from pysup.machine import Machine
    from pysup.store import Store

T = TypeVar("T")

_PROGRAM_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin")


def store(scope: Scope) -> Store:
    """Where the units of a scope live here."""
    from pysup.store import Store  # with all that an app is; who asks systemd first has it imported meanwhile

    return Store(
        ground.runtime_dir(scope),
        ground.saved_dir(scope),
        ground.lock_dir(scope),
        BOOT_TARGET[scope],
        ground.history_dir(scope),
        ground.vault_dir(scope),
    )


def ask(scope: Scope, conversation: Conversation[T]) -> T:
    """Carry on a conversation with systemd over a blocking connection."""
    with connect_to_ask(scope) as bus:
        return bus.converse(conversation)


def connect_to_ask(scope: Scope) -> BlockingConnection:
    """A connection to systemd for those who only ask."""
    from pysup.bus.blocking import BlockingConnection  # not for those who have a loop

    try:
        return BlockingConnection(ground.bus_address(scope))
    except OSError as exc:
        raise ground.unreachable(scope, exc) from exc


def connect(scope: Scope) -> DirectConnection:
    """A connection to systemd for those who change things without an event loop."""
    from pysup.bus.direct import DirectConnection  # not for those who have a loop

    try:
        return DirectConnection(ground.bus_address(scope))
    except OSError as exc:
        raise ground.unreachable(scope, exc) from exc


def owner(scope: Scope) -> int:
    """The user whose words about the scope's apps count: root, or the owner of the manager."""
    return 0 if scope is Scope.SYSTEM else os.getuid()


def caller() -> str:
    """The account behind a command, also behind sudo."""
    from pysup.host import users  # who only reads need not know

    behind = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    account = users.find(str(os.getuid()))
    return behind or (account.name if account else str(os.getuid()))


def machine(scope: Scope) -> Machine:
    """What rendering must know of this machine."""
    from pysup import preload, probe, servers  # who only reads needs no machine
    from pysup.host import cpus
    from pysup.machine import Machine

    allowed = cpus.allowed()
    return Machine(
        scope=scope,
        cpus=allowed,
        cores=cpus.fast_first(cpus.cores(allowed)),
        systemd_cat=_program("systemd-cat") or "/usr/bin/systemd-cat",
        plain_python=_program("python3") or getattr(sys, "_base_executable", sys.executable),
        preload=preload.text(),
        probe=probe.text(),
        python=sys.executable,
        launch=servers.text(),
        namespaces=scope is Scope.SYSTEM or ground.has_user_namespaces(),
    )


def real_paths(words: Iterable[str]) -> tuple[str, ...]:
    """Where the paths among the words of a command lead to, for those that are links."""
    paths = {word: os.path.realpath(word) for word in words if word.startswith("/")}
    return tuple(real for word, real in paths.items() if real != word)


def python() -> str:
    """A Python that stays when pysup goes: the machine's own, or else the one that runs this."""
    import sys  # as for the machine: who only reads needs none

    return _program("python3") or sys.executable


def _program(name: str) -> str:
    """A program's path, or empty; the caller's PATH does not count, units must not depend on it."""
    for directory in _PROGRAM_DIRECTORIES:
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    return ""
