"""Operator: carries out what plans say, app by app, and waits until it has happened."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pysup import jobs, names, plan, sockets, starting, states, status
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.call import NO_SUCH_UNIT, Call
from pysup.bus.protocol import Bus
from pysup.converge import Decision, Workshop, before, companions_up, decide, listening
from pysup.errors import BusError, JobFailed
from pysup.front import Front
from pysup.loopless import aside
from pysup.reload import ReloadOptions, Roll
from pysup.selector import Chosen
from pysup.states import UnitState
from pysup.store import Store, Stored
from pysup.unit import ActiveState, Scope

if TYPE_CHECKING:
    from pysup.limiting.words import Wish
    from pysup.limits import Limits

_UP = ActiveState.ACTIVE
_DOWN = (ActiveState.INACTIVE, ActiveState.FAILED, ActiveState.DEACTIVATING)


@dataclass(frozen=True, slots=True)
class Operator:
    """Does things to apps over one connection."""

    bus: Bus
    scope: Scope
    store: Store
    workshop: Workshop

    async def converge(
        self, app: App, only: Chosen | None = None, *, restart: bool = False, force: bool = False
    ) -> Decision:
        """Write what has changed, stop what is too much; what is decided says which calls start what is missing."""
        self._front(app.name).check(app)
        async with self._locked(app.name):
            deciding = decide(self.store, self.workshop, app, only, restart=restart, force=force)
            decision = await self.bus.converse(deciding)
            await self._front(app.name).leave((*decision.steps.stop, *decision.steps.restart))
            if decision.steps.write:
                await aside(lambda: self.store.write(app.name, decision.rendered.files, saved=decision.saved))
            if decision.steps.reload:
                await self.bus.call(systemd1.reload())
            if decision.steps.write:
                await self._settle_around(decision.found.app if decision.found else None, app)
            await jobs.perform(self.bus, [systemd1.stop_unit(unit) for unit in decision.steps.stop])
            await self.bus.calls(decision.resets)
        return decision

    async def define(self, app: App, *, anew: bool = False) -> None:
        """Write what has changed; nothing is started or stopped."""
        async with self._locked(app.name):
            found = self.store.find(app.name)
            if found and found.app == app and not anew:
                return
            saved = found is not None and found.saved
            rendered = self.workshop.render(app, saved=saved)
            await aside(lambda: self.store.write(app.name, rendered.files, saved=saved))
            if found:
                await self.bus.call(systemd1.reload())
            await self._settle_around(found.app if found else None, app)

    async def finish(self, begun: Sequence[Decision], *, wait: bool, timeout: float | None) -> None:
        """Start what was begun and, with *wait*, see it ready."""
        try:
            await self._see_started(begun, wait=wait, timeout=timeout)
        finally:
            for one in begun:
                await self._front(one.app.name).follow()

    async def include(self, app: App, *, timeout: float | None) -> None:
        """Have a balancer that is a part of the machine's server be as *app* says, without a gap if it is in it."""
        from pysup.front import telling  # few have one

        old, unit = self.store.find(app.name), names.instance_unit(app.name, 0)
        up = (await self.bus.converse(states.loaded([unit]))).get(unit)
        if old and old.app and up and up.active_state is ActiveState.ACTIVE:
            await self.define(app)
            try:
                await telling.reload(self.bus, app.name)
            except JobFailed:
                await self.define(old.app)
                raise
        else:
            begun = await self.converge(app, restart=True, force=True)
            await self.finish([begun], wait=True, timeout=timeout)
        await telling.expect_listening(app)

    async def reload(self, app: App, options: ReloadOptions) -> str:
        """Replace the running instances of an app; start it if there are none. What could not be done without a gap."""
        self._front(app.name).check(app)
        old = self.store.find(app.name)
        units = await self.bus.converse(states.loaded(status.patterns([app.name])))
        found = {name: units[name.unit] for name in map(names.parse_instance, units) if name}
        # Those that are being started again and again come first: nothing is lost with them.
        running = sorted(
            (name for name, state in found.items() if _is_running(state)),
            key=lambda name: (found[name].active_state is _UP, name),
        )
        gap = plan.closes_first(old.app, app) if old and old.app and running else ""
        if old is None or not running or gap:
            begun = await self.converge(app, restart=True, force=True)
            await self.finish([begun], wait=True, timeout=options.timeout)
            return gap
        at_once = options.at_once(app, len(running), self.workshop.count_cpus())
        roll = Roll(
            bus=self.bus,
            store=self.store,
            scope=self.scope,
            old=old,
            app=app,
            rendered=self.workshop.render(app, saved=old.saved),
            before=self.workshop.render(old.app, saved=old.saved) if old.app else None,
            trial=self.workshop.render_trial(app) if sockets.is_tried(app) else {},
            spares=[self.workshop.render_spare(app, index) for index in range(options.spares(app, at_once))],
            front=self._front(app.name),
            at_once=at_once,
            options=options,
        )
        before = {unit: self.store.text(app.name, unit) for unit in names.companions(app.name)}
        await roll.run(running)
        await self._renew_companions(app.name, before)
        await self._settle_around(old.app, app)
        if roll.rendered.numbers != old.numbers:
            begun = await self.converge(app, restart=False, force=False)
            await self.finish([begun], wait=True, timeout=options.timeout)
        return ""

    async def stop(self, chosen: Sequence[Chosen], *, wait: bool, timeout: float | None) -> None:
        """Stop apps, or some of their instances."""
        some = [one for one in chosen if not one.whole]
        for one in some:
            await self._front(one.app).leave(names.instance_unit(one.app, number) for number in one.numbers)
        await self._make_jobs([call for one in chosen for call in await self._stops(one)], wait=wait, timeout=timeout)
        for one in some:
            await self._front(one.app).follow()

    async def delete(self, chosen: Sequence[Chosen], *, timeout: float | None) -> list[str]:
        """Stop apps, and the balancers before them, and take their files away. Returns their names."""
        was_saved = False
        chosen = [*self._before(chosen), *chosen]
        for one in chosen:
            async with self._locked(one.app):
                stored = self.store.get(one.app)
                await jobs.perform(self.bus, await self._stops(one), timeout=timeout)
                self.store.remove(one.app)
                self.store.remove_spare(one.app)
                await self._settle_around(stored.app, None)
                was_saved = was_saved or stored.saved
                await self._forget(stored)
        if was_saved:
            await self.bus.call(systemd1.reload())
        return sorted(one.app for one in chosen)

    def _before(self, chosen: Sequence[Chosen]) -> list[Chosen]:
        """The balancers of these apps that are not among them."""
        names = {one.app for one in chosen}
        found = [one for app in names for one in before(self.store, app) if one.name not in names]
        return [Chosen(one.name, one.numbers, whole=True) for one in found]

    async def limit(self, chosen: Sequence[Chosen], wish: Wish) -> dict[str, tuple[str, ...]]:
        """Hold apps to other limits, or single instances; nothing restarts. What has to wait, by app."""
        from pysup.limiting import change  # not for those who start, stop and reload

        notes = {}
        try:
            for one in chosen:
                async with self._locked(one.app):
                    notes[one.app] = await change.app(self.bus, self.store, self.workshop, one, wish)
        finally:
            await self.bus.call(systemd1.reload())
        return notes

    async def limit_namespace(self, name: str, wanted: Sequence[str] | Limits, *, force: bool) -> tuple[str, ...]:
        """Hold all apps of a namespace together to other limits. What is worth telling."""
        from pysup.limiting import change, namespaces  # as above

        async with self._locked(namespaces.lock(name)):
            return await change.namespace(self.bus, self.store, name, wanted, force=force)

    async def move(self, apps: Sequence[str], *, saved: bool) -> list[str]:
        """Keep apps for good, or until the next boot; the names of those that moved."""
        moved = []
        for name in apps:
            async with self._locked(name):
                stored = self.store.get(name)
                if stored.saved is saved:
                    continue
                rendered = self.workshop.render(stored.require(), saved=saved)
                await aside(functools.partial(self.store.write, name, rendered.files, saved=saved))
                moved.append(name)
        for namespace in {one.namespace for name in moved if (one := self.store.get(name).app)} - {""}:
            await self._settle_namespace(namespace)
        if moved:
            await self.bus.call(systemd1.reload())
        return moved

    async def _renew_companions(self, app: str, before: Mapping[str, str | None]) -> None:
        """Have those that stand beside the instances be as their files say now."""
        changed = [unit for unit, text in before.items() if self.store.text(app, unit) != text]
        if changed:
            up = await self.bus.converse(companions_up(app))
            await jobs.perform(
                self.bus, [systemd1.stop_unit(unit) for unit in up if names.companion_file(unit) in changed]
            )
            await jobs.perform(self.bus, [systemd1.start_unit(names.target_unit(app))])

    async def _settle_around(self, before: App | None, after: App | None) -> None:
        """Have what is not the app's own be as it asks: services that it leaves CPUs to, the namespace that it left."""
        if any(app and app.reserve_for for app in (before, after)):
            from pysup.limiting import reserving  # few have it

            await reserving.settle(self.bus, self.store, before, after)
        if before and after and before.namespace not in ("", after.namespace):
            await self._settle_namespace(before.namespace)  # it may have been the last in there

    async def _settle_namespace(self, name: str) -> None:
        from pysup.limiting import namespaces  # not for those who start, stop and reload

        await aside(functools.partial(namespaces.settle, self.store, name))

    def _front(self, app: str) -> Front:
        return Front(self.bus, self.store, self.scope, app)

    async def _see_started(self, begun: Sequence[Decision], *, wait: bool, timeout: float | None) -> None:
        began = time.time()
        try:
            await self._start(begun, wait=wait, timeout=timeout)
        except BusError as exc:
            if exc.name != NO_SUCH_UNIT:
                raise
            # systemd looks for new files when a directory's time has changed; two changes within one tick look alike.
            await self.bus.call(systemd1.reload())
            await self._start(begun, wait=wait, timeout=timeout)
        for one in begun if wait else ():
            await starting.opened(self.bus, one.app, one.rendered.numbers)
            await starting.survive(self.bus, self.store, self.scope, one.app, one.steps.begun, began)
            await starting.stand_by(self.bus, self.scope, one.app, one.steps.begun)

    async def _start(self, begun: Sequence[Decision], *, wait: bool, timeout: float | None) -> None:
        calls = [call for one in begun for call in one.calls]
        if wait:
            # A target's job lasts as long as systemd tries its instances again, maybe for ever.
            units = {unit for one in begun for unit in one.steps.begun}
            await jobs.perform(self.bus, calls, until=units, timeout=timeout)
        else:
            await jobs.enqueue(self.bus, calls)

    async def _make_jobs(self, calls: Sequence[Call], *, wait: bool, timeout: float | None) -> None:
        await (jobs.perform(self.bus, calls, timeout=timeout) if wait else jobs.enqueue(self.bus, calls))

    async def _stops(self, chosen: Chosen) -> list[Call]:
        units = await self.bus.converse(states.loaded(status.patterns([chosen.app])))
        running = [unit for unit in units if units[unit].active_state is not ActiveState.INACTIVE]
        mine = [unit for unit in running if chosen.whole or _number(unit) in chosen.numbers]
        group = [names.target_unit(chosen.app)] if chosen.whole else []
        if chosen.whole or mine == running:  # with nobody left, the next connection would start the app again
            group = [*await self.bus.converse(listening(chosen.app)), *group]
        if chosen.whole:
            group = [*await self.bus.converse(companions_up(chosen.app)), *group]
        return [systemd1.stop_unit(unit) for unit in (*group, *mine)]

    async def _forget(self, stored: Stored) -> None:
        """Have systemd let go of what remains loaded: failed units, and slices that nothing is in."""
        units = await self.bus.converse(states.loaded(status.patterns([stored.name])))
        beside = await self.bus.converse(companions_up(stored.name))
        left = [*units, *beside, *await self.bus.converse(listening(stored.name))]
        await self.bus.calls([systemd1.reset_failed_unit(unit) for unit in left])
        others = [other.namespace for other in status.known(status.read(self.store)).values()]
        namespace = stored.app.namespace if stored.app else ""
        empty = [names.slice_unit(stored.name, namespace)]
        if namespace:
            await self._settle_namespace(namespace)
        if namespace and namespace not in others:
            empty.append(names.slice_unit(namespace))
        if not others:
            empty.append(names.ROOT_SLICE)
        loaded = await self.bus.converse(states.loaded(empty))
        await jobs.perform(self.bus, [systemd1.stop_unit(unit) for unit in loaded])

    @contextlib.asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[None]:
        descriptor = await aside(lambda: self.store.acquire(name), undo=os.close)
        try:
            yield
        finally:
            os.close(descriptor)


def _is_running(state: UnitState) -> bool:
    """Whether it runs, or ends without having been told to: then systemd may start it again at any moment."""
    ends_by_itself = state.active_state is ActiveState.DEACTIVATING and not state.job
    return ends_by_itself or state.active_state not in _DOWN


def _number(unit: str) -> int:
    name = names.parse_instance(unit)
    return name.number if name else -1
