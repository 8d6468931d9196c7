"""The door to systemd-creds, which encrypts with the key of this host, or its TPM, what is to be kept on disk."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pysup.unit import Scope

PROGRAMS = ("/usr/bin/systemd-creds", "/bin/systemd-creds")
_PATIENCE = 60


class CannotEncrypt(Exception):
    """Why it was not encrypted."""


def encrypt(name: str, value: bytes, scope: Scope, *, programs: Sequence[str] = PROGRAMS) -> bytes:
    """The value as only this machine's systemd can read it, as a credential of that name. Raises CannotEncrypt."""
    program = next((path for path in programs if Path(path).exists()), None)
    if program is None:
        raise CannotEncrypt("systemd-creds is not installed")
    whose = ["--user"] if scope is Scope.USER else []
    try:
        done = subprocess.run(
            [program, *whose, "encrypt", f"--name={name}", "-", "-"],
            input=value,
            capture_output=True,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CannotEncrypt(f"systemd-creds did not run: {type(exc).__name__}") from exc
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CannotEncrypt(said[-1] if said else f"systemd-creds ended with {done.returncode}")
    return done.stdout
