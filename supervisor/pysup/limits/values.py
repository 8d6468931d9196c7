"""What an instance, or an app as a whole, may use: one frozen value that is valid once it exists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from pysup import check
from pysup.errors import SpecError

_RATE = re.compile(r"(/[^\s\"'\\%]*) ([1-9]\d{0,17})")
_MOST_CPUS = 8191
_MOST_NODES = 1023
_LEAST_QUOTA = 0.0001  # of a CPU: systemd reads no finer percentage


class NumaPolicy(StrEnum):
    """From which NUMA nodes memory is taken: set_mempolicy(2)."""

    DEFAULT = "default"
    PREFERRED = "preferred"
    BIND = "bind"
    INTERLEAVE = "interleave"
    LOCAL = "local"


_NEED_NODES = (NumaPolicy.PREFERRED, NumaPolicy.BIND, NumaPolicy.INTERLEAVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used; None, or nothing, is no limit of ours.

    Memory in bytes; ``cpu_quota`` in CPUs (1.5 is one and a half); weights 1 to 10000, 100 is the normal share, which
    counts against what stands beside it. ``io_read_max`` and ``io_write_max`` have entries ``/dev/vda 1048576``: a
    device, or a file on it, and bytes a second. ``cpus`` are those that it is kept on, ``cpu_affinity`` those that it
    begins on. ``numa_nodes`` go with ``numa_policy``.
    """

    memory_max: int | None = None
    memory_high: int | None = None
    memory_swap_max: int | None = None
    cpu_quota: float | None = None
    cpu_weight: int | None = None
    io_weight: int | None = None
    io_read_max: tuple[str, ...] = ()
    io_write_max: tuple[str, ...] = ()
    tasks_max: int | None = None
    nofile: int | None = None
    cpus: tuple[int, ...] = ()
    cpu_affinity: tuple[int, ...] = ()
    numa_policy: NumaPolicy | None = None
    numa_nodes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("memory_max", "memory_high", "tasks_max", "nofile", "cpu_quota"):
            value = getattr(self, name)
            if value is not None:
                check.positive(value, f"limits.{name}")
        if self.cpu_quota is not None and not _LEAST_QUOTA <= self.cpu_quota <= _MOST_CPUS:
            raise SpecError(
                f"limits.cpu_quota is {self.cpu_quota}", hint=f"It must be from 0.01% to {_MOST_CPUS} CPUs."
            )
        if self.memory_swap_max is not None:
            check.between(self.memory_swap_max, 0, 2**63 - 1, "limits.memory_swap_max")
        for name in ("cpu_weight", "io_weight"):
            value = getattr(self, name)
            if value is not None:
                check.between(value, 1, 10000, f"limits.{name}")
        for name in ("io_read_max", "io_write_max"):
            self._set(name, _rates(check.vector(getattr(self, name), f"limits.{name}"), f"limits.{name}"))
        for name, most in (("cpus", _MOST_CPUS), ("cpu_affinity", _MOST_CPUS), ("numa_nodes", _MOST_NODES)):
            self._set(name, _numbers(check.vector(getattr(self, name), f"limits.{name}"), most, f"limits.{name}"))
        self._check_numa()

    def over(self, under: Limits) -> Limits:
        """These, and where they say nothing those *under* them; a NUMA policy comes with its own nodes."""
        names = {*self.given, *(("numa_nodes",) if self.numa_policy else ())}
        return replace(under, **{name: getattr(self, name) for name in names})

    @property
    def given(self) -> list[str]:
        """The fields that say something."""
        return [name for name in self.__slots__ if getattr(self, name) not in (None, ())]

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_numa(self) -> None:
        policy = self.numa_policy
        if policy is not None:
            policy = check.choice(NumaPolicy, policy, "limits.numa_policy")
            self._set("numa_policy", policy)
        if bool(self.numa_nodes) != (policy in _NEED_NODES):
            need = ", ".join(_NEED_NODES)
            raise SpecError(
                f"limits.numa_nodes is {list(self.numa_nodes)}, with limits.numa_policy {policy or 'not given'}",
                hint=f"The policies {need} need nodes, such as bind with 0; the others have none.",
            )
        if policy is NumaPolicy.PREFERRED and len(self.numa_nodes) > 1:
            raise SpecError(
                f"limits.numa_nodes is {list(self.numa_nodes)}, and one alone can be preferred", hint="Name one."
            )


def _rates(entries: Iterable[object], field: str) -> tuple[str, ...]:
    """By path, each once, in their order."""
    found: dict[str, str] = {}
    for entry in entries:
        match = _RATE.fullmatch(str(entry))
        if not match:
            raise SpecError(
                f"{field} has {str(entry)[:60]!r}, not a device and bytes a second",
                hint="Write it like '/dev/vda 50M': a device, or a directory on it, without blanks or quotes.",
            )
        found[match[1]] = str(entry)
    return tuple(found[path] for path in sorted(found))


def _numbers(values: Iterable[object], most: int, field: str) -> tuple[int, ...]:
    """Each once, in order."""
    for value in values:
        check.between(value, 0, most, field)  # type: ignore[arg-type]
    return tuple(sorted(set(values)))  # type: ignore[arg-type]
