"""Reload: the new version proves itself in spare instances, then instances are replaced, as many at a time.

A spare is a unit file of its own (``pysup-web@next.service``) in the runtime directory: systemd never knew it, so
no daemon-reload is needed, and the template of the running instances is not touched before the spares are ready. A
spare that is there when a reload begins was left by one that was killed: it goes, and all instances are replaced once
more. There are as many spares as are replaced at a time, so that never fewer serve than before.

A new address is opened before the spare starts. An old one is closed by systemd before the last instances are replaced,
which go on serving it until they end: were it closed later, nobody would be left to take what waits in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pysup import jobs, names, revisions, sockets, starting, states
from pysup.app import App
from pysup.bus import systemd1
from pysup.bus.protocol import Bus
from pysup.errors import SpecError, StartFailed
from pysup.front import Front
from pysup.names import InstanceName
from pysup.render import File, Rendered
from pysup.store import Store, Stored
from pysup.unit import Scope

_USUAL, _PART = 2, 4  # two at a time as PM2 does, or a quarter, which is what costs memory meanwhile
_PARALLEL = re.compile(r"[1-9]\d{0,4}|(?:[1-9]\d?|100)%")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOptions:
    """How to go about it.

    ``parallel`` instances are replaced at a time, or such a part of them (``"25%"``), at least one. None is what is
    usual: a quarter, and two of three or more, but no more than there are CPUs; one where there is no spare that
    shares their sockets. Without ``surge`` none is started beside them first; without ``rollback`` the new settings
    stay when an instance fails with them; ``timeout`` is for each step, in seconds.
    """

    parallel: int | str | None = None
    surge: bool = True
    rollback: bool = True
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.parallel is not None and not _PARALLEL.fullmatch(str(self.parallel)):
            raise SpecError(f"parallel is {self.parallel!r}", hint="Write how many at a time (2), or what part (25%).")

    def at_once(self, app: App, running: int, cpus: int) -> int:
        """How many of the *running* instances of an app are replaced at a time."""
        if self.parallel is None:
            shares = self.surge and bool(app.listen) and not app.spread
            usual = max(_USUAL, running // _PART) if shares and running > _USUAL else 1
            return min(usual, cpus)
        text = str(self.parallel)
        count = running * int(text[:-1]) // 100 if text.endswith("%") else int(text)
        return max(1, min(count, running))

    def spares(self, app: App, at_once: int) -> int:
        """How many instances are started beside the others; without sockets or ports of its own, none could be."""
        shares = bool(app.listen) and not app.spread
        return at_once if self.surge and (shares or app.port is not None) else 0


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
    spares: Sequence[Mapping[str, File]]
    front: Front
    at_once: int
    options: ReloadOptions

    async def run(self, running: Sequence[InstanceName]) -> None:
        """Replace the running instances; raises StartFailed, and says what runs what, if new ones do not come up."""
        if self.store.has_spare(self.app.name):
            await self._settle()
        await self._watch_anew()
        try:
            helpers = await self._prove()
            await self._write(self.app, self.rendered)
            await self._replace(running, helpers)
            if not self.app.probed:
                await self._stop_probes(names.probe_pattern(self.app.name))
        finally:
            await self._settle()
        if self._outdated():
            with self.store.lock(self.app.name):
                self.store.write(self.app.name, self.rendered.files, saved=self.old.saved)

    @property
    def _has_other_probes(self) -> bool:
        """Whether sockets on which instances are asked are no longer as they were, such as their owner."""
        old = self.old.app
        if old is None or not old.probed or not self.app.probed:
            return False
        return sockets.probe(old, "%i") != sockets.probe(self.app, "%i")

    async def _prove(self) -> dict[int, App]:
        """Open new sockets, and have the new version come up beside the old one; nothing remains if it does not.

        The numbers of the spares that now help.
        """
        opened = {unit: file for unit, file in self.rendered.files.items() if self._is_new(unit)}
        units = [unit for unit in opened if names.is_socket(self.app.name, unit)]
        try:
            if opened:
                self.store.write_spare(opened)
                # systemd opens no socket while that runs which a connection to it would start.
                stops = map(systemd1.stop_unit, await self._woken())
                await jobs.perform(self.bus, [*stops, *map(systemd1.start_unit, units)])
                await starting.opened(self.bus, self.app, self.rendered.numbers)
            return await self._start_spares()
        except StartFailed as exc:
            await self._settle()
            await self._close(units)
            self.store.drop(opened)
            raise StartFailed(
                f"{exc.message}; nothing else was touched: all instances run as before",
                results=exc.results,
                log=exc.log,
                hint=exc.hint,
            ) from exc

    async def _start_spares(self) -> dict[int, App]:
        """Try the new version where that is to be done, and start the spares."""
        first = InstanceName(self.app.name, len(self.rendered.numbers))
        if self.spares and self.trial:
            await self._start_beside({names.TRIAL: self.trial}, [first])
            await self._remove([names.TRIAL])
        spares = [first._replace(number=first.number + index) for index in range(len(self.spares))]
        await self._start_beside({names.spare(index): files for index, files in enumerate(self.spares)}, spares)
        for name in spares:
            await self.front.reach(name.number, self.app)
        return {name.number: self.app for name in spares}

    async def _start_beside(self, kinds: Mapping[str, Mapping[str, File]], numbers: Sequence[InstanceName]) -> None:
        """Start instances that are not among the app's own, each with its files; *numbers* name their lines."""
        units = {names.spare_unit(self.app.name, kind): name for kind, name in zip(kinds, numbers, strict=True)}
        for files in kinds.values():
            self.store.write_spare(files)
        began = time.time()
        await jobs.perform(self.bus, [systemd1.start_unit(unit) for unit in units], timeout=self.options.timeout)
        await starting.survive_alone(self.bus, self.scope, self.app, units, began)

    async def _replace(self, running: Sequence[InstanceName], helpers: Mapping[int, App]) -> None:
        """Replace instances; balancers leave those out that are being replaced, and have the *helpers* besides."""
        done: list[InstanceName] = []
        for batch in _batches(running, self.at_once):
            if len(done) + len(batch) == len(running):
                await self._close_old()
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

    async def _close_old(self) -> None:
        """Have systemd close the sockets that are no longer wanted; instances that have them go on serving them."""
        found = await self.bus.converse(states.active([names.socket_pattern(self.app.name)]))
        await self._close([unit for unit in found if unit not in self.rendered.files])

    async def _close(self, units: Sequence[str]) -> None:
        """Close sockets; what a connection has started has them, too, and lasts a second."""
        await self._stop([*units, *(await self._woken() if units else ())])

    async def _woken(self) -> list[str]:
        return await self.bus.converse(states.active([names.wake_unit(self.app.name)]))

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
        """Make *rendered* the app's files, beside them the sockets of either version: both are served meanwhile."""
        stored = self.store.get(app.name)
        if stored.app == app and stored.numbers == rendered.numbers:
            return
        with self.store.lock(app.name):
            self.store.write(app.name, {**self._sockets(), **rendered.files}, saved=self.old.saved)
        await self.bus.call(systemd1.reload())
        await self._watch_anew()

    async def _watch_anew(self) -> None:
        """Have idleness count from now, and as it is wanted now: instances that run bring its watcher back."""
        await self._stop(await self.bus.converse(states.active([names.idle_unit(self.app.name)])))

    def _sockets(self) -> dict[str, File]:
        """The units of sockets of both versions."""
        files = {**(self.before.files if self.before else {}), **self.rendered.files}
        return {unit: file for unit, file in files.items() if names.is_socket(self.app.name, unit)}

    def _is_new(self, unit: str) -> bool:
        """Whether it is a socket, or what a socket starts, that there is not yet."""
        is_listening = names.is_socket(self.app.name, unit) or unit == names.wake_unit(self.app.name)
        return is_listening and (self.before is None or unit not in self.before.files)

    def _outdated(self) -> bool:
        """Whether there are files of sockets that are no longer wanted, of this reload or of one that was killed."""
        there = (file.name for file in self.store.files(self.app.name))
        return any(names.is_socket(self.app.name, name) and name not in self.rendered.files for name in there)

    async def _settle(self) -> None:
        """Have balancers serve the app's own instances, all of them, and take the spares away."""
        await self.front.follow()
        if self.store.has_spare(self.app.name):
            await self._remove(sorted({names.TRIAL, names.SPARE, *self.store.spares(self.app.name)}))
            self.store.remove_spare(self.app.name)

    async def _remove(self, kinds: Sequence[str]) -> None:
        units = [names.spare_unit(self.app.name, kind) for kind in kinds]
        await self._stop(await self.bus.converse(states.active(units)))
        await self._stop_probes(*(names.probe_unit(self.app.name, f"{kind}*") for kind in kinds))

    async def _stop_probes(self, *patterns: str) -> None:
        """Sockets that nobody needs stop by themselves, but for those whose file is gone."""
        left = await self.bus.converse(states.active(patterns))
        await jobs.perform(self.bus, [systemd1.stop_unit(unit) for unit in left])

    async def _stop(self, units: Sequence[str]) -> None:
        await jobs.perform(self.bus, [systemd1.stop_unit(unit) for unit in units])
        await self.bus.calls([systemd1.reset_failed_unit(unit) for unit in units])


def _batches(items: Sequence[InstanceName], size: int) -> Iterable[Sequence[InstanceName]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _list(instances: Sequence[InstanceName]) -> str:
    return ", ".join(map(str, instances)) or "none"
