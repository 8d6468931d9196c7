"""The calls of org.freedesktop.systemd1 that pysup makes, one function each; signatures stand nowhere else.

Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Sequence

from pysup.bus.call import MANAGER, MANAGER_PATH, PROPERTIES, SYSTEMD, Call, Variant

UNIT = f"{SYSTEMD}.Unit"
SERVICE = f"{SYSTEMD}.Service"
SLICE = f"{SYSTEMD}.Slice"
JOB = f"{SYSTEMD}.Job"
TIMER = f"{SYSTEMD}.Timer"

_BUS = "org.freedesktop.DBus"


def start_unit(name: str, mode: str = "replace") -> Call:
    """Start; answers with the job's path."""
    return Call("StartUnit", "ss", (name, mode))


def stop_unit(name: str, mode: str = "replace") -> Call:
    """Stop; answers with the job's path."""
    return Call("StopUnit", "ss", (name, mode))


def restart_unit(name: str, mode: str = "replace") -> Call:
    """Restart, or start what does not run; answers with the job's path."""
    return Call("RestartUnit", "ss", (name, mode))


def reload_unit(name: str, mode: str = "replace") -> Call:
    """Have a unit read its own configuration again (``ExecReload=``); answers with the job's path."""
    return Call("ReloadUnit", "ss", (name, mode))


def reset_failed_unit(name: str) -> Call:
    """Forget the failure, the restart counter and the start limit's."""
    return Call("ResetFailedUnit", "s", (name,))


def kill_unit(name: str, whom: str, signal: int) -> Call:
    """Send a signal to the ``main`` process or to ``all``."""
    return Call("KillUnit", "ssi", (name, whom, signal))


def set_unit_properties(name: str, properties: Sequence[tuple[str, str, object]]) -> Call:
    """Change a unit while it runs: (name, signature, value) each. systemd writes drop-ins for them, until a reboot."""
    return Call(
        "SetUnitProperties",
        "sba(sv)",
        (name, True, [[property_, Variant(signature, value)] for property_, signature, value in properties]),
    )


def load_unit(name: str) -> Call:
    """Load a unit from disk if it is not yet; answers with its path, also when there is none."""
    return Call("LoadUnit", "s", (name,))


def list_units(patterns: Sequence[str]) -> Call:
    """Loaded units that match: (name, description, load, active, sub, following, path, job id, type, job path) each."""
    return Call("ListUnitsByPatterns", "asas", ([], list(patterns)))


def reload() -> Call:
    """Read all unit files again."""
    return Call("Reload")


def subscribe() -> Call:
    """Have the manager send signals."""
    return Call("Subscribe")


def get(path: str, interface: str, name: str) -> Call:
    """One property."""
    return Call("Get", "ss", (interface, name), path, PROPERTIES)


def get_all(path: str, interface: str = "") -> Call:
    """All properties of an interface; of all interfaces when it is empty."""
    return Call("GetAll", "s", (interface,), path, PROPERTIES)


def manager_property(name: str) -> Call:
    """One property of the manager itself."""
    return get(MANAGER_PATH, MANAGER, name)


def is_on_bus() -> Call:
    """Ask the bus whether the manager is there."""
    return Call("NameHasOwner", "s", (SYSTEMD,), "/org/freedesktop/DBus", _BUS, _BUS)


def process_id() -> Call:
    """Ask the bus which process the manager is."""
    return Call("GetConnectionUnixProcessID", "s", (SYSTEMD,), "/org/freedesktop/DBus", _BUS, _BUS)


def add_match(rule: str) -> Call:
    """Have the bus hand on signals of this kind."""
    return Call("AddMatch", "s", (rule,), "/org/freedesktop/DBus", _BUS, _BUS)


def manager_rule() -> str:
    """The match for the manager's own signals: jobs that have ended, units that came and went."""
    return f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',path='{MANAGER_PATH}'"


def unit_changes_rule() -> str:
    """The match for changed properties of units."""
    return (
        f"type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged',"
        f"path_namespace='{MANAGER_PATH}/unit'"
    )


def owner_rule() -> str:
    """The match for the manager leaving the bus or coming to it."""
    return f"type='signal',sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'"


def unit_path(name: str) -> str:
    """The object path of a unit: every byte that is not a letter or a digit is ``_`` and its hex code.

    sd_bus_path_encode(3).
    """
    encoded = "".join(char if char.isascii() and char.isalnum() else f"_{ord(char):02x}" for char in name)
    return f"{MANAGER_PATH}/unit/{encoded}"


def unit_name(path: str) -> str:
    """The unit that an object path stands for."""
    head, *rest = path.removeprefix(f"{MANAGER_PATH}/unit/").split("_")
    return head + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
