"""Which controllers users' own managers are given, and the drop-in that gives them all."""

from __future__ import annotations

from pathlib import Path

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")

DROP_IN = Path("/etc/systemd/system/user@.service.d/pysup-delegate.conf")
LINE = f"Delegate={' '.join(CONTROLLERS)}"
TEXT = f"# Made by pysup doctor --fix: limits of users' own apps need these.\n[Service]\n{LINE}\n"

_UNITS = ("usr/lib/systemd/system", "lib/systemd/system", "run/systemd/system", "etc/systemd/system")


def missing(root: Path = Path("/")) -> list[str]:
    """The controllers that the unit of users' managers does not hand on, as its files say; none if it is not there."""
    units = [root / directory / "user@.service" for directory in _UNITS]
    files = [file for unit in units for file in (unit, *sorted(unit.with_name("user@.service.d").glob("*.conf")))]
    found = {word for file in files for word in _delegated(file)}
    if not any(unit.exists() for unit in units) or found & {"yes", "true", "1", "on"}:
        return []
    return [name for name in CONTROLLERS if name not in found]


def _delegated(file: Path) -> set[str]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith("Delegate=") for word in line.partition("=")[2].split()}
