"""Processes as /proc has them: since when, whose, and what they use. One file is read for each answer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from pysup.host import users
from pysup.host.files import whole as read_file
from pysup.unit import Usage

PROC = "/proc"

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One process; ``started`` is seconds since the machine's boot (see `booted`), ``rss`` bytes.

    ``cpu_seconds`` has the children in it that ended and were waited for, as a control group's count has.
    """

    pid: int
    parent: int
    started: float
    cpu_seconds: float
    rss: int
    threads: int


def read(pid: int, *, proc: str = PROC) -> Process | None:
    """A process, or None if it is gone: proc_pid_stat(5)."""
    text = read_file(f"{proc}/{pid}/stat")
    if not text:
        return None
    # The second field is the program's name in brackets, and may itself have blanks and brackets.
    field = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(field[1]),
        started=int(field[19]) / _TICKS,
        cpu_seconds=sum(map(int, field[11:15])) / _TICKS,
        rss=int(field[21]) * _PAGE,
        threads=int(field[17]),
    )


def is_busy(pid: int, *, proc: str = PROC) -> bool:
    """Whether it computes, waits for a CPU or a disk, or has just ended and nobody knows it yet."""
    text = read_file(f"{proc}/{pid}/stat")
    return text is not None and text[text.rfind(b")") + 2 :][:1] in (b"R", b"D", b"Z")


def booted(*, proc: str = PROC) -> int | None:
    """When the machine was, in seconds since the epoch: the kernel's own figure, which stays the same between looks."""
    _, _, rest = (read_file(f"{proc}/stat") or b"").partition(b"\nbtime ")
    number = rest.split(b"\n", 1)[0]
    return int(number) if number.isdigit() else None


def cpu_seconds(pid: int, *, proc: str = PROC) -> float | None:
    """The CPU time that it and its ended children have had."""
    process = read(pid, proc=proc)
    return process.cpu_seconds if process else None


def rss(pid: int, *, proc: str = PROC) -> int | None:
    """Bytes of it in memory, what it shares with others included."""
    process = read(pid, proc=proc)
    return process.rss if process else None


def uid_of(pid: int, *, proc: str = PROC) -> int | None:
    """The user it runs as (effective), or None if it is gone.

    Not the owner of /proc/PID: that is root for a process that may not be dumped.
    """
    text = read_file(f"{proc}/{pid}/status") or b""
    _, found, rest = text.partition(b"\nUid:")
    return int(rest.split(maxsplit=2)[1]) if found else None


def transferred(pid: int, *, proc: str = PROC) -> tuple[int, int] | None:
    """Bytes that it and children that it waited for had read from and written to devices; None if it is not ours."""
    text = (read_file(f"{proc}/{pid}/io") or b"").decode(errors="replace")
    counts = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        return int(counts["read_bytes"]), int(counts["write_bytes"])
    except (KeyError, ValueError):
        return None


def children(pid: int, *, proc: str = PROC) -> list[int]:
    """The processes that it started and that have not ended."""
    return [int(child) for child in (read_file(f"{proc}/{pid}/task/{pid}/children") or b"").split()]


def user_name(uid: int) -> str:
    """The name of a user's number, or the number itself if nobody has it."""
    return users.name(uid)


def total(pids: Iterable[int], *, proc: str = PROC) -> Usage:
    """What the processes use together; memory that they share counts once for each."""
    found = [process for pid in pids if (process := read(pid, proc=proc))]
    if not found:
        return Usage(source="processes")
    return Usage(
        memory=sum(process.rss for process in found),
        cpu_seconds=sum(process.cpu_seconds for process in found),
        tasks=sum(process.threads for process in found),
        source="processes",
    )
