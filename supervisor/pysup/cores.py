"""Core dumps of instances: what systemd-coredump says of them in the journal, stack included; or how to have some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pysup.errors import PysupError
from pysup.journal import reading
from pysup.journal.record import Record
from pysup.names import InstanceName
from pysup.unit import Scope

_ID = "fc2e22bc6ee647b6b90729ab34a250b1"  # SD_MESSAGE_COREDUMP
_PATTERN = Path("/proc/sys/kernel/core_pattern")
_AROUND = 60.0  # seconds that a dump may take to be written
_BEFORE = 5.0
_FRAMES = 30

HOW_TO = "To keep cores with their stacks: apt install systemd-coredump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A core dump; ``stack`` is the stack of its threads as systemd-coredump printed it, ``file`` where it lies."""

    pid: int
    program: str
    signal: str
    file: str
    stack: tuple[str, ...]

    @property
    def command(self) -> str:
        """What shows all of it."""
        return f"coredumpctl info {self.pid}"


def is_kept() -> bool:
    """Whether the kernel hands cores to systemd-coredump here."""
    try:
        return "systemd-coredump" in _PATTERN.read_text()
    except OSError:
        return False


def find(scope: Scope, name: InstanceName, *, around: float) -> Core | None:
    """The core dump of an instance that ended at that time; None if there is none, or it may not be read."""
    field = "COREDUMP_UNIT" if scope is Scope.SYSTEM else "COREDUMP_USER_UNIT"
    reader = reading.open_records([(f"MESSAGE_ID={_ID}", "_UID=0", f"{field}={name.unit}")])
    try:
        for record in reader.forward(round((around - _BEFORE) * 1_000_000)):
            if record.at_usec > (around + _AROUND) * 1_000_000:
                return None
            if record.text("_UID") == "0" and record.text(field) == name.unit:
                return _core(record)
    except PysupError:
        pass
    return None


def _core(record: Record) -> Core:
    pid = record.text("COREDUMP_PID")
    return Core(
        pid=int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 10 else 0,
        program=record.text("COREDUMP_EXE"),
        signal=record.text("COREDUMP_SIGNAL_NAME") or record.text("COREDUMP_SIGNAL"),
        file=record.text("COREDUMP_FILENAME"),
        stack=tuple(_stack(record.text("MESSAGE"))),
    )


def _stack(message: str) -> Iterator[str]:
    """The lines from the first stack trace on."""
    _, marker, rest = message.partition("Stack trace of thread ")
    if marker:
        yield from (marker + rest).splitlines()[:_FRAMES]
