"""What an image is made of. It has a digest, by which images are kept: another recipe makes another image."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

SUITE = "trixie"

# Debian 12's qemu (7.2) crashes such guests when it emulates the CPU, so it comes from the suite of the guest.
TOOLS = ("qemu-system-x86", "qemu-utils", "linux-image-cloud-amd64", "busybox-static", "python3", "zstd")
GUEST = (
    "dbus",
    "dbus-user-session",
    "kmod",
    "libpam-systemd",
    "polkitd",
    "procps",
    "python3",
    "python3-systemd",
    "systemd",
    "systemd-coredump",
    "systemd-sysv",
    "udev",
)

PYTHON = "3.13"  # the suite's
VENV = "/opt/venv"
PROJECT = "/srv/pysup"  # where the guest sees this checkout's copy
USER = "ada"

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_MADE_BY = ("recipe.py", "image.py", "debian.py", "guest/agent.py", "guest/agent.service", "guest/init")


def requirements() -> list[str]:
    """What pysup and the tests in the machine import, by pyproject.toml."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    return [*project["project"]["dependencies"], *project["dependency-groups"]["machine"]]


def digest() -> str:
    """A name for all that is written here."""
    found = hashlib.sha256(json.dumps(requirements()).encode())
    for name in _MADE_BY:
        found.update((_HERE / name).read_bytes())
    return found.hexdigest()[:16]
