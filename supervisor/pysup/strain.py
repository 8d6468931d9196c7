"""Limits that instances hit, by the counters that the kernel keeps of their control groups."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from pysup import status
from pysup.events import LimitHit
from pysup.host import cgroups
from pysup.names import InstanceName
from pysup.states import UnitState


class Strain:
    """What was counted when last looked; the first look at a run of an instance tells nothing."""

    def __init__(self) -> None:
        self._counted: dict[InstanceName, tuple[str, dict[str, int]]] = {}

    def look(self, processes: Iterable[tuple[InstanceName, UnitState]]) -> Iterator[LimitHit]:
        """The limits that these have hit since."""
        for name, state in processes:
            group = state.control_group or status.control_group(state.pid, name.unit)
            now = cgroups.here().hits(group) if group else {}
            invocation, before = self._counted.get(name, ("", {}))
            self._counted[name] = (state.invocation_id, now)
            if invocation != state.invocation_id:
                before = {} if invocation else now
            for limit, count in now.items():
                if count > before.get(limit, 0):
                    yield LimitHit(
                        name=name,
                        at=time.time(),
                        pid=state.pid,
                        invocation_id=state.invocation_id,
                        limit=limit,
                        times=count - before.get(limit, 0),
                    )
