"""What happens to instances, over D-Bus; it survives the bus and says where it had a gap."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, cast

from pysup import names, states, track
from pysup.bus import systemd1
from pysup.bus.call import Signal
from pysup.bus.protocol import Bus
from pysup.errors import BusError, EnvironmentProblem, PysupError
from pysup.events import NO_BRAKE, Brake, Event, Failed, Lost, Stopped
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.unit import ActiveState

PATTERNS = (f"{names.PREFIX}*@*.service",)
BUFFER = 10_000
RETRY = 0.2

Connect = Callable[[], contextlib.AbstractAsyncContextManager[Bus]]

_OURS = systemd1.unit_path(names.PREFIX)
_ENDED = (ActiveState.INACTIVE, ActiveState.FAILED)
_MOVING = (ActiveState.ACTIVATING, ActiveState.DEACTIVATING)
_ORDER = "StateChangeTimestampMonotonic"
_WORDS = 0.002  # seconds after a change within which systemd has written what it says of it


class Watch:
    """An asynchronous context manager, and an iterator over events while the block lasts.

    Whatever happens after the block is entered is reported. When the reader is slower than events come, or the bus goes
    away, ``Lost`` says so, and the restarts in between follow from systemd's own counters.
    ``known_until`` says, by unit, up to when events are taken as known: what came later is reported.
    """

    def __init__(
        self,
        connect: Connect,
        wanted: Callable[[InstanceName], bool],
        *,
        brake: Callable[[str], Brake] = lambda _: NO_BRAKE,
        buffer: int = BUFFER,
    ) -> None:
        self.began = 0.0
        self.known_until: dict[str, float] = {}
        self._connect = connect
        self._wanted = wanted
        self._brake = brake
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._buffer = buffer
        self._values: dict[str, dict[str, object]] = {}
        self._known: dict[str, UnitState] = {}
        self._ends: dict[str, Event] = {}
        self._removed: set[str] = set()
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

    def tell(self, event: Event) -> None:
        """Have the reader given an event from elsewhere."""
        self._events.put_nowait(event)

    def precede(self, events: Iterable[Event]) -> None:
        """Have the reader given these before all that waits for it."""
        waiting = [self._events.get_nowait() for _ in range(self._events.qsize())]
        for event in (*events, *waiting):
            self._events.put_nowait(event)

    @property
    def gap(self) -> str:
        """Why what happens now is not seen, and what is known may be old; empty while it is seen."""
        return self._gap

    def states(self) -> Iterator[tuple[InstanceName, UnitState]]:
        """The instances that are wanted and loaded, as systemd last said that they are: this asks nobody."""
        for unit, state in self._known.items():
            name = names.parse_instance(unit)
            if name and self._wanted(name):
                yield name, state

    def processes(self) -> Iterator[tuple[InstanceName, UnitState]]:
        """Those of them that have a main process."""
        return ((name, state) for name, state in self.states() if state.pid)

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
        first = self._attached is not None and not self._attached.done()
        self.began = time.time() if first else self.began
        found = await bus.converse(states.snapshot(PATTERNS))
        if self._gap:
            gap, self._gap = self._gap, ""
            self._events.put_nowait(Lost(at=time.time(), reason=gap))
        for unit, values in found.items():
            self._update(unit, values, silent=first)
        for unit in self._known.keys() - found.keys():
            self._forget(unit)
        if first and self._attached:
            self.known_until = {unit: _known_until(state) for unit, state in self._known.items()}
            self._attached.set_result(None)

    def _receive(self, signal: Signal) -> None:
        if signal.member == "PropertiesChanged" and signal.path.startswith(_OURS):
            self._changed(systemd1.unit_name(signal.path), signal)
        elif signal.member == "UnitRemoved" and not self._gap and str(signal.args[0]) in self._known:
            self._removed.add(str(signal.args[0]))
            if len(self._removed) == 1:
                self._confirm(self._forget_removed(), "removed units")
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
            # Before all units are known, nobody can tell what is new.
            is_known = self._attached is None or self._attached.done()
            self._update(unit, {**self._values.get(unit, {}), **states.kept(values)}, silent=not is_known)
        elif interface == systemd1.SERVICE:
            self._values[unit] = {**self._values.get(unit, {}), **states.kept(values)}

    def _update(self, unit: str, values: dict[str, object], *, silent: bool = False) -> None:
        """Take in the newest values, unless newer ones have come by another way."""
        name = names.parse_instance(unit)
        if name is None or _stamp(values) < _stamp(self._values.get(unit, {})):
            return
        before = self._known.get(unit) or UnitState(unit=unit)
        self._values[unit], self._known[unit] = values, states.state_of(unit, values)
        if not silent and self._wanted(name):
            self._settle_end(unit, before, self._known[unit])
            for event in track.happened(name, before, self._known[unit], time.time(), self._brake(name.app)):
                if isinstance(event, (Failed, Stopped)):
                    self._ends[unit] = event
                else:
                    self._events.put_nowait(event)
            if unit in self._ends and not self._known[unit].job:
                self._confirm(self._tell_end_if_it_stays(unit), f"end of {unit}")

    def _settle_end(self, unit: str, before: UnitState, now: UnitState) -> None:
        """What became of an end that was seen, and not yet told, now that the unit has gone on."""
        if unit in self._ends and now.active_state not in _ENDED:
            end = self._ends.pop(unit)
            if not track.goes_on(before, now):
                self._events.put_nowait(end)

    def _confirm(self, question: Coroutine[None, None, None], about: str) -> None:
        task = asyncio.create_task(question, name=f"pysup watch: {about}")
        self._confirming.add(task)
        task.add_done_callback(self._confirming.discard)

    async def _forget_removed(self) -> None:
        """Ask which units are gone: a daemon-reload removes all, and has them again."""
        while self._removed and self._bus:
            asked = frozenset(self._removed)
            try:
                (rows,) = await self._bus.call(systemd1.list_units(PATTERNS))
                left = {str(row[0]) for row in cast("list[Sequence[object]]", rows)}
                self._removed -= asked
                for unit in asked - left:
                    self._forget(unit)
                await self._look_again([unit for unit in asked & left if unit in self._known])
            except PysupError:
                self._removed.clear()  # the bus went away: who comes back looks what there is

    async def _look_again(self, units: Sequence[str]) -> None:
        """Ask for the states of units that were loaded anew, if what they were about to do would go untold."""
        for unit in units:
            if self._known[unit].active_state in _MOVING and self._bus:
                (values,) = await self._bus.call(systemd1.get_all(systemd1.unit_path(unit)))
                self._update(unit, states.kept(cast("dict[str, object]", values)))
            elif unit in self._ends:
                await self._tell_end_if_it_stays(unit)

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


def _known_until(state: UnitState) -> float:
    """When systemd last changed anything about a unit; it writes its words about that a little later."""
    return max(state.since or 0.0, (state.last_exit.at or 0.0) if state.last_exit else 0.0) + _WORDS


def _stamp(values: dict[str, object]) -> int:
    stamp = values.get(_ORDER, 0)
    return stamp if isinstance(stamp, int) else 0
