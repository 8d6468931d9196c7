"""CPUs: those that the caller may use, and one for each physical core."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

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


def _threads(cpu: int, sysfs: Path) -> set[int]:
    """The CPUs of the same core, this one included: cputopology.rst."""
    topology = f"{sysfs}/devices/system/cpu/cpu{cpu}/topology"
    text = read(f"{topology}/core_cpus_list") or read(f"{topology}/thread_siblings_list") or b""
    return {cpu, *parse(text.decode())}
