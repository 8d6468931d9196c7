"""The options that limit each instance, as ``start`` and ``run`` share them; and what they mean."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pysup.limiting import words
from pysup.limits import NumaPolicy
from pysup.limits.table import BY_FIELD, Kind


def _option(*names: str, metavar: str | None = None, help: str) -> Any:
    return typer.Option(
        *names, metavar=metavar, help=help, rich_help_panel="Limits of each instance", show_default=False
    )


MemoryMax = Annotated[str | None, _option("--memory-max", metavar="SIZE", help="It is killed above this: 512M, 1.5G.")]
MemoryHigh = Annotated[str | None, _option("--memory-high", metavar="SIZE", help="It is slowed down above this.")]
MemorySwapMax = Annotated[
    str | None, _option("--memory-swap-max", metavar="SIZE", help="So much of it may be swapped; 0: nothing.")
]
CpuQuota = Annotated[str | None, _option("--cpu-quota", metavar="SHARE", help="150% is 1.5 CPUs.")]
CpuWeight = Annotated[int | None, _option("--cpu-weight", metavar="N", help="1 to 10000; 100 is usual.")]
IoWeight = Annotated[int | None, _option("--io-weight", metavar="N", help="1 to 10000; 100 is usual.")]
IoReadMax = Annotated[
    list[str] | None, _option("--io-read-max", metavar="PATH:RATE", help="Bytes a second from a device: /srv:50M.")
]
IoWriteMax = Annotated[
    list[str] | None, _option("--io-write-max", metavar="PATH:RATE", help="… and to one: /dev/vda:10M.")
]
TasksMax = Annotated[int | None, _option("--tasks-max", metavar="N", help="Processes and threads.")]
Nofile = Annotated[int | None, _option("--nofile", metavar="N", help="Open files.")]
Cpus = Annotated[
    str | None,
    _option("--cpus", metavar="CPUS", help="It is kept on these: 0-3,8; or performance, efficiency."),
]
CpuAffinity = Annotated[
    str | None, _option("--cpu-affinity", metavar="CPUS", help="It begins on these, and may change that.")
]
NumaPolicy_ = Annotated[NumaPolicy | None, _option("--numa-policy", help="From which NUMA nodes its memory is taken.")]
NumaNodes = Annotated[str | None, _option("--numa-nodes", metavar="NODES", help="Those nodes: 0-1.")]
Total = Annotated[
    list[str] | None,
    _option("--total", metavar="LIMIT=VALUE", help="Of all instances together: memory=4G, cpu=200%; repeat it."),
]
Nice = Annotated[int | None, _option("--nice", metavar="N", help="-20 (first) to 19 (last).")]


def value(field: str, given: Any) -> Any:
    """A limit as Limits has it, of what its option was given: a number already, or text, or several."""
    option = f"--{field.replace('_', '-')}"
    if BY_FIELD[field].kind is Kind.RATES:
        return words.value(field, ",".join(given), option)
    return given if isinstance(given, int) else words.value(field, str(given), option)
