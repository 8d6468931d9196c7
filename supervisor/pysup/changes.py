"""What a manager changes, over the bus that it is given: the same with an event loop and without."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pysup import deeds, journal, local, preflight, selector, status
from pysup.app import App
from pysup.bus.protocol import Bus
from pysup.converge import Workshop, before
from pysup.errors import Conflict
from pysup.events import Asked, Deleted, OfApp, Reloaded, Saved, Scaled, Unsaved
from pysup.loopless import aside
from pysup.operate import Operator
from pysup.reload import ReloadOptions
from pysup.selector import Chosen
from pysup.store import Store
from pysup.unit import AppStatus, Scope

Selectors = str | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Changes apps, and has history know it if this is *real*. See ``pysup.Manager`` for each method."""

    bus: Bus
    scope: Scope
    store: Store
    workshop: Workshop
    is_real: bool = True

    @property
    def operator(self) -> Operator:
        """Who carries them out."""
        return Operator(self.bus, self.scope, self.store, self.workshop)

    async def start(self, app: App, *, wait: bool, timeout: float | None, force: bool) -> AppStatus:
        """Start an app."""
        app = self._ready_to_run(app)
        notes = await self.bus.converse(preflight.ask(app, self.scope))
        notes += await aside(lambda: preflight.unknown_directives(app))
        self.record(Asked(app=app.name, at=time.time(), verb="start"))
        begun = await self.operator.converge(app, restart=force, force=force)
        await self.operator.finish([begun], wait=wait, timeout=timeout)
        if wait:
            return (await self._get(app.name))._replace(notes=notes)
        return status.assemble(self.store.get(app.name), {}, self.scope)._replace(notes=notes)

    async def begin(self, selectors: Selectors, *, wait: bool, timeout: float | None, restart: bool) -> list[AppStatus]:
        """Start what is known, and stop it before with *restart*."""
        chosen = self.choose(selectors)
        wanted = [(self.store.get(one.app).require(), one) for one in chosen]
        self.record_asked("restart" if restart else "start", chosen)
        begun = [await self.operator.converge(app, one, restart=restart, force=True) for app, one in wanted]
        await self.operator.finish(begun, wait=wait, timeout=timeout)
        return await self._list(selectors)

    async def define(self, app: App, *, anew: bool) -> AppStatus:
        """Have an app known."""
        app = self._ready_to_run(app)
        await self.operator.define(app, anew=anew)
        return await self._get(app.name)

    async def reload(self, what: App | Selectors, *, options: ReloadOptions) -> list[AppStatus]:
        """Replace running instances by new ones."""
        chosen = [] if isinstance(what, App) else self.choose_whole(what, "reload")
        notes: dict[str, tuple[str, ...]] = {}
        apps = [what] if isinstance(what, App) else [self.store.get(one.app).require() for one in chosen]
        for app in map(self._ready_to_run, apps):
            with self.store.claim(app.name, "reload"):
                gap = await self.operator.reload(app, options)
            if gap:
                notes[app.name] = (f"it was down for a moment: {gap}",)
            self.record(Reloaded(app=app.name, at=time.time()))
        found = await self._list([app.name for app in apps])
        return [one._replace(notes=notes.get(one.name, ())) for one in found]

    async def stop(self, selectors: Selectors, *, wait: bool, timeout: float | None) -> list[AppStatus]:
        """Stop."""
        chosen = self.choose(selectors)
        self.record_asked("stop", chosen)
        await self.operator.stop(chosen, wait=wait, timeout=timeout)
        return await self._list(selectors)

    async def delete(self, selectors: Selectors, *, timeout: float | None, keep_secrets: bool) -> list[str]:
        """Stop and forget."""
        deleted = await self.operator.delete(self.choose_whole(selectors, "delete"), timeout=timeout)
        for name in deleted:
            if not keep_secrets:
                self.store.forget_secrets(name)
            self.record(Deleted(app=name, at=time.time()))
        return deleted

    async def scale(self, name: str, count: int, *, wait: bool, timeout: float | None) -> AppStatus:
        """Have *count* instances."""
        stored = self.store.get(name)
        begun = await self.operator.converge(replace(stored.require(), instances=count), force=True)
        there = len(begun.rendered.numbers)
        self.record(Scaled(app=name, at=time.time(), before=len(stored.numbers), count=there))
        await self.operator.finish([begun], wait=wait, timeout=timeout)
        return await self._get(name)

    async def move(self, selectors: Selectors, *, saved: bool) -> list[str]:
        """Keep apps over a reboot, or no longer."""
        chosen = self.choose_whole(selectors, "save")
        moved = await self.operator.move([one.app for one in chosen], saved=saved)
        for name in moved:
            self.record((Saved if saved else Unsaved)(app=name, at=time.time()))
        return moved

    def choose(self, selectors: Selectors) -> list[Chosen]:
        """What is meant; raises NotFound."""
        return selector.select(selectors, status.known(status.read(self.store)))

    def choose_whole(self, selectors: Selectors, verb: str) -> list[Chosen]:
        """The apps that are meant; raises Conflict if instances are."""
        chosen = self.choose(selectors)
        for one in chosen:
            if not one.whole:
                raise Conflict(
                    f"{verb} is for whole apps, not for instances of {one.app!r}",
                    hint=f"pysup scale {one.app} N changes how many there are; pysup stop ends one.",
                )
        return chosen

    def record_asked(self, verb: str, chosen: Sequence[Chosen]) -> None:
        """Have history know what was asked for."""
        for one in chosen:
            numbers = () if one.whole else one.numbers
            self.record(Asked(app=one.app, at=time.time(), verb=verb, instances=numbers))

    def record(self, event: OfApp) -> None:
        """Have history know it."""
        if self.is_real:
            journal.send(deeds.encode(replace(event, by=local.caller()), self.scope))

    def _ready_to_run(self, app: App) -> App:
        app = self.store.with_secrets(app)
        preflight.check(app, self.scope, self.store)
        preflight.prepare(app)
        return app

    async def _list(self, selectors: Selectors) -> list[AppStatus]:
        return await self.bus.converse(status.apps(self.store, self.scope, selectors))

    async def _get(self, name: str) -> AppStatus:
        (found,) = await self.bus.converse(status.apps(self.store, self.scope, self.store.get(name).name, detail=True))
        return found


def needs_loop(store: Store, what: App | Selectors) -> bool:
    """Whether changing this takes more than a bus: balancers are told, and programs on a port of their own asked."""
    if isinstance(what, App):
        names, apps = [what.name], [what]
    else:
        names, apps = [one.app for one in selector.select(what, status.known(status.read(store)))], []
    apps += [stored.app for name in names if (stored := store.find(name)) and stored.app]
    return any(app.port is not None or app.balance for app in apps) or any(before(store, name) for name in names)
