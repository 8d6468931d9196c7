"""What happens to instances, as typed values; ``at`` is seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

from pysup.names import InstanceName


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceEvent:
    """Something that happened to one instance."""

    name: InstanceName
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting(InstanceEvent):
    """systemd has begun to start it; it is not ready yet."""

    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(InstanceEvent):
    """It is ready (``active``)."""

    pid: int
    invocation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(InstanceEvent):
    """Its main process ended, by exit code or by signal."""

    pid: int
    code: int | None = None
    signal: int | None = None
    dumped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarting(InstanceEvent):
    """systemd starts it again by itself; ``number`` counts from 1 since the last start by hand."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(InstanceEvent):
    """systemd has given it up; ``result`` is systemd's reason: ``exit-code``, ``signal``, ``start-limit-hit`` …."""

    result: str


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
class Lost:
    """The stream had a gap (the bus went away, or the reader was too slow); what follows is known again.

    Restarts in the gap are not lost: systemd counted them, and they follow as ``Restarting``.
    """

    at: float
    reason: str


Event = Starting | Started | Exited | Restarting | Failed | Stopping | Stopped | Reloading | Lost
