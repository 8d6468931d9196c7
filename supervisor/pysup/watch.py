"""The stream of what happens to instances; it survives the bus and says where it had a gap."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self, cast

from pysup import names, states, track
from pysup.bus import systemd1
from pysup.bus.call import Signal
from pysup.bus.connection import Bus
from pysup.errors import BusError, EnvironmentProblem, PysupError
from pysup.events import Event, Failed, Lost, Stopped
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.unit import ActiveState

PATTERNS = (f"{names.PREFIX}*@*.service",)
BUFFER = 10_000
RETRY = 0.2

Connect = Callable[[], contextlib.AbstractAsyncContextManager[Bus]]

_OURS = systemd1.unit_path(names.PREFIX)
_ENDED = (ActiveState.INACTIVE, ActiveState.FAILED)
_ORDER = "StateChangeTimestampMonotonic"


class Watch:
    """An asynchronous context manager, and an iterator over events while the block lasts.

    Whatever happens after the block is entered is reported. When the reader is slower than events come, or the bus goes
    away, ``Lost`` says so, and the restarts in between follow from systemd's own counters.
    """

    def __init__(self, connect: Connect, wanted: Callable[[InstanceName], bool], *, buffer: int = BUFFER) -> None:
        self._connect = connect
        self._wanted = wanted
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._buffer = buffer
        self._values: dict[str, dict[str, object]] = {}
        self._known: dict[str, UnitState] = {}
        self._ends: dict[str, Event] = {}
        self._confirming: set[asyncio.Task[None]] = set()
        self._bus: Bus | None = None
        self._gap = ""
        self._stale = asyncio.Event()
        self._attached: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._attached = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name="pysup watch")
        try:
            await self._attached
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if self._gap and self._events.empty():
            self._stale.set()
        return event

    async def _end(self) -> None:
        for task in (*self._confirming, *([self._task] if self._task else [])):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            try:
                async with self._connect() as bus:
                    await self._follow(bus)
                self._gap = "the bus went away"
            except (BusError, EnvironmentProblem, OSError) as exc:
                if self._attached and not self._attached.done():
                    self._attached.set_exception(exc)
                    return
                self._gap = str(exc)
            await asyncio.sleep(RETRY)  # nothing tells when a bus comes back

    async def _follow(self, bus: Bus) -> None:
        """Report until the connection ends."""
        self._bus = bus
        with bus.listening(self._receive):
            for rule in (systemd1.unit_changes_rule(), systemd1.manager_rule(), systemd1.owner_rule()):
                await bus.match(rule)
            ended = asyncio.create_task(bus.ended(), name="pysup watch: bus ended")
            try:
                while not ended.done():
                    await self._catch_up(bus)
                    stale = asyncio.create_task(self._stale.wait(), name="pysup watch: stale")
                    await asyncio.wait({ended, stale}, return_when=asyncio.FIRST_COMPLETED)
                    stale.cancel()
            finally:
                ended.cancel()

    async def _catch_up(self, bus: Bus) -> None:
        """Compare with what systemd has now: at the beginning, and after each gap."""
        self._stale.clear()
        with contextlib.suppress(BusError):  # AlreadySubscribed, after a daemon-reexec
            await bus.call(systemd1.subscribe())
        found = await bus.converse(states.snapshot(PATTERNS))
        first = self._attached is not None and not self._attached.done()
        if self._gap:
            gap, self._gap = self._gap, ""
            self._events.put_nowait(Lost(at=time.time(), reason=gap))
        for unit, values in found.items():
            self._update(unit, values, silent=first)
        for unit in self._known.keys() - found.keys():
            self._forget(unit)
        if first and self._attached:
            self._attached.set_result(None)

    def _receive(self, signal: Signal) -> None:
        if signal.member == "PropertiesChanged" and signal.path.startswith(_OURS):
            self._changed(systemd1.unit_name(signal.path), signal)
        elif signal.member == "UnitRemoved" and not self._gap:
            self._forget(str(signal.args[0]))
        elif signal.member == "NameOwnerChanged" and signal.args[2]:
            self._gap = self._gap or "systemd was executed anew"
            self._stale.set()

    def _changed(self, unit: str, signal: Signal) -> None:
        interface, values = signal.args[0], signal.args[1]
        if names.parse_instance(unit) is None or not isinstance(values, dict):
            return
        if self._gap or self._events.qsize() >= self._buffer:
            self._gap = self._gap or "events came faster than they were read"
            return
        # The service's own properties come first and the unit's next, so the second completes the picture.
        if interface == systemd1.UNIT:
            self._update(unit, {**self._values.get(unit, {}), **values})
        elif interface == systemd1.SERVICE:
            self._values[unit] = {**self._values.get(unit, {}), **values}

    def _update(self, unit: str, values: dict[str, object], *, silent: bool = False) -> None:
        """Take in the newest values, unless newer ones have come by another way."""
        name = names.parse_instance(unit)
        if name is None or _stamp(values) < _stamp(self._values.get(unit, {})):
            return
        before = self._known.get(unit) or UnitState(unit=unit)
        self._values[unit], self._known[unit] = values, states.state_of(unit, values)
        if not silent and self._wanted(name):
            self._settle_end(unit, before, self._known[unit])
            for event in track.happened(name, before, self._known[unit], time.time()):
                if isinstance(event, (Failed, Stopped)):
                    self._ends[unit] = event
                else:
                    self._events.put_nowait(event)
            if unit in self._ends and not self._known[unit].job:
                self._confirm_end(unit)

    def _settle_end(self, unit: str, before: UnitState, now: UnitState) -> None:
        """What became of an end that was seen, and not yet told, now that the unit has gone on."""
        if unit in self._ends and now.active_state not in _ENDED:
            end = self._ends.pop(unit)
            if not track.goes_on(before, now):
                self._events.put_nowait(end)

    def _confirm_end(self, unit: str) -> None:
        task = asyncio.create_task(self._tell_end_if_it_stays(unit), name=f"pysup watch: end of {unit}")
        self._confirming.add(task)
        task.add_done_callback(self._confirming.discard)

    async def _tell_end_if_it_stays(self, unit: str) -> None:
        """Ask systemd once more: it passes through failed and inactive on its way to a restart."""
        now = UnitState(unit=unit)
        with contextlib.suppress(PysupError):
            if self._bus:
                (values,) = await self._bus.call(systemd1.get_all(systemd1.unit_path(unit), systemd1.UNIT))
                now = states.state_of(unit, cast("dict[str, object]", values))
        if unit in self._ends and now.active_state in _ENDED and not now.job:
            self._events.put_nowait(self._ends.pop(unit))

    def _forget(self, unit: str) -> None:
        name, before = names.parse_instance(unit), self._known.pop(unit, None)
        self._values.pop(unit, None)
        if unit in self._ends:
            self._events.put_nowait(self._ends.pop(unit))
        elif name and before and self._wanted(name):
            for event in track.gone(name, before, time.time()):
                self._events.put_nowait(event)


def _stamp(values: dict[str, object]) -> int:
    stamp = values.get(_ORDER, 0)
    return stamp if isinstance(stamp, int) else 0
