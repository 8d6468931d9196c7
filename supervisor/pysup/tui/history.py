"""What instances and apps used at the last measurements."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pysup.names import InstanceName
from pysup.unit import AppStatus, Instance

LENGTH = 30
"""So many measurements are kept: no bars are wider."""


class Trace(NamedTuple):
    """CPU in percent of one, and memory in bytes, oldest first; None where it was not known."""

    cpu: deque[float | None]
    memory: deque[int | None]


class History:
    """Traces by name: ``web@0`` is an instance's, ``web`` that of all its instances together."""

    def __init__(self) -> None:
        self._traces: dict[str, Trace] = {}
        self._before: dict[InstanceName, tuple[int, float]] = {}
        self._then: float | None = None
        self._shares: dict[InstanceName, float] = {}
        self._times = 0

    @property
    def shares(self) -> Mapping[InstanceName, float]:
        """What part of a CPU each instance had between the last two measurements, where both met the same process."""
        return self._shares

    @property
    def has_shares(self) -> bool:
        """Whether there were two measurements."""
        return self._times > 1

    def add(self, apps: Iterable[AppStatus], at: float) -> None:
        """Take in a measurement; *at* is seconds of any clock that goes on steadily."""
        each = [(app.name, one) for app in apps for one in app.instances]
        seconds = None if self._then is None else max(at - self._then, 0.01)
        self._shares = dict(self._measure([one for _, one in each], seconds)) if seconds else {}
        self._before = {one.name: (one.pid, one.usage.cpu_seconds or 0.0) for _, one in each if one.pid}
        self._then, self._times = at, self._times + 1
        sums: dict[str, tuple[float | None, int | None]] = {}
        for app, one in each:
            values = (self._shares.get(one.name), one.usage.memory)
            self._note(str(one.name), values)
            sums[app] = _plus(sums.get(app, (None, None)), values)
        for app, values in sums.items():
            self._note(app, values)
        known = {*sums, *(str(one.name) for _, one in each)}
        self._traces = {name: trace for name, trace in self._traces.items() if name in known}

    def trace(self, name: str) -> Trace:
        """The trace of an instance or an app."""
        return self._traces.get(name) or Trace(deque(), deque())

    def _note(self, name: str, values: tuple[float | None, int | None]) -> None:
        trace = self._traces.setdefault(name, Trace(deque(maxlen=LENGTH), deque(maxlen=LENGTH)))
        trace.cpu.append(values[0])
        trace.memory.append(values[1])

    def _measure(self, each: Iterable[Instance], seconds: float) -> Iterator[tuple[InstanceName, float]]:
        for one in each:
            pid, used = self._before.get(one.name, (0, 0.0))
            if one.pid and one.pid == pid and one.usage.cpu_seconds is not None:
                yield one.name, 100 * max(0.0, one.usage.cpu_seconds - used) / seconds


def _plus(
    one: tuple[float | None, int | None], other: tuple[float | None, int | None]
) -> tuple[float | None, int | None]:
    cpu = one[0] if other[0] is None else (one[0] or 0.0) + other[0]
    memory = one[1] if other[1] is None else (one[1] or 0) + other[1]
    return cpu, memory
