"""The kernel's small files as numbers: what is not understood is not known, and never an error."""

from __future__ import annotations

import re
from typing import NamedTuple

UNLIMITED = 1 << 62  # v1 writes "no limit" as a number just under 2^63
_DIGITS = 20  # of 2^64
_PRESSURE = re.compile(
    r"^(some|full) avg10=([0-9]{1,3}\.[0-9]+) avg60=\S+ avg300=\S+ total=([0-9]{1,20})$", re.MULTILINE
)


class Stall(NamedTuple):
    """How much of the time work stood still for want of something.

    ``avg10`` is a share (0 to 1) of the last 10 seconds; ``total`` is in seconds, since the group was made.
    """

    avg10: float
    total: float


class Pressure(NamedTuple):
    """Pressure stall information: ``some`` of the work stood still, or all of it (``full``). cgroup-v2.rst."""

    some: Stall | None = None
    full: Stall | None = None


class Transferred(NamedTuple):
    """Bytes and operations, of all devices together."""

    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


def number(text: str) -> int | None:
    """A count; None for anything else, ``max`` included."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def limit(text: str) -> int | None:
    """A limit; None for none (``max``, -1, or v1's huge number) and for what is not known."""
    value = number(text)
    return value if value is not None and value < UNLIMITED else None


def share(quota: str, period: str) -> float | None:
    """CPUs, of a quota in a period."""
    used, whole = limit(quota), limit(period)
    return used / whole if used is not None and whole else None


def counters(text: str) -> dict[str, int]:
    """``name 12`` a line, as in cpu.stat and memory.events."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        count = number(value)
        if count is not None:
            found[name] = count
    return found


def io_stat(text: str) -> Transferred:
    """v2's io.stat: ``8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`` a device."""
    sums = dict.fromkeys(("rbytes", "wbytes", "rios", "wios"), 0)
    for line in text.splitlines():
        for pair in line.split():
            name, _, value = pair.partition("=")
            if name in sums:
                sums[name] += number(value) or 0
    return Transferred(*sums.values())


def blkio(text: str) -> tuple[int, int]:
    """What was read and written, from one of v1's blkio files: ``8:0 Read 1``, ``8:0 Write 2`` … a device."""
    sums = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in sums:
            sums[words[1]] += number(words[2]) or 0
    return sums["Read"], sums["Write"]


def pressure(text: str) -> Pressure | None:
    """``some avg10=0.00 avg60=0.00 avg300=0.00 total=0`` and a line for ``full``; None if it holds neither."""
    found = {which: _stall(*rest) for which, *rest in _PRESSURE.findall(text)}
    return Pressure(some=found.get("some"), full=found.get("full")) if found else None


def _stall(avg10: str, total: str) -> Stall:
    return Stall(avg10=min(float(avg10) / 100, 1.0), total=int(total) / 1e6)
