"""What systemd says about an app: frozen values, in systemd's words."""

from __future__ import annotations

from enum import StrEnum
from signal import Signals
from typing import TYPE_CHECKING, NamedTuple

from pysup.names import InstanceName

if TYPE_CHECKING:
    from pysup.app import App  # which takes longer to import than systemd to answer: see cli/early.py


class Scope(StrEnum):
    """Which systemd manager: the machine's, or the calling user's own."""

    SYSTEM = "system"
    USER = "user"


BOOT_TARGET = {Scope.SYSTEM: "multi-user.target", Scope.USER: "default.target"}
"""The target that saved apps are hung on."""

FAULTS = frozenset({Signals.SIGSEGV, Signals.SIGABRT, Signals.SIGBUS, Signals.SIGILL, Signals.SIGFPE, Signals.SIGSYS})
"""Signals that a program brings upon itself, by what it does."""


class ActiveState(StrEnum):
    """``ActiveState`` of a unit; systemd.unit(5)."""

    ACTIVE = "active"
    RELOADING = "reloading"
    INACTIVE = "inactive"
    FAILED = "failed"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    MAINTENANCE = "maintenance"
    REFRESHING = "refreshing"
    UNKNOWN = "unknown"

    @property
    def is_up(self) -> bool:
        """Whether a unit in this state is there to serve."""
        return self in (ActiveState.ACTIVE, ActiveState.RELOADING, ActiveState.REFRESHING)


class Exit(NamedTuple):
    """How the main process last ended: by exit code, or killed by a signal."""

    code: int | None = None
    signal: int | None = None
    dumped: bool = False
    at: float | None = None


class Usage(NamedTuple):
    """What an instance uses now; None where the machine does not tell.

    Bytes; CPU in seconds since the instance's start; ``source`` is ``cgroup`` or ``processes``.
    """

    memory: int | None = None
    cpu_seconds: float | None = None
    tasks: int | None = None
    source: str = "cgroup"


class Instance(NamedTuple):
    """One instance as systemd has it now. Times are seconds since the epoch.

    ``state`` is what to show: the ActiveState, or ``auto-restart`` while systemd waits to start it again, or
    ``waiting`` for a job whose time has not come (``waits``: its timer is on), or ``listening`` while it does not run,
    and a connection would start it (``listens``).
    ``restarts`` counts systemd's automatic restarts since the last start by hand. ``cpus`` empty is any CPU.
    """

    name: InstanceName
    scope: Scope
    active_state: ActiveState = ActiveState.INACTIVE
    sub_state: str = "dead"
    result: str = "success"
    pid: int = 0
    since: float | None = None
    restarts: int = 0
    last_exit: Exit | None = None
    cpus: tuple[int, ...] = ()
    port: int | None = None
    user: str = ""
    usage: Usage = Usage()
    invocation_id: str = ""
    control_group: str = ""
    waits: bool = False
    listens: bool = False

    @property
    def state(self) -> str:
        """The word for a table."""
        if self.waits and self.active_state is ActiveState.INACTIVE:
            return "waiting"
        if self.listens and self.active_state is ActiveState.INACTIVE:
            return "listening"
        # What shares a socket waits in a command before the start, for the longer, the oftener it failed.
        is_braked = self.sub_state == "start-pre" and self.restarts
        return "auto-restart" if is_braked or self.sub_state == "auto-restart" else self.active_state.value

    @property
    def is_up(self) -> bool:
        """Whether it is there to serve."""
        return self.active_state.is_up


class AppStatus(NamedTuple):
    """An app: its spec (None if its unit file cannot be read back: then ``problem`` says why) and its instances.

    ``notes`` say what of the spec this machine cannot do. ``next_run`` and ``last_run`` are of its schedule, in seconds
    since the epoch: when it will be restarted, or a job run, and when it was.
    """

    name: str
    scope: Scope
    spec: App | None
    instances: tuple[Instance, ...]
    saved: bool = False
    problem: str = ""
    notes: tuple[str, ...] = ()
    next_run: float | None = None
    last_run: float | None = None

    @property
    def namespace(self) -> str:
        """The spec's namespace, empty for none."""
        return self.spec.namespace if self.spec else ""
