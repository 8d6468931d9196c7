"""What can go wrong, as one tree of exceptions.

PysupError
├── SpecError            what the user asked for is not possible (usage, exit code 2)
├── NotFound             no app or instance of that name
├── Conflict             the app is in a state that does not allow this
├── EnvironmentProblem   the ground is missing something: systemd, bus, rights, tools
│   ├── NoSystemd
│   ├── NoBus
│   └── NotPermitted
├── StoreError           unit files could not be written or read back
│   └── CorruptUnit
├── BusError             systemd refused a call
│   └── BusLost
├── JobFailed            systemd did the job and it did not work
│   └── StartFailed      with the last log lines of what failed
├── JobTimeout           it did not happen in the time given
└── BoxError             a private systemd could not be booted or entered

Every error has a message in the user's words that names the thing that is wrong, and a ``hint``: what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class PysupError(Exception):
    """Root of everything that pysup raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(PysupError, ValueError):
    """What the user asked for is not possible; nothing was done."""


class NotFound(PysupError, LookupError):
    """No app, instance or unit of that name in this scope."""


class Conflict(PysupError):
    """The app is in a state that does not allow this; nothing was done."""


class EnvironmentProblem(PysupError):
    """The machine lacks something that pysup stands on; the hint says how to get it."""


class NoSystemd(EnvironmentProblem):
    """systemd is not running here as PID 1."""


class NoBus(EnvironmentProblem):
    """There is no D-Bus to reach the manager by."""


class NotPermitted(EnvironmentProblem, PermissionError):
    """The caller may not do this."""


class StoreError(PysupError):
    """Unit files could not be written or read; what was there before is still there."""


class CorruptUnit(StoreError):
    """A unit file of ours cannot be read back into an App (edited by hand, or damaged)."""


class BusError(PysupError):
    """systemd, or the bus, answered a call with an error.

    ``name`` is the D-Bus error name, such as ``org.freedesktop.systemd1.NoSuchUnit``.
    """

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name


class BusLost(BusError):
    """The connection to the bus ended while a call was under way."""


class JobFailed(PysupError):
    """systemd took the job and it did not succeed.

    ``results`` has one ``(unit, result)`` per unit that failed, in systemd's words (``exit-code``, ``timeout`` …).
    """

    def __init__(self, message: str, *, results: Sequence[tuple[str, str]] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.results = tuple(results)


class StartFailed(JobFailed):
    """An instance did not become ready; ``log`` holds its last log lines, oldest first."""

    def __init__(
        self,
        message: str,
        *,
        results: Sequence[tuple[str, str]] = (),
        log: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, results=results, hint=hint)
        self.log = tuple(log)


class JobTimeout(PysupError, TimeoutError):
    """It did not happen in the time given; what was begun goes on."""


class BoxError(PysupError):
    """A private systemd could not be booted, entered or ended."""
