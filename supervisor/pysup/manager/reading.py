"""Reader: what only asks, and so needs no rights: how apps are, what happened to them, and what they write."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pysup import history, journal, local, logs, selector, status
from pysup.brakes import Specs
from pysup.bus.connection import Connection
from pysup.bus.protocol import Bus
from pysup.events import Event
from pysup.host import ground
from pysup.journal import Entry
from pysup.logs import LogOptions
from pysup.store import Store
from pysup.stream import Stream
from pysup.unit import AppStatus, Scope
from pysup.watch import Watch

if TYPE_CHECKING:
    from pysup.describe import Description
    from pysup.entrust import Secret
    from pysup.host.doctor import Check
    from pysup.limiting.view import LimitsView
    from pysup.revisions import Revision
    from pysup.why import Why

Selectors = str | Sequence[str]
Connect = Callable[[], contextlib.AbstractAsyncContextManager[Bus]]

# Aliases, because in the class below ``list`` is a method.
AppList = list[AppStatus]
DescriptionList = list["Description"]
CheckList = list["Check"]
EventList = list[Event]
WhyList = list["Why"]
RevisionList = list["Revision"]
SecretList = list["Secret"]
LimitsList = list["LimitsView"]


class Reader:
    """One connection to a systemd manager, opened when it is first needed; an asynchronous context manager.

    Methods that take *selectors* take ``all``, ``web``, ``web@2``, ``web@0..3``, ``we*`` or ``namespace/``, one or
    several, and raise NotFound for what means nothing. All raise EnvironmentProblem if systemd cannot be reached.
    """

    def __init__(
        self,
        scope: Scope | None = None,
        *,
        connect: Connect | None = None,
        store: Store | None = None,
    ) -> None:
        self.scope = scope or ground.default_scope()
        self._connect = connect or self._reach
        self._is_real = connect is None
        self._store = store or local.store(self.scope)
        self._exits = contextlib.AsyncExitStack()
        self._reaching = asyncio.Lock()
        self._bus: Bus | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    async def list(self, selectors: Selectors = selector.ALL) -> AppList:
        """How apps and their instances are now."""
        bus = await self._reached()
        return await bus.converse(status.apps(self._store, self.scope, selectors))

    async def get(self, name: str) -> AppStatus:
        """One app in every detail."""
        bus = await self._reached()
        (found,) = await bus.converse(status.apps(self._store, self.scope, self._store.get(name).name, detail=True))
        return found

    def revisions(self, name: str) -> RevisionList:
        """What an app was, oldest first, and who made it so; the newest is what it is."""
        return self._store.revisions(name)

    async def logs(
        self, selectors: Selectors = selector.ALL, *, options: LogOptions = logs.DEFAULT, follow: bool = False
    ) -> AsyncIterator[Entry]:
        """Lines of apps, and systemd's words about them, in order of time; with *follow* on and on, of new ones too."""
        query = logs.query(self._store, self.scope, selectors, options)
        if follow:
            newcomers = logs.Newcomers(self._store, self.scope, selectors, options, query)
            async for entry in logs.follow(query, newcomers):
                yield entry
        else:
            for entry in await asyncio.to_thread(lambda: [*journal.read(query)]):
                yield entry

    def watch(self, selectors: Selectors = selector.ALL, *, since: float | None = None) -> Stream:
        """What happens from now on: an asynchronous context manager that gives an iterator over events.

        With *since* (seconds since the epoch), what the journal has from then on comes first.
        """
        wanted, specs = self._wanted(selectors), Specs(self._store)
        watch = Watch(self._connect, wanted.has, brake=specs.brake)
        return Stream(watch, wanted, specs, since=since, is_real=self._is_real)

    async def events(
        self, selectors: Selectors = selector.ALL, *, since: float | None = None, until: float | None = None
    ) -> EventList:
        """What happened, as the journal has it, in order of time; the journal does not know PIDs.

        Raises NotPermitted if the caller may not read the journal.
        """
        wanted, end = self._wanted(selectors), time.time() if until is None else until
        return await asyncio.to_thread(history.read, wanted, Specs(self._store), since=since, until=end)

    async def limits(self, selectors: Selectors = selector.ALL) -> LimitsList:
        """What apps and instances may use, what they do use, and how near they came: limit, use, peak, pressure."""
        from pysup.limiting import view  # few ask, as for describe

        return await (await self._reached()).converse(view.apps(self._store, self.scope, selectors))

    async def namespace_limits(self, name: str) -> LimitsView:
        """The same of a namespace: what all of its apps may use together. Raises NotFound if no app is in it."""
        from pysup.limiting import view

        return await (await self._reached()).converse(view.namespace(self._store, self.scope, name))

    async def describe(self, selectors: Selectors = selector.ALL, *, lines: int = 10) -> DescriptionList:
        """All about apps and instances, with the last *lines* that each wrote."""
        from pysup import describe  # as for doctor: few ask, so the others should not pay for the import

        gathered = await (await self._reached()).converse(describe.gather(self._store, self.scope, selectors))
        return await asyncio.to_thread(describe.complete, self._store, gathered, lines=lines)

    async def why(self, selectors: Selectors = selector.ALL, *, count: int = 1, lines: int = 10) -> WhyList:
        """How instances ended the last *count* times within a day, with so many last lines, and what comes next.

        Raises NotPermitted if the caller may not read the journal.
        """
        from pysup import why

        conversation = status.apps(self._store, self.scope, selectors, detail=True)
        apps = await (await self._reached()).converse(conversation)
        return await asyncio.to_thread(why.tell, self._store, apps, count=count, lines=lines)

    def secrets(self, app: str) -> SecretList:
        """The secrets of an app, without their values."""
        from pysup import entrust  # few have any

        return entrust.listed(self._store, app)

    async def doctor(self) -> CheckList:
        """What is wrong with apps and units; ``pysup.host.doctor`` looks at the machine."""
        from pysup import doctor

        return await (await self._reached()).converse(doctor.checks(self._store, self.scope))

    def _wanted(self, selectors: Selectors) -> history.Wanted:
        known = status.known(status.read(self._store))
        chosen = selector.select(selectors, known) if selectors != selector.ALL else None
        return history.wanted(self.scope, local.owner(self.scope), chosen)

    async def _reached(self) -> Bus:
        async with self._reaching:
            if self._bus is None:
                self._bus = await self._exits.enter_async_context(self._connect())
        return self._bus

    @contextlib.asynccontextmanager
    async def _reach(self) -> AsyncIterator[Bus]:
        try:
            connection = await Connection(ground.bus_address(self.scope)).open()
        except OSError as exc:
            raise ground.unreachable(self.scope, exc) from exc
        try:
            yield connection
        finally:
            await connection.close()
