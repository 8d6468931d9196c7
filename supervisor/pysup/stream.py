"""All events as one stream: of instances over D-Bus, of apps from the journal, of limits from control groups."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from pysup import history
from pysup.brakes import Specs
from pysup.errors import PysupError
from pysup.events import Event, InstanceEvent
from pysup.history import Wanted
from pysup.journal.words import DeedTail
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.strain import Strain
from pysup.watch import Watch

LIMITS_EVERY = 10.0  # seconds between two looks at the kernel's counters
_LAG = 0.3  # seconds that journald may take to write what systemd has just said


class Stream:
    """An asynchronous context manager, and an iterator over events while the block lasts.

    What ``Watch`` promises, and more events. With *since*, what the journal has from then on comes first, without a gap
    between. ``blind`` is why what pysup commands do is not told: the error if the caller may not read the journal.
    """

    def __init__(
        self, watch: Watch, wanted: Wanted, specs: Specs, *, since: float | None = None, is_real: bool = True
    ) -> None:
        self.blind: PysupError | None = None
        self._watch = watch
        self._wanted = wanted
        self._specs = specs
        self._since = since
        self._is_real = is_real
        self._exits = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._watch)
        try:
            if self._is_real:
                await self._begin()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._watch)

    @property
    def gap(self) -> str:
        """Why what happens now is not seen (the bus went away …); empty while it is seen."""
        return self._watch.gap

    def states(self) -> Iterator[tuple[InstanceName, UnitState]]:
        """The instances that are loaded, as systemd last said that they are: this asks nobody. Others are inactive."""
        return self._watch.states()

    async def _begin(self) -> None:
        self._run(self._look_at_limits(), "limits")
        try:
            tail = await asyncio.to_thread(DeedTail, self._wanted.scope, self._wanted.uid, since=self._since)
        except PysupError as exc:
            if self._since is not None:
                raise
            self.blind = exc
            return
        self._exits.callback(tail.close)
        if self._since is not None:
            self._watch.precede(await self._past(tail, self._since))
        self._run(self._follow(tail), "deeds")

    def _run(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"pysup stream: {name}")
        self._exits.push_async_callback(_end, task)

    async def _past(self, tail: DeedTail, since: float) -> list[Event]:
        watch = self._watch
        if time.time() - max(watch.known_until.values(), default=0.0) < _LAG:
            await asyncio.sleep(_LAG)  # nothing tells when journald has written all that it was sent
        past = await asyncio.to_thread(
            history.join,
            self._wanted,
            self._specs,
            tail.past,
            since=since,
            until=watch.began,
            known_until=watch.known_until,
        )
        pids = {state.invocation_id: state.pid for _, state in watch.processes()}
        return [_with_pid(event, pids) for event in past]

    async def _follow(self, tail: DeedTail) -> None:
        """Tell what pysup commands do."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(tail.fileno(), ready.set)
        try:
            while True:
                ready.clear()
                for event in tail.available():
                    if self._wanted.has_app(event.app):
                        self._watch.tell(event)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(tail.interval):  # wait_for of Python 3.11 may swallow a cancellation
                        await ready.wait()
        finally:
            loop.remove_reader(tail.fileno())

    async def _look_at_limits(self) -> None:
        strain = Strain()
        while True:
            processes = [*self._watch.processes()]
            apps = {app for app in {name.app for name, _ in processes} if self._specs.is_limited(app)}
            limited = [one for one in processes if one[0].app in apps]
            for event in await asyncio.to_thread(lambda: [*strain.look(limited)]):  # noqa: B023
                self._watch.tell(event)
            await asyncio.sleep(LIMITS_EVERY)  # the kernel calls nobody for most of them


def _with_pid(event: Event, pids: Mapping[str, int]) -> Event:
    """The event with the process of its run, which the journal does not tell, if that run goes on."""
    if isinstance(event, InstanceEvent) and event.invocation_id in pids:
        return replace(event, pid=pids[event.invocation_id])
    return event


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
