"""Node as its users have it: on PATH, or where nvm puts its versions."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pysup.host import users


def node() -> Path | None:
    """The node on PATH; without one (sudo's PATH has none of nvm's) the newest of nvm's."""
    found = shutil.which("node")
    return Path(found) if found else version("")


def version(wanted: str) -> Path | None:
    """The newest node of a version that nvm has: ``18``, ``18.20``, ``v18.20.1``; any if empty."""
    parts = [int(part) for part in re.findall(r"\d+", wanted)]
    there = [(number, path) for path, number in _installed() if number[: len(parts)] == parts]
    return max(there)[1] if there else None


def installed() -> list[str]:
    """The versions that nvm has, oldest first."""
    return [".".join(map(str, number)) for number in sorted(number for _, number in _installed())]


def _installed() -> list[tuple[Path, list[int]]]:
    programs = [program for place in _places() for program in place.glob("versions/node/v*/bin/node")]
    return [
        (program, [int(part) for part in re.findall(r"\d+", program.parts[-3])])
        for program in programs
        if os.access(program, os.X_OK)
    ]


def _places() -> list[Path]:
    """NVM_DIR, and where it usually is: with the user, and under sudo with the one who typed that."""
    accounts = [users.find(number) for number in (str(os.geteuid()), os.environ.get("SUDO_UID", ""))]
    homes = [Path(account.home, ".nvm") for account in accounts if account]
    return [Path(os.environ["NVM_DIR"]), *homes] if os.environ.get("NVM_DIR") else homes
