"""Reload: the new version proves itself in a spare instance, then instances are replaced one after the other.

The spare is a unit file of its own (``pysup-web@next.service``) in the runtime directory: systemd never knew it, so
no daemon-reload is needed, and the template of the running instances is not touched before the spare is ready. A spare
that is there when a reload begins was left by one that was killed: it goes, and all instances are replaced once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pysup import jobs, names, revisions, sockets, starting, states
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.connection import Bus
from pysup.errors import StartFailed
from pysup.front import Front
from pysup.names import InstanceName
from pysup.render import File, Rendered
from pysup.store import Store, Stored
from pysup.unit import ActiveState, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOptions:
    """How to go about it.

    ``parallel`` instances are replaced at a time; without ``surge`` none is started beside them first; without
    ``rollback`` the new settings stay when an instance fails with them; ``timeout`` is for each step, in seconds.
    """

    parallel: int = 1
    surge: bool = True
    rollback: bool = True
    timeout: float | None = None


USUAL = ReloadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """One reload of one app: *old* as it is stored, *app* as it is to be, and the files of both and of the spares.

    Where somebody asks whether an instance is ready, the *trial* proves that first on sockets of its own: on the shared
    ones its wrong answers would go to clients.
    """

    bus: Bus
    store: Store
    scope: Scope
    old: Stored
    app: App
    rendered: Rendered
    before: Rendered | None
    trial: Mapping[str, File]
    spare: Mapping[str, File]
    front: Front
    options: ReloadOptions

    async def run(self, running: Sequence[InstanceName]) -> None:
        """Replace the running instances; raises StartFailed, and says what runs what, if new ones do not come up."""
        if self.store.has_spare(self.app.name):
            await self._settle()
        proves = self.options.surge and bool(self.app.listen or self.app.port is not None)
        try:
            if proves and self.trial:
                await self._prove(names.TRIAL, self.trial)
                await self._remove(names.TRIAL)
            if proves:
                await self._prove(names.SPARE, self.spare)
            await self._write(self.app, self.rendered)
            await self._replace(running, helpers={self._spare.number: self.app} if proves else {})
            if not self.app.probed:
                await self._stop_probes(names.probe_pattern(self.app.name))
        finally:
            await self._settle()

    @property
    def _has_other_probes(self) -> bool:
        """Whether sockets on which instances are asked are no longer as they were, such as their owner."""
        old = self.old.app
        if old is None or not old.probed or not self.app.probed:
            return False
        return sockets.probe(old, "%i") != sockets.probe(self.app, "%i")

    @property
    def _spare(self) -> InstanceName:
        return InstanceName(self.app.name, len(self.rendered.numbers))

    async def _prove(self, kind: str, files: Mapping[str, File]) -> None:
        unit = names.spare_unit(self.app.name, kind)
        await asyncio.to_thread(self.store.write_spare, files)
        began = time.time()
        await jobs.perform(self.bus, [systemd1.start_unit(unit)], timeout=self.options.timeout)
        try:
            await starting.survive_alone(self.bus, self.scope, self.app, unit, self._spare, began)
            if kind == names.SPARE:
                await self.front.reach(self._spare.number, self.app)
        except StartFailed as exc:
            raise StartFailed(
                f"{exc.message}; nothing else was touched: all instances run as before",
                results=exc.results,
                log=exc.log,
                hint=exc.hint,
            ) from exc

    async def _replace(self, running: Sequence[InstanceName], helpers: Mapping[int, App]) -> None:
        """Replace instances; balancers leave those out that are being replaced, and have the *helpers* besides."""
        done: list[InstanceName] = []
        for batch in _batches(running, self.options.parallel):
            left = {name.number: self.old.app or self.app for name in running if name not in batch}
            served = {**left, **{name.number: self.app for name in done}, **helpers}
            await self.front.serve(served, self.app.stop_timeout)
            began = time.time()
            units = [name.unit for name in batch]
            if self._has_other_probes:
                for name in batch:  # and with its socket the instance, which then comes back with both
                    await self._stop_probes(names.probe_unit(name.app, str(name.number)))
            await self.bus.calls([systemd1.reset_failed_unit(unit) for unit in units])
            await jobs.perform(self.bus, [systemd1.restart_unit(unit) for unit in units], timeout=self.options.timeout)
            try:
                await starting.survive(self.bus, self.store, self.scope, self.app, units, began)
                for name in batch:
                    await self.front.reach(name.number, self.app)
            except StartFailed as exc:
                await self._roll_back(exc, done, batch)
            done += batch

    async def _roll_back(self, exc: StartFailed, done: Sequence[InstanceName], batch: Sequence[InstanceName]) -> None:
        """Put the old settings back for the instances that failed with the new ones, and say how things stand."""
        before = self.old.app
        if before is None or self.before is None or before == self.app or not self.options.rollback:
            said = f"{_list(batch)} failed, {_list(done)} replaced before it, the rest runs as before"
        else:
            with revisions.taking_back():
                await self._write(before, self.before)
            await jobs.perform(self.bus, [systemd1.restart_unit(name.unit) for name in batch])
            said = f"the old settings are back, {_list(batch)} with them; with the new ones: {_list(done)}"
        raise StartFailed(f"{exc.message}; {said}", results=exc.results, log=exc.log, hint=exc.hint) from exc

    async def _write(self, app: App, rendered: Rendered) -> None:
        stored = self.store.get(app.name)
        if stored.app == app and stored.numbers == rendered.numbers:
            return
        with self.store.lock(app.name):
            self.store.write(app.name, rendered.files, saved=self.old.saved)
        await self.bus.call(systemd1.reload())

    async def _settle(self) -> None:
        """Have balancers serve the app's own instances, all of them, and take the spare away."""
        await self.front.follow()
        if self.store.has_spare(self.app.name):
            for kind in (names.TRIAL, names.SPARE):
                await self._remove(kind)
            self.store.remove_spare(self.app.name)

    async def _remove(self, kind: str) -> None:
        unit = names.spare_unit(self.app.name, kind)
        if await self.bus.converse(states.loaded([unit])):
            await jobs.perform(self.bus, [systemd1.stop_unit(unit)])
        await self._stop_probes(names.probe_unit(self.app.name, f"{kind}*"))
        await self.bus.calls([systemd1.reset_failed_unit(unit)])

    async def _stop_probes(self, pattern: str) -> None:
        """Sockets that nobody needs stop by themselves, but for those whose file is gone."""
        found = await self.bus.converse(states.loaded([pattern]))
        left = [unit for unit, state in found.items() if state.active_state is not ActiveState.INACTIVE]
        await jobs.perform(self.bus, [systemd1.stop_unit(unit) for unit in left])


def _batches(items: Sequence[InstanceName], size: int) -> Iterable[Sequence[InstanceName]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _list(instances: Sequence[InstanceName]) -> str:
    return ", ".join(map(str, instances)) or "none"
