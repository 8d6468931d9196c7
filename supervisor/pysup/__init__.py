"""pysup: start apps once per CPU core and keep them running, by systemd.

    from pysup import App, Manager        # asynchronous
    from pysup.sync import Manager        # the same for blocking code

Names are loaded when they are first used: the Manager brings asyncio and D-Bus with it, an App does not.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pysup.app import (
        PER_CORE,
        App,
        KillMode,
        Limits,
        Log,
        Placement,
        Restart,
    )
    from pysup.errors import (
        BoxError,
        BusError,
        BusLost,
        Conflict,
        CorruptUnit,
        EnvironmentProblem,
        JobFailed,
        JobTimeout,
        NoBus,
        NoSystemd,
        NotFound,
        NotPermitted,
        PysupError,
        SpecError,
        StartFailed,
        StoreError,
    )
    from pysup.events import (
        Asked,
        Deleted,
        Event,
        Exited,
        Failed,
        HookRan,
        Limited,
        LimitHit,
        Lost,
        Reloaded,
        Reloading,
        Restarting,
        Saved,
        Scaled,
        SecretRemoved,
        SecretSet,
        Started,
        Starting,
        Stopped,
        Stopping,
        Unsaved,
    )
    from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
    from pysup.journal import Entry, Kind
    from pysup.logs import LogOptions
    from pysup.manager import Manager
    from pysup.names import InstanceName
    from pysup.transient import RunOptions, RunResult
    from pysup.unit import ActiveState, AppStatus, Exit, Instance, Scope, Usage

_HOMES = {
    "app": "App KillMode Limits Log PER_CORE Placement Restart",
    "errors": "BoxError BusError BusLost Conflict CorruptUnit EnvironmentProblem JobFailed JobTimeout NoBus NoSystemd "
    "NotFound NotPermitted PysupError SpecError StartFailed StoreError",
    "events": "Asked Deleted Event Exited Failed HookRan LimitHit Limited Lost Reloaded Reloading Restarting Saved "
    "Scaled SecretRemoved SecretSet Started Starting Stopped Stopping Unsaved",
    "health": "Ready ReadyWhen Watchdog WatchdogWhen",
    "journal": "Entry Kind",
    "logs": "LogOptions",
    "manager": "Manager",
    "names": "InstanceName",
    "transient": "RunOptions RunResult",
    "unit": "ActiveState AppStatus Exit Instance Scope Usage",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [  # sorted; a test keeps it in step with _HOMES
    "PER_CORE",
    "ActiveState",
    "App",
    "AppStatus",
    "Asked",
    "BoxError",
    "BusError",
    "BusLost",
    "Conflict",
    "CorruptUnit",
    "Deleted",
    "Entry",
    "EnvironmentProblem",
    "Event",
    "Exit",
    "Exited",
    "Failed",
    "HookRan",
    "Instance",
    "InstanceName",
    "JobFailed",
    "JobTimeout",
    "KillMode",
    "Kind",
    "LimitHit",
    "Limited",
    "Limits",
    "Log",
    "LogOptions",
    "Lost",
    "Manager",
    "NoBus",
    "NoSystemd",
    "NotFound",
    "NotPermitted",
    "Placement",
    "PysupError",
    "Ready",
    "ReadyWhen",
    "Reloaded",
    "Reloading",
    "Restart",
    "Restarting",
    "RunOptions",
    "RunResult",
    "Saved",
    "Scaled",
    "Scope",
    "SecretRemoved",
    "SecretSet",
    "SpecError",
    "StartFailed",
    "Started",
    "Starting",
    "Stopped",
    "Stopping",
    "StoreError",
    "Unsaved",
    "Usage",
    "Watchdog",
    "WatchdogWhen",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module that it lives in."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'pysup' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"pysup.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
