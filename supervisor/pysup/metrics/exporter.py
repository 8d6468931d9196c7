"""How systemd keeps metrics at hand: by a socket that answers, or a file that is written from time to time."""

from __future__ import annotations

import re
from pathlib import Path

from pysup.errors import JobFailed, SpecError
from pysup.host import ports
from pysup.listen import Listen
from pysup.metrics import shipped, textfile
from pysup.unit import Scope
from pysup.unitfile import specifier

SOCKET, SERVICE = "pysup-metrics.socket", "pysup-metrics.service"
TIMER, WRITER = "pysup-metrics-textfile.timer", "pysup-metrics-textfile.service"
USUAL = "127.0.0.1:9713"

_PLAIN = re.compile(r"[^\x00-\x1f\x7f\"'\\]+")

LISTENS = (SOCKET, SERVICE, f"{SERVICE}.d/sandbox.conf")
WRITES = (TIMER, WRITER, f"{WRITER}.d/sandbox.conf")


def listen(scope: Scope, address: str = USUAL) -> str:
    """Have metrics answered at an address, a port alone being one of this machine only. Returns the address."""
    meant = Listen(address=f"127.0.0.1:{address}" if address.isdecimal() else address).address
    if meant.startswith("/") and ports.is_taken_by_a_file(meant):
        raise SpecError(f"{meant} is a file that is no socket", hint=f"Look at it, and take it away: ls -l {meant}")
    service = shipped.text(SERVICE, command=shipped.command("pysup.metrics", "serve", scope.value))
    contents = (shipped.text(SOCKET, address=specifier(meant)), service, shipped.sandbox(scope))
    try:
        shipped.turn_on(scope, dict(zip(LISTENS, contents, strict=True)), SOCKET)
    except JobFailed as exc:
        trouble = ports.trouble(meant)
        raise JobFailed(
            f"systemd cannot listen on {meant}: {trouble.what}", hint=trouble.remedy or exc.message
        ) from exc
    return meant


def write(scope: Scope, directory: Path, every: float, *, version: str) -> None:
    """Write a file to a directory, for its errors, and have it written again each so many seconds."""
    place = str(directory.absolute())
    if not _PLAIN.fullmatch(place):
        raise SpecError(
            f"the directory {place!r} cannot stand in a unit", hint="Use one without quotes and backslashes."
        )
    if every < 1:
        raise SpecError(f"--every is {every:g} s", hint="It is 1s or more; 15s is usual.")
    textfile.write(scope, directory, version=version)
    words = ("pysup.metrics", "write", scope.value, place)
    contents = (
        shipped.text(TIMER, every=f"{every:g}s"),
        shipped.text(WRITER, command=shipped.command(*words)),
        shipped.sandbox(scope, writes=place),
    )
    shipped.turn_on(scope, dict(zip(WRITES, contents, strict=True)), TIMER)
