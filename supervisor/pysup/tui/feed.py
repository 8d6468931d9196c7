"""Looking at apps as they go: states as systemd pushes them, resources each so many seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import NamedTuple

from pysup import status
from pysup.errors import NotFound, PysupError
from pysup.events import Event, InstanceEvent
from pysup.host import cgroups
from pysup.manager import Manager
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.stream import Stream
from pysup.tui import picture
from pysup.unit import AppStatus, Usage

INTERVAL = 2.0
TOGETHER = 0.1  # seconds: what happens within so short a time is one look
_CALM = 1.0  # seconds between two lists, at least: after a start of many, one event comes for each

Connect = Callable[[], Manager]


class Look(NamedTuple):
    """Apps now. ``measured`` when what they use was read anew; ``gap`` is why their states may be old, or empty."""

    apps: Sequence[AppStatus]
    measured: bool
    gap: str = ""


class Feed:
    """Looks at the chosen apps: one when something has happened, and one each *interval* seconds with what they use.

    It survives the bus: a look tells that it is gone, and a later one that it is back, with what has happened since.
    """

    def __init__(self, connect: Connect, selectors: str | Sequence[str], *, interval: float = INTERVAL) -> None:
        self._connect = connect
        self._selectors = selectors
        self._interval = interval
        self._apps: list[AppStatus] = []
        self._is_stale = True
        self._listed = -_CALM
        self._states: dict[InstanceName, UnitState] = {}
        self._problem = ""
        self._news = asyncio.Event()

    async def looks(self) -> AsyncGenerator[Look, None]:
        """Look on and on. Raises what ``Manager.watch`` does when it cannot begin."""
        async with self._connect() as manager, manager.watch(self._selectors) as stream:
            listening = asyncio.create_task(self._listen(stream), name="pysup feed: events")
            try:
                due = time.monotonic()
                while True:
                    await self._take_in(stream)
                    measured = time.monotonic() >= due
                    if measured:
                        due = time.monotonic() + self._interval
                        self._apps = picture.measured(self._apps, await asyncio.to_thread(usages, self._apps))
                    yield Look(self._apps, measured, stream.gap or self._problem)
                    if listening.done():
                        listening.result()
                    is_to_list = self._is_stale and not stream.gap
                    await self._wait(min(due, self._listed + _CALM) if is_to_list else due)
            finally:
                listening.cancel()

    async def _listen(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._is_stale = self._is_stale or not isinstance(event, InstanceEvent)  # it may have other instances now
            self._news.set()

    async def _wait(self, until: float) -> None:
        """Return when something has happened, or it is time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                await self._news.wait()
                await asyncio.sleep(TOGETHER)  # a stretch of time is what is meant
        self._news.clear()

    async def _take_in(self, stream: Stream) -> None:
        """Have the newest states; list the apps again if there may be others."""
        states, before = dict(stream.states()), self._states
        self._is_stale = self._is_stale or states.keys() != before.keys()
        if self._is_stale and not stream.gap and time.monotonic() >= self._listed + _CALM:
            await self._list()
            before = {}
        self._apps, self._states = picture.absorb(self._apps, states, before), states

    async def _list(self) -> None:
        self._is_stale, self._problem, self._listed = False, "", time.monotonic()
        try:
            async with self._connect() as manager:  # one of its own: the other's connection may be one that is gone
                self._apps = list(await manager.list(self._selectors))
        except NotFound:  # what was asked for has been deleted
            self._apps = []
        except PysupError as exc:
            self._is_stale, self._problem = True, exc.message


def usages(apps: Sequence[AppStatus]) -> dict[InstanceName, Usage]:
    """What the instances that run use now, in one pass over their control groups."""
    running = [one for app in apps for one in app.instances if one.pid]
    groups = {one.name: one.control_group or status.control_group(one.pid, one.name.unit) for one in running}
    return {name: cgroups.usage(group) for name, group in groups.items()}
