"""Manager: the asynchronous API. When a call returns, what it says has happened."""

from __future__ import annotations

import asyncio
import contextlib
import signal as signals
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, overload

from pysup import check, local, preflight, selector, stdin
from pysup.app import App, Limits
from pysup.bus import systemd1
from pysup.changes import Changes
from pysup.converge import Workshop
from pysup.errors import Conflict, PysupError, StartFailed
from pysup.events import Limited, SecretRemoved, SecretSet
from pysup.host import ground
from pysup.machine import Machine
from pysup.manager.reading import AppList, Connect, LimitsList, Reader, Selectors
from pysup.names import InstanceName
from pysup.reload import USUAL, ReloadOptions
from pysup.store import Store
from pysup.unit import AppStatus, Scope

if TYPE_CHECKING:
    from pysup.balancing import Wish
    from pysup.entrust import Entrusting, Secret
    from pysup.hardening.trial import Trial
    from pysup.hooks import Hooks
    from pysup.limiting.view import LimitsView
    from pysup.limiting.words import Wish as Wished
    from pysup.transient import RunOptions, RunResult

T = TypeVar("T")
NameList = list[str]  # aliases, because in the class below ``list`` is a method
InstanceList = list[InstanceName]


class Manager(Reader):
    """Apps under one systemd manager; an asynchronous context manager. What it tells, and changes nothing, is Reader's.

    *scope* is the machine's manager for root and the user's own for everyone else, unless given.
    """

    def __init__(
        self,
        scope: Scope | None = None,
        *,
        connect: Connect | None = None,
        store: Store | None = None,
        machine: Machine | None = None,
    ) -> None:
        super().__init__(scope, connect=connect, store=store)
        self._workshop = Workshop(self.scope, self._store, machine)

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

        Returns when every instance is ready (where systemd cannot tell: has survived half a second, and come to rest);
        with *wait* False as soon as systemd has the jobs, and says nothing of instances yet. Raises StartFailed with
        the last log lines, JobTimeout after *timeout* seconds, SpecError, and Conflict if an app of that name runs with
        other settings; *force* replaces it.
        """
        changes = await self._changes()
        if isinstance(what, App):
            return await changes.start(what, wait=wait, timeout=timeout, force=force)
        return await changes.begin(what, wait=wait, timeout=timeout, restart=False)

    async def define(self, app: App, *, anew: bool = False) -> AppStatus:
        """Have an app known, or known as it is now, without starting it. What runs of it goes on as it is.

        With *anew* its files are written again, even if they should say the same.
        """
        return await (await self._changes()).define(app, anew=anew)

    async def restart(self, selectors: Selectors, *, wait: bool = True, timeout: float | None = None) -> AppList:
        """Stop and start; what does not run is started. Waits and raises like ``start``."""
        return await (await self._changes()).begin(selectors, wait=wait, timeout=timeout, restart=True)

    async def reload(self, what: App | Selectors, *, options: ReloadOptions = USUAL) -> AppList:
        """Replace running instances by new ones, of changed code or, given an App, of changed settings.

        No connection is lost where instances share their sockets: spare instances prove the new version first, then
        they are replaced, as many at a time, each once those before it are ready. If a spare fails, nothing was
        touched. Raises StartFailed, which says what runs what, and Conflict while another reload is under way.
        """
        return await (await self._changes()).reload(what, options=options)

    async def try_isolation(self, app: App, *, seconds: float = 3.0, timeout: float | None = None) -> Trial:
        """Run one instance of *app*, as it is isolated there, apart from all clients, and say what it was denied.

        It lives *seconds*; the app itself is not touched. Raises SpecError for jobs, and Conflict during a reload.
        """
        from pysup.hardening import trial  # few try

        trial.check(app)
        preflight.check(app, self.scope, self._store)
        await self._changes()  # requires the rights
        attempt = trial.Attempt(
            bus=await self._reached(),
            store=self._store,
            scope=self.scope,
            app=app,
            files=self._workshop.render_trial(app),
            name=InstanceName(app.name, len(self._workshop.render(app, saved=False).numbers)),
        )
        with self._store.claim(app.name, "reload"):
            return await attempt.run(seconds, timeout)

    async def rollback(self, name: str, number: int | None = None, *, options: ReloadOptions = USUAL) -> AppStatus:
        """Make an app what it was: at revision *number*, or before the last change. Waits and raises like ``reload``.

        One that does not run is changed only.
        """
        from pysup import revisions  # few need it

        before = self._store.get(name).require()
        wanted = revisions.choose(self._store.revisions(name), name, before, number).app
        is_up = any(one.is_up for one in (await self.get(name)).instances)
        with revisions.restoring():
            await (self.reload(wanted, options=options) if is_up else self.define(wanted))
        return await self.get(name)

    async def stop(self, selectors: Selectors, *, wait: bool = True, timeout: float | None = None) -> AppList:
        """Stop; returns when every process has ended. What is stopped stays known."""
        return await (await self._changes()).stop(selectors, wait=wait, timeout=timeout)

    async def delete(
        self, selectors: Selectors, *, timeout: float | None = None, keep_secrets: bool = False
    ) -> NameList:
        """Stop apps and forget them, with their balancers: unit files and secrets go. Returns their names."""
        return await (await self._changes()).delete(selectors, timeout=timeout, keep_secrets=keep_secrets)

    async def set_secret(
        self,
        app: str,
        name: str,
        value: bytes,
        *,
        variable: str | None = None,
        restart: bool = True,
        options: ReloadOptions = USUAL,
    ) -> Secret:
        """Keep a secret for an app, encrypted where this systemd can, and hand it over: $CREDENTIALS_DIRECTORY/name.

        *variable* is to hold it, too; ``""`` for none any more. Running instances are replaced as by ``reload``, unless
        *restart* is False: they get it at their next start. Raises StartFailed, and takes the secret back, if one does
        not come up with it. There may be no such app yet.
        """
        entrusting = await self._entrusting(app, name, restart=restart, options=options)
        version = await (await self._reached()).converse(preflight.version())
        done = await entrusting.set(value, variable=variable, version=version)
        (await self._changes()).record(SecretSet(app=app, at=time.time(), secret=name))
        return done

    async def remove_secret(self, app: str, name: str, *, restart: bool = True, options: ReloadOptions = USUAL) -> bool:
        """Take a secret away that ``set_secret`` kept; True if instances were replaced for it. Raises NotFound."""
        replaced = await (await self._entrusting(app, name, restart=restart, options=options)).remove()
        (await self._changes()).record(SecretRemoved(app=app, at=time.time(), secret=name))
        return replaced

    async def scale(self, name: str, count: int, *, wait: bool = True, timeout: float | None = None) -> AppStatus:
        """Have *count* instances: the highest numbers go, missing ones come. Waits and raises like ``start``."""
        return await (await self._changes()).scale(name, count, wait=wait, timeout=timeout)

    async def balance(self, name: str, wish: Wish, *, timeout: float | None = None) -> AppStatus:
        """Put a balancer before an app, or change the one that is there without refusing a connection.

        Raises SpecError for what cannot be balanced, EnvironmentProblem if the program is not installed, StartFailed.
        """
        from pysup import balancing  # few have one

        app = balancing.make(self._store, self.scope, name, wish)
        is_new = self._store.find(app.name) is None
        try:
            if app.balance and app.balance.include:
                await (await self._changes()).operator.include(app, timeout=timeout)
            else:
                await self.reload(app, options=ReloadOptions(timeout=timeout))
        except StartFailed:
            if is_new:
                await self.delete(app.name)
            raise
        return await self.get(app.name)

    async def save(self, selectors: Selectors = selector.ALL) -> NameList:
        """Keep apps over a reboot: their files move, nothing restarts. Returns the names of those that moved."""
        return await (await self._changes()).move(selectors, saved=True)

    async def unsave(self, selectors: Selectors = selector.ALL) -> NameList:
        """Keep apps until the next reboot only. Returns the names of those that moved."""
        return await (await self._changes()).move(selectors, saved=False)

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

    async def send(self, selectors: Selectors, text: str) -> InstanceList:
        """Write a line to the standard input of running instances of apps with ``stdin``. Returns who got it.

        Raises Conflict for those that have none or do not read it.
        """
        found = [one.name for app in await self.list(selectors) for one in app.instances if one.pid]
        if not found:
            raise Conflict("none of these instances runs", hint="pysup list shows how they are.")
        for name in found:
            await asyncio.to_thread(stdin.write, self.scope, name, f"{text}\n".encode())
        return found

    async def reset(self, selectors: Selectors) -> InstanceList:
        """Set restart counters to 0 and forget failures. Returns the instances."""
        bus = await self._reached()
        found = [one.name for app in await self.list(selectors) for one in app.instances]
        await bus.calls([systemd1.reset_failed_unit(name.unit) for name in found])
        return found

    async def limit(
        self, selectors: Selectors, assignments: Sequence[str] | Wished, *, total: bool = False, force: bool = False
    ) -> LimitsList:
        """Have other limits (``memory=2G``, ``cpu=150%``, ``tasks=unlimited``) from now on; nothing restarts.

        They are of each instance or, with *total*, of all together; ``weight`` is always the app's. For ``web@0`` they
        are its own, over those of each. Raises SpecError, and Conflict if the kernel would kill what runs for it at
        once, unless *force*.
        """
        from pysup.limiting import foresee, view, words

        wish = assignments if isinstance(assignments, words.Wish) else words.wish(assignments, total=total)
        changes = await self._changes()
        chosen = changes.choose(selectors)
        before = [(self._store.get(one.app).require(), one) for one in chosen]
        held = await changes.bus.converse(foresee.apps([(app, wish.of(app, one)) for app, one in before]))
        told = await asyncio.to_thread(foresee.check, held, force=force)
        with contextlib.ExitStack() as busy:
            for one in chosen:
                busy.enter_context(self._store.claim(one.app, "reload"))
            notes = await changes.operator.limit(chosen, wish)
        for one in chosen:
            changes.record(Limited(app=one.app, at=time.time(), instances=() if one.whole else one.numbers))
        found = await changes.bus.converse(view.apps(self._store, self.scope, selectors))
        return [replace(one, notes=(*told, *notes[one.name], *one.notes)) for one in found]

    async def limit_namespace(self, name: str, wanted: Sequence[str] | Limits, *, force: bool = False) -> LimitsView:
        """Have other limits (``memory=8G``, or these and no others) for all apps of a namespace together.

        Raises like ``limit``, and NotFound if no app is in it.
        """
        from pysup.limiting import view

        changes = await self._changes()
        told = await changes.operator.limit_namespace(name, wanted, force=force)
        found = await changes.bus.converse(view.namespace(self._store, self.scope, name))
        return replace(found, notes=(*told, *found.notes))

    async def set_hooks(self, hooks: Hooks) -> None:
        """Have these hooks, for all apps and for single ones, and no others; ``pysup.hooks.read`` reads them."""
        from pysup import hooks as files

        await self._changes()  # requires the rights
        if await asyncio.to_thread(files.write, self._store, self.scope, hooks, local.python()):
            await (await self._reached()).call(systemd1.reload())

    async def run(self, argv: Sequence[str], *, options: RunOptions | None = None) -> RunResult:
        """Run a command once, as a transient unit, and wait until it has ended; cancelling stops it.

        Raises SpecError for what cannot be run, and JobFailed when systemd refuses it.
        """
        from pysup import transient  # an import that only jobs should pay for

        return await transient.run(await self._reached(), self.scope, argv, options or transient.RunOptions())

    async def _entrusting(self, app: str, name: str, *, restart: bool, options: ReloadOptions) -> Entrusting:
        from pysup.entrust import Entrusting

        await self._changes()  # requires the rights
        return Entrusting(
            hands=self,
            store=self._store,
            scope=self.scope,
            app=app,
            name=name,
            restart=restart,
            options=options,
            is_real=self._is_real,
        )

    async def changing(self, call: Callable[[Changes], Awaitable[T]]) -> T:
        """What *call* gives for that which changes things; for ``pysup.sync``."""
        return await call(await self._changes())

    async def _changes(self) -> Changes:
        if self._is_real:
            ground.require_rights(self.scope)
        bus = await self._reached()
        return Changes(bus=bus, scope=self.scope, store=self._store, workshop=self._workshop, is_real=self._is_real)
