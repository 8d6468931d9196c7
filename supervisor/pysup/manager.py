"""Manager: the asynchronous API. When a call returns, what it says has happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, overload

from pysup import check, jobs, journal, local, logs, names, plan, preflight, selector, starting, states, status
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import NO_SUCH_UNIT, Call
from pysup.bus.connection import Bus, Connection
from pysup.errors import BusError, Conflict, PysupError
from pysup.host import ground
from pysup.journal import Entry
from pysup.logs import LogOptions
from pysup.names import InstanceName
from pysup.plan import Plan
from pysup.render import Machine, Rendered, render
from pysup.selector import Chosen
from pysup.states import UnitState
from pysup.store import Store, Stored
from pysup.unit import ActiveState, AppStatus, Scope
from pysup.watch import Watch

if TYPE_CHECKING:
    from pysup.describe import Description
    from pysup.host.doctor import Check
    from pysup.transient import RunOptions, RunResult

Selectors = str | Sequence[str]
# Aliases, because in the class below ``list`` is a method.
AppList = list[AppStatus]
NameList = list[str]
InstanceList = list[InstanceName]
DescriptionList = list["Description"]
CheckList = list["Check"]
_Chosen = list[Chosen]
_Calls = list[Call]

Connect = Callable[[], contextlib.AbstractAsyncContextManager[Bus]]


class Manager:
    """Apps under one systemd manager; an asynchronous context manager.

    *scope* is the machine's manager for root and the user's own for everyone else, unless given. Methods that take
    *selectors* take ``all``, ``web``, ``web@2``, ``web@0..3``, ``we*`` or ``namespace/``, one or several, and raise
    NotFound for what means nothing. All raise EnvironmentProblem if systemd cannot be reached.
    """

    def __init__(
        self,
        scope: Scope | None = None,
        *,
        connect: Connect | None = None,
        store: Store | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.scope = scope or ground.default_scope()
        self._connect = connect or self._reach
        self._store = store or local.store(self.scope)
        self._given_machine = machine
        self._exits = contextlib.AsyncExitStack()
        self._bus: Bus | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @overload
    async def start(
        self, what: App, *, wait: bool = True, timeout: float | None = None, force: bool = False
    ) -> AppStatus: ...

    @overload
    async def start(
        self, what: Selectors, *, wait: bool = True, timeout: float | None = None, force: bool = False
    ) -> AppList: ...

    async def start(
        self, what: App | Selectors, *, wait: bool = True, timeout: float | None = None, force: bool = False
    ) -> AppStatus | AppList:
        """Start an app, or apps and instances that are known; what runs already is left alone.

        Returns when every instance is ready (or has survived half a second, where systemd cannot tell); with *wait*
        False as soon as systemd has the jobs. Raises StartFailed with the last log lines, JobTimeout after *timeout*
        seconds, SpecError, and Conflict if an app of that name runs with other settings; *force* replaces it.
        """
        if isinstance(what, App):
            preflight.check(what, self.scope)
            bus = await self._reached()
            notes = await starting.check_dependencies(bus, what)
            notes += await starting.check_features(bus, what, self.scope)
            begun = await self._converge(what, restart=force, force=force)
            await self._finish([begun], wait=wait, timeout=timeout)
            return replace(await self.get(what.name), notes=notes)
        return await self._begin(what, wait=wait, timeout=timeout, restart=False)

    async def restart(self, selectors: Selectors, *, wait: bool = True, timeout: float | None = None) -> AppList:
        """Stop and start; what does not run is started. Waits and raises like ``start``."""
        return await self._begin(selectors, wait=wait, timeout=timeout, restart=True)

    async def stop(self, selectors: Selectors, *, wait: bool = True, timeout: float | None = None) -> AppList:
        """Stop; returns when every process has ended. What is stopped stays known."""
        bus = await self._reached()
        chosen = self._choose(selectors)
        calls = [call for one in chosen for call in await self._stops(bus, one)]
        await (jobs.perform(bus, calls, timeout=timeout) if wait else jobs.enqueue(bus, calls))
        return await self.list(selectors)

    async def delete(self, selectors: Selectors, *, timeout: float | None = None) -> NameList:
        """Stop apps and forget them: their unit files go. Returns their names."""
        chosen = self._choose_whole(selectors, "delete")
        bus = await self._reached()
        was_saved = False
        for one in chosen:
            async with self._locked(one.app):
                stored = self._store.get(one.app)
                await jobs.perform(bus, await self._stops(bus, one), timeout=timeout)
                self._store.remove(one.app)
                was_saved = was_saved or stored.saved
                await self._forget(bus, stored)
        if was_saved:
            await bus.call(systemd1.reload())
        return [one.app for one in chosen]

    async def scale(self, name: str, count: int, *, wait: bool = True, timeout: float | None = None) -> AppStatus:
        """Have *count* instances: the highest numbers go, missing ones come. Waits and raises like ``start``."""
        app = replace(self._store.get(name).require(), instances=count)
        begun = await self._converge(app, force=True)
        await self._finish([begun], wait=wait, timeout=timeout)
        return await self.get(name)

    async def list(self, selectors: Selectors = selector.ALL) -> AppList:
        """How apps and their instances are now."""
        bus = await self._reached()
        return await bus.converse(status.apps(self._store, self.scope, selectors))

    async def get(self, name: str) -> AppStatus:
        """One app in every detail."""
        bus = await self._reached()
        (found,) = await bus.converse(status.apps(self._store, self.scope, self._store.get(name).name, detail=True))
        return found

    async def logs(
        self, selectors: Selectors = selector.ALL, *, options: LogOptions = logs.DEFAULT, follow: bool = False
    ) -> AsyncIterator[Entry]:
        """Lines of apps, and systemd's words about them, in order of time; with *follow*, on and on."""
        query = logs.query(self._store, self.scope, selectors, options)
        if follow:
            async for entry in logs.follow(query):
                yield entry
        else:
            for entry in await asyncio.to_thread(lambda: [*journal.read(query)]):
                yield entry

    def watch(self, selectors: Selectors = selector.ALL) -> Watch:
        """What happens from now on: an asynchronous context manager that gives an iterator over events."""
        return Watch(self._connect, self._meant(selectors))

    async def save(self, selectors: Selectors = selector.ALL) -> NameList:
        """Keep apps over a reboot: their files move, nothing restarts. Returns the names of those that moved."""
        return await self._move(selectors, saved=True)

    async def unsave(self, selectors: Selectors = selector.ALL) -> NameList:
        """Keep apps until the next reboot only. Returns the names of those that moved."""
        return await self._move(selectors, saved=False)

    async def send_signal(self, selectors: Selectors, signal: str, *, whom: str = "main") -> InstanceList:
        """Send a signal to the main process of running instances, or to ``all`` of theirs. Returns who got it."""
        number = signals.Signals[check.signal_name(signal, "signal")]
        found = [one.name for app in await self.list(selectors) for one in app.instances if one.pid]
        if not found:
            raise Conflict("none of these instances runs", hint="pysup list shows how they are.")
        bus = await self._reached()
        for reply in await bus.calls([systemd1.kill_unit(name.unit, whom, number) for name in found]):
            if isinstance(reply, PysupError):
                raise reply
        return found

    async def reset(self, selectors: Selectors) -> InstanceList:
        """Set restart counters to 0 and forget failures. Returns the instances."""
        bus = await self._reached()
        found = [one.name for app in await self.list(selectors) for one in app.instances]
        await bus.calls([systemd1.reset_failed_unit(name.unit) for name in found])
        return found

    async def describe(self, selectors: Selectors = selector.ALL, *, lines: int = 10) -> DescriptionList:
        """All about apps and instances, with the last *lines* that each wrote."""
        from pysup import describe  # as for doctor: few ask, so the others should not pay for the import

        gathered = await (await self._reached()).converse(describe.gather(self._store, self.scope, selectors))
        return await asyncio.to_thread(describe.complete, self._store, gathered, lines=lines)

    async def doctor(self) -> CheckList:
        """What is wrong with apps and units; ``pysup.host.doctor`` looks at the machine."""
        from pysup import doctor

        return await (await self._reached()).converse(doctor.checks(self._store, self.scope))

    async def run(self, argv: Sequence[str], *, options: RunOptions | None = None) -> RunResult:
        """Run a command once, as a transient unit, and wait until it has ended; cancelling stops it.

        Raises SpecError for what cannot be run, and JobFailed when systemd refuses it.
        """
        from pysup import transient  # an import that only jobs should pay for

        return await transient.run(await self._reached(), self.scope, argv, options or transient.RunOptions())

    async def _begin(self, selectors: Selectors, *, wait: bool, timeout: float | None, restart: bool) -> AppList:
        begun = []
        for one in self._choose(selectors):
            app = self._store.get(one.app).require()
            begun.append(await self._converge(app, one, restart=restart, force=True))
        await self._finish(begun, wait=wait, timeout=timeout)
        return await self.list(selectors)

    async def _converge(
        self, app: App, only: Chosen | None = None, *, restart: bool = False, force: bool = False
    ) -> tuple[App, _Calls, Plan]:
        """Write what has changed, stop what is too much, and say which calls start what is missing."""
        bus = await self._reached()
        async with self._locked(app.name):
            found = self._store.find(app.name)
            units = await bus.converse(states.loaded(status.patterns([app.name])))
            plan.begin(app, found, units, force=force)
            rendered = self._render(app, found)
            steps = plan.converge(app, rendered.numbers, found, units, restart=restart)
            if only and not only.whole:
                steps = plan.narrow(steps, only)
            await self._prepare(bus, app, found, rendered, steps)
        calls = [systemd1.start_unit(unit) for unit in steps.start]
        return app, calls + [systemd1.restart_unit(unit) for unit in steps.restart], steps

    async def _prepare(self, bus: Bus, app: App, found: Stored | None, rendered: Rendered, steps: Plan) -> None:
        if steps.write:
            await asyncio.to_thread(
                self._store.write, app.name, rendered.files, saved=found is not None and found.saved
            )
        if steps.reload:
            await bus.call(systemd1.reload())
        await jobs.perform(bus, [systemd1.stop_unit(unit) for unit in steps.stop])
        await bus.calls([systemd1.reset_failed_unit(unit) for unit in (*steps.reset, *steps.stop)])

    async def _finish(
        self, begun: Sequence[tuple[App, Sequence[Call], Plan]], *, wait: bool, timeout: float | None
    ) -> None:
        bus = await self._reached()
        began = time.time()
        calls = [call for _, calls, _ in begun for call in calls]
        try:
            await self._run_jobs(bus, calls, wait=wait, timeout=timeout)
        except BusError as exc:
            if exc.name != NO_SUCH_UNIT:
                raise
            # systemd looks for new files when a directory's time has changed; two changes within one tick look alike.
            await bus.call(systemd1.reload())
            await self._run_jobs(bus, calls, wait=wait, timeout=timeout)
        if wait:
            for app, _, steps in begun:
                await starting.survive(bus, self._store, self.scope, app, steps.begun, began)

    async def _run_jobs(self, bus: Bus, calls: Sequence[Call], *, wait: bool, timeout: float | None) -> None:
        if wait:
            await jobs.perform(bus, calls, timeout=timeout)
        else:
            await jobs.enqueue(bus, calls)

    async def _stops(self, bus: Bus, chosen: Chosen) -> _Calls:
        units = await bus.converse(states.loaded(status.patterns([chosen.app])))
        mine = [unit for unit in units if chosen.whole or _number(unit) in chosen.numbers]
        running = [unit for unit in mine if units[unit].active_state is not ActiveState.INACTIVE]
        return [
            systemd1.stop_unit(unit) for unit in ([names.target_unit(chosen.app)] if chosen.whole else []) + running
        ]

    async def _forget(self, bus: Bus, stored: Stored) -> None:
        """Have systemd let go of what remains loaded: failed instances, and slices that nothing is in."""
        units: dict[str, UnitState] = await bus.converse(states.loaded(status.patterns([stored.name])))
        await bus.calls([systemd1.reset_failed_unit(unit) for unit in units])
        others = [other.namespace for other in status.known(status.read(self._store)).values()]
        namespace = stored.app.namespace if stored.app else ""
        empty = [names.slice_unit(stored.name, namespace)]
        if namespace and namespace not in others:
            empty.append(names.slice_unit(namespace))
        if not others:
            empty.append(names.ROOT_SLICE)
        loaded = await bus.converse(states.loaded(empty))
        await jobs.perform(bus, [systemd1.stop_unit(unit) for unit in loaded])

    async def _move(self, selectors: Selectors, *, saved: bool) -> NameList:
        moved = []
        for one in self._choose_whole(selectors, "save"):
            async with self._locked(one.app):
                stored = self._store.get(one.app)
                if stored.saved is saved:
                    continue
                files = self._render(stored.require(), replace(stored, saved=saved)).files
                await asyncio.to_thread(self._store.write, one.app, files, saved=saved)
                moved.append(one.app)
        if moved:
            bus = await self._reached()
            await bus.call(systemd1.reload())
        return moved

    def _render(self, app: App, found: Stored | None) -> Rendered:
        if self._given_machine is None:
            self._given_machine = local.machine(self.scope)
        directory = self._store.directory(saved=found is not None and found.saved)
        return render(app, self._given_machine, str(directory))

    def _choose(self, selectors: Selectors) -> _Chosen:
        return selector.select(selectors, status.known(status.read(self._store)))

    def _choose_whole(self, selectors: Selectors, verb: str) -> _Chosen:
        chosen = self._choose(selectors)
        for one in chosen:
            if not one.whole:
                raise Conflict(
                    f"{verb} is for whole apps, not for instances of {one.app!r}",
                    hint=f"pysup scale {one.app} N changes how many there are; pysup stop ends one.",
                )
        return chosen

    def _meant(self, selectors: Selectors) -> Callable[[InstanceName], bool]:
        if selectors == selector.ALL:
            return lambda _: True
        chosen = {one.app: one for one in self._choose(selectors)}
        return lambda name: name.app in chosen and (chosen[name.app].whole or name.number in chosen[name.app].numbers)

    @contextlib.asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[None]:
        taking = asyncio.ensure_future(asyncio.to_thread(self._store.acquire, name))
        try:
            descriptor = await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(_let_go)
            raise
        try:
            yield
        finally:
            os.close(descriptor)

    async def _reached(self) -> Bus:
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


def _let_go(taken: asyncio.Future[int]) -> None:
    """Close a lock that was taken for somebody who no longer waits for it."""
    if not taken.exception():
        os.close(taken.result())


def _number(unit: str) -> int:
    name = names.parse_instance(unit)
    return name.number if name else -1
