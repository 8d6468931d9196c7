"""What happens to apps and instances, as typed values; ``at`` is seconds since the epoch.

Each class has the name of the event in JSON as its own in small letters: ``Exited`` is ``exited``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pysup.names import InstanceName
from pysup.unit import FAULTS

UNKNOWN_EXIT = "unknown"

_ENDERS = {"watchdog": "watchdog", "oom-kill": "kernel", "timeout": "systemd"}


class Brake(NamedTuple):
    """How often an app may be started within its window (0: for ever), the pause before each restart, its policy."""

    limit: int = 0
    delay: float = 0.0
    policy: str = "always"


NO_BRAKE = Brake()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceEvent:
    """Something that happened to one instance.

    ``pid`` is its main process, 0 where that is not known: the journal does not tell it, and systemd only of the
    run that goes on. ``invocation_id`` is systemd's number for this run of it.
    """

    name: InstanceName
    at: float
    pid: int = 0
    invocation_id: str = ""

    @property
    def app(self) -> str:
        """The app."""
        return self.name.app

    @property
    def unit(self) -> str:
        """The unit of the instance."""
        return self.name.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting(InstanceEvent):
    """systemd has begun to start it; it is not ready yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(InstanceEvent):
    """It is ready (``active``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(InstanceEvent):
    """Its main process ended, by exit code or by signal.

    Both are None when systemd had gone on before it could be asked, and in history for an end that it counts as a
    success (its words do not tell whether that was code 0). ``result`` is systemd's: ``success``, ``exit-code``,
    ``signal``, ``core-dump``, ``watchdog``, ``oom-kill``, ``timeout``, or ``unknown``. ``asked`` when it had been told
    to end.
    """

    code: int | None = None
    signal: int | None = None
    dumped: bool = False
    result: str = UNKNOWN_EXIT
    asked: bool = False

    @property
    def by(self) -> str:
        """Who ended it: ``itself``, ``systemd``, ``watchdog``, ``kernel`` (no memory), ``somebody``; empty: unknown."""
        ender = _ENDERS.get(self.result)
        if ender or self.asked:
            return ender or "systemd"
        if self.signal is None:
            return "" if self.result == UNKNOWN_EXIT else "itself"
        return "itself" if self.signal in FAULTS else "somebody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarting(InstanceEvent):
    """systemd starts it again by itself; ``number`` counts from 1 since the last start by hand.

    ``limit`` is how many starts the app may have within its window, 0 for any number; ``delay`` the seconds that it
    waits before each. Both are the app's as it is now.
    """

    number: int
    limit: int = 0
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(InstanceEvent):
    """systemd has given it up; ``result`` is systemd's reason: ``exit-code``, ``signal``, ``start-limit-hit`` …."""

    result: str

    @property
    def gave_up(self) -> bool:
        """Whether systemd tried as often as it may."""
        return self.result == "start-limit-hit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping(InstanceEvent):
    """It has been asked to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(InstanceEvent):
    """It has ended, and not as a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloading(InstanceEvent):
    """It reloads its configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHit(InstanceEvent):
    """It came to a limit: ``memory-high``, ``memory-max``, ``cpu`` or ``tasks``; ``times`` since it was last looked.

    The kernel counts these and writes them nowhere, so they are told while somebody watches, every ten seconds.
    """

    limit: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEvent:
    """Something that somebody (``by``, an account) did to an app with pysup."""

    app: str
    at: float
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(AppEvent):
    """Somebody asked for a ``start``, ``stop`` or ``restart``; of these instances, or of the whole app if empty.

    ``why`` is the reason that a companion of the app had: its time has come, a file changed, it used too much memory.
    """

    verb: str
    instances: tuple[int, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded(AppEvent):
    """Its instances were replaced one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled(AppEvent):
    """It has another number of instances."""

    before: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited(AppEvent):
    """It has other limits; or these instances of it, if there are any."""

    instances: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSet(AppEvent):
    """A secret of it was set, or changed: its name, never its value."""

    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRemoved(AppEvent):
    """A secret of it was taken away."""

    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(AppEvent):
    """It comes back after a reboot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaved(AppEvent):
    """It is there until the next reboot only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted(AppEvent):
    """It was stopped and forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRan(AppEvent):
    """A hook was run; ``problem`` says what went wrong with it, and is empty if nothing did.

    ``hook`` is ``on_failure`` and the like, ``instance`` the number of whom it was about. ``by`` is empty: systemd
    runs hooks.
    """

    hook: str
    instance: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The stream had a gap (the bus went away, or the reader was too slow); what follows is known again.

    Restarts in the gap are not lost: systemd counted them, and they follow as ``Restarting``.
    """

    at: float
    reason: str


OfInstance = Starting | Started | Exited | Restarting | Failed | Stopping | Stopped | Reloading | LimitHit
OfApp = Asked | Reloaded | Scaled | Limited | SecretSet | SecretRemoved | Saved | Unsaved | Deleted | HookRan
Event = OfInstance | OfApp | Lost
