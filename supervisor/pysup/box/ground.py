"""Say what this machine or this process lacks for a box to be booted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pysup.errors import BoxError, NotPermitted

# What is looked for -> the Debian package that brings it. A command, or a file as a pattern below /.
_COMMANDS = {
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "systemctl": "systemd",
    "loginctl": "systemd",
    "dbus-daemon": "dbus",
}
_FILES = {
    "systemd as an init": (("usr/lib/systemd/systemd", "lib/systemd/systemd"), "systemd"),
    "the user bus": (("usr/lib/systemd/user/dbus.socket",), "dbus-user-session"),
    "pam_systemd.so": (
        ("usr/lib/*/security/pam_systemd.so", "lib/*/security/pam_systemd.so", "usr/lib*/security/pam_systemd.so"),
        "libpam-systemd",
    ),
}
_CAP_SYS_ADMIN = 21


def check_rights() -> None:
    """Raise NotPermitted without root's rights."""
    if os.geteuid() != 0:
        raise NotPermitted("a box can be booted and entered by root only", hint="Run it with sudo.")
    if not _may_mount():
        raise NotPermitted(
            "this process is root but may not mount or make namespaces (CAP_SYS_ADMIN is missing)",
            hint="In a container, start that with --privileged.",
        )


def check_tools() -> None:
    """Raise BoxError when something that a box needs is not installed."""
    missing = {name: package for name, package in _COMMANDS.items() if not shutil.which(name)}
    missing |= {name: package for name, (patterns, package) in _FILES.items() if not _is_there(patterns)}
    if missing:
        raise BoxError(
            f"a box needs {', '.join(missing)}, which this machine lacks or PATH does not lead to",
            hint=f"apt install {' '.join(sorted(set(missing.values())))}",
        )


def tool(name: str) -> str:
    """The absolute path of a command of the machine."""
    path = shutil.which(name)
    if path is None:
        raise BoxError(f"a box needs {name}, which PATH does not lead to", hint=f"apt install {_COMMANDS[name]}")
    return path


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_SYS_ADMIN & 1)


def _is_there(patterns: tuple[str, ...]) -> bool:
    return any(next(Path("/").glob(pattern), None) for pattern in patterns)
