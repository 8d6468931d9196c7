"""CPUs: those that the caller may use, which of them are one core, and which cores are the fast ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from pysup import check
from pysup import parse as words
from pysup.errors import SpecError
from pysup.host.files import read

_SYSFS = Path("/sys")
_KINDS = {"performance": "cpu_core", "efficiency": "cpu_atom"}
_CAPACITY = "devices/system/cpu/cpu[0-9]*/cpu_capacity"


def allowed() -> tuple[int, ...]:
    """The CPUs that this process may run on now: online ones, within its affinity and its cpuset. In order.

    Their numbers need not begin at 0, nor be without gaps.
    """
    return tuple(sorted(os.sched_getaffinity(0)))


def present(*, sysfs: Path = _SYSFS) -> tuple[int, ...]:
    """The CPUs that the machine has, whoever may use them; without sysfs those that may be used."""
    text = read(f"{sysfs}/devices/system/cpu/present")
    return parse(text.decode()) if text else allowed()


def nodes(*, sysfs: Path = _SYSFS) -> tuple[int, ...]:
    """The NUMA nodes of the machine; 0 is that of one that has no others."""
    text = read(f"{sysfs}/devices/system/node/online")
    return parse(text.decode()) if text else (0,)


def cores(cpus: Iterable[int], *, sysfs: Path = _SYSFS) -> tuple[tuple[int, ...], ...]:
    """The CPUs among *cpus* by core: each is one core's threads, in order; cores in order of their first.

    A CPU whose core is not known (offline, or no sysfs) counts as a core of its own.
    """
    given = sorted(set(cpus))
    found: list[tuple[int, ...]] = []
    taken: set[int] = set()
    for cpu in given:
        if cpu not in taken:
            threads = _threads(cpu, sysfs)
            found.append(tuple(one for one in given if one in threads))
            taken |= threads
    return tuple(found)


def physical(cpus: Iterable[int], *, sysfs: Path = _SYSFS) -> tuple[int, ...]:
    """One CPU of each core that is among *cpus*: its first thread there."""
    return tuple(threads[0] for threads in cores(cpus, sysfs=sysfs))


def fast_first(cores: Iterable[tuple[int, ...]], *, sysfs: Path = _SYSFS) -> tuple[tuple[int, ...], ...]:
    """The cores, on a hybrid machine those for efficiency behind the others."""
    slow = set(of_kind("efficiency", sysfs=sysfs))
    return tuple(sorted(cores, key=lambda threads: threads[0] in slow))


def of_kind(kind: str, *, sysfs: Path = _SYSFS) -> tuple[int, ...]:
    """The CPUs of a hybrid machine that are for ``performance``, or for ``efficiency``; none where all are alike.

    Intel's are devices of their own for perf; of others (big.LITTLE) the kernel tells how much each can do.
    """
    text = read(f"{sysfs}/devices/{_KINDS[kind]}/cpus")
    if text is not None:
        return parse(text.decode())
    known = {int(path.parent.name[3:]): int(path.read_text()) for path in sysfs.glob(_CAPACITY)}
    if len(set(known.values())) < 2:
        return ()
    most = max(known.values())
    return tuple(sorted(cpu for cpu, capacity in known.items() if (capacity == most) == (kind == "performance")))


def choose(text: str, field: str) -> tuple[int, ...]:
    """CPUs from ``0-3,8``, or from a kind of core of this machine: ``performance``, ``efficiency``."""
    if text not in _KINDS:
        return words.numbers(text, field)
    found = of_kind(text)
    if not found:
        raise SpecError(f"{field} is {text!r}, and this machine's cores are all alike", hint="Name CPUs: 0-3.")
    return found


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


def scaled(text: str, there: int) -> int:
    """How many instances ``4``, ``+2``, ``-1`` or ``max`` make of those that are there."""
    if text == "max":
        return count("max")
    if not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise SpecError(f"the number of instances is {text!r}", hint="Write 4, +2, -1 or max.")
    number = there + int(text) if text[0] in "+-" else int(text)
    if number < 1:
        raise SpecError(
            f"{text} would leave {max(number, 0)} instances", hint="At least 1 stays; pysup stop ends all of them."
        )
    return number


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
