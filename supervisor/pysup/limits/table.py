"""The limits, one row each: what systemd calls them in unit files and over D-Bus, what people do, and what is live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pysup.limits.values import Limits

NEVER = 2**64 - 1
"""What systemd has over D-Bus for no limit, and for no weight."""


class Kind(StrEnum):
    """What a limit is measured in, which says how it is written."""

    SIZE = "size"
    SHARE = "share"
    COUNT = "count"
    WEIGHT = "weight"
    RATES = "rates"
    NUMBERS = "numbers"
    POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A limit. ``words`` are what people call it, the usual one first; systemd's own name is always understood.

    ``bus_name`` is what it is over D-Bus, where systemd can change it while processes run: it holds for control
    groups then, also those of slices. What has none is of processes, and each has it from its start on.
    """

    field: str
    directive: str
    kind: Kind
    words: tuple[str, ...]
    bus_name: str = ""

    @property
    def is_of_groups(self) -> bool:
        """Whether control groups have it."""
        return bool(self.bus_name)


def _row(field: str, directive: str, kind: Kind, *words: str, bus_name: str | None = None) -> Row:
    return Row(
        field=field,
        directive=directive,
        kind=kind,
        words=words,
        bus_name=directive if bus_name is None else bus_name,
    )


ROWS = (
    _row("memory_max", "MemoryMax", Kind.SIZE, "memory", "memory_max"),
    _row("memory_high", "MemoryHigh", Kind.SIZE, "memory_high"),
    _row("memory_swap_max", "MemorySwapMax", Kind.SIZE, "swap", "memory_swap_max", "swap_max"),
    _row("cpu_quota", "CPUQuota", Kind.SHARE, "cpu", "cpu_quota", bus_name="CPUQuotaPerSecUSec"),
    _row("cpu_weight", "CPUWeight", Kind.WEIGHT, "cpu_weight"),
    _row("io_weight", "IOWeight", Kind.WEIGHT, "io", "io_weight"),
    _row("io_read_max", "IOReadBandwidthMax", Kind.RATES, "io_read", "io_read_max"),
    _row("io_write_max", "IOWriteBandwidthMax", Kind.RATES, "io_write", "io_write_max"),
    _row("tasks_max", "TasksMax", Kind.COUNT, "tasks", "tasks_max"),
    _row("cpus", "AllowedCPUs", Kind.NUMBERS, "cpus"),
    _row("nofile", "LimitNOFILE", Kind.COUNT, "nofile", bus_name=""),
    _row("cpu_affinity", "CPUAffinity", Kind.NUMBERS, "affinity", "cpu_affinity", bus_name=""),
    _row("numa_policy", "NUMAPolicy", Kind.POLICY, "numa_policy", bus_name=""),
    _row("numa_nodes", "NUMAMask", Kind.NUMBERS, "numa_nodes", bus_name=""),
)

BY_FIELD: Mapping[str, Row] = {row.field: row for row in ROWS}


def directives(limits: Limits) -> Iterator[tuple[str, str]]:
    """What holds a unit to these limits."""
    for row in ROWS:
        yield from _lines(row, getattr(limits, row.field))


def overriding(before: Limits, after: Limits) -> Iterator[tuple[str, str]]:
    """What turns *before*, which a unit is held to by other files, into *after*; lists would be added to."""
    for row in ROWS:
        value = getattr(after, row.field)
        if value != getattr(before, row.field):
            if row.kind in (Kind.RATES, Kind.NUMBERS):
                yield row.directive, ""
            yield from _lines(row, value)


def _lines(row: Row, value: Any) -> Iterator[tuple[str, str]]:
    if row.kind is Kind.RATES:
        yield from ((row.directive, entry) for entry in value)
    elif value not in (None, ()):
        yield row.directive, written(row, value)


def written(row: Row, value: Any) -> str:
    """A value as systemd reads it."""
    if row.kind is Kind.SHARE:
        return f"{value * 100:.2f}".rstrip("0").rstrip(".") + "%"
    if row.kind is Kind.NUMBERS:
        return numbers(value)
    return ",".join(value) if row.kind is Kind.RATES else str(value)


def numbers(values: Iterable[int]) -> str:
    """Numbers as the kernel lists them: ``0-3,8``."""
    ranges: list[list[int]] = []
    for number in sorted(values):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def property_of(row: Row, value: Any) -> tuple[str, str, object]:
    """Name, signature and value over D-Bus; None, or nothing, is no limit. org.freedesktop.systemd1(5)."""
    signature, made = _SENT.get(row.kind, ("t", lambda number: number))
    return row.bus_name, signature, NEVER if value is None else made(value)


def _bits(cpus: Iterable[int]) -> bytes:
    mask = sum(1 << cpu for cpu in cpus)
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _rates(entries: Iterable[str]) -> list[list[object]]:
    pairs = (entry.rpartition(" ") for entry in entries)
    return [[path, int(rate)] for path, _, rate in pairs]


_SENT: Mapping[Kind, tuple[str, Callable[[Any], object]]] = {
    Kind.SHARE: ("t", lambda cpus: round(cpus * 1_000_000)),
    Kind.NUMBERS: ("ay", _bits),
    Kind.RATES: ("a(st)", _rates),
}
