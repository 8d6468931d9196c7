"""CPUs: those that the caller may use, and one for each physical core."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pysup import check
from pysup.errors import SpecError
from pysup.host.files import read


def allowed() -> tuple[int, ...]:
    """The CPUs that this process may run on now: online ones, within its affinity and its cpuset. In order.

    Their numbers need not begin at 0, nor be without gaps.
    """
    return tuple(sorted(os.sched_getaffinity(0)))


def physical(cpus: Iterable[int], *, sysfs: Path = Path("/sys")) -> tuple[int, ...]:
    """One CPU of each core that is among *cpus*: its first thread there.

    A CPU whose core is not known (offline, or no sysfs) counts as a core of its own.
    """
    given = sorted(set(cpus))
    chosen: list[int] = []
    taken: set[int] = set()
    for cpu in given:
        if cpu not in taken:
            chosen.append(cpu)
            taken |= _threads(cpu, sysfs)
    return tuple(chosen)


def parse(text: str) -> tuple[int, ...]:
    """CPU numbers from the kernel's way to list them, such as ``0-3,8,10-11``."""
    found: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def count(text: str, *, physical_cores: bool = False, free: int = 0) -> int:
    """Instances from ``4``, ``max`` (or 0) or ``-1``: one per CPU that may be used, or so many fewer; at least 1.

    *free* CPUs are left out of those.
    """
    there = len(physical(allowed()) if physical_cores else allowed())
    number = 0 if text == "max" else check.number(text, "--instances")
    return number if number > 0 else max(1, there + number - free)


def reserve(text: str, field: str) -> int | tuple[int, ...]:
    """``2`` is any two CPUs; ``0,2-3`` are these."""
    if text.isdecimal():
        return int(text)
    try:
        return parse(text)
    except ValueError:
        raise SpecError(f"{field} is {text!r}", hint="Write how many CPUs (1), or which (0,2-3).") from None


def _threads(cpu: int, sysfs: Path) -> set[int]:
    """The CPUs of the same core, this one included: cputopology.rst."""
    topology = f"{sysfs}/devices/system/cpu/cpu{cpu}/topology"
    text = read(f"{topology}/core_cpus_list") or read(f"{topology}/thread_siblings_list") or b""
    return {cpu, *parse(text.decode())}
