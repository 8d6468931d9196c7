"""The same API for blocking code: one line per method.

What only asks goes over a blocking connection, which costs a quarter of an event loop's import, and so does what needs
no loop to change something; the rest runs the asynchronous Manager on a loop of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, overload

from pysup import local, selector, status
from pysup.app import App, Limits
from pysup.bus.call import Conversation
from pysup.host import ground
from pysup.names import InstanceName
from pysup.store import Store
from pysup.unit import AppStatus, Scope

if TYPE_CHECKING:
    import asyncio

    from pysup.balancing import Wish
    from pysup.changes import Changes
    from pysup.describe import Description
    from pysup.entrust import Secret
    from pysup.events import Event
    from pysup.hardening.trial import Trial
    from pysup.hooks import Hooks
    from pysup.host.doctor import Check
    from pysup.journal import Entry
    from pysup.limiting.view import LimitsView
    from pysup.logs import LogOptions
    from pysup.manager import Manager as AsyncManager
    from pysup.reload import ReloadOptions
    from pysup.revisions import Revision
    from pysup.transient import RunOptions, RunResult
    from pysup.why import Why

Selectors = str | Sequence[str]
T = TypeVar("T")

AppList = list[AppStatus]
NameList = list[str]
InstanceList = list[InstanceName]
DescriptionList = list["Description"]
CheckList = list["Check"]
EventList = list["Event"]
WhyList = list["Why"]
RevisionList = list["Revision"]
SecretList = list["Secret"]
LimitsList = list["LimitsView"]


class Manager:
    """Apps under one systemd manager, for blocking code; a context manager. See ``pysup.Manager`` for each method."""

    def __init__(self, scope: Scope | None = None, *, store: Store | None = None) -> None:
        self.scope = scope or ground.default_scope()
        self._store = store or local.store(self.scope)
        self._runner: asyncio.Runner | None = None
        self._manager: AsyncManager | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; what was started goes on."""
        if self._runner and self._manager:
            manager, self._manager = self._manager, None
            self._runner.run(manager.__aexit__(None, None, None))
            self._runner.close()

    @overload
    def start(
        self, what: App, *, wait: bool = True, timeout: float | None = None, force: bool = False
    ) -> AppStatus: ...

    @overload
    def start(
        self, what: Selectors, *, wait: bool = True, timeout: float | None = None, force: bool = False
    ) -> AppList: ...

    def start(
        self, what: App | Selectors, *, wait: bool = True, timeout: float | None = None, force: bool = False
    ) -> AppStatus | AppList:
        """Start an app, or what is known already."""
        if isinstance(what, App):
            app = what
            return self._change(
                lambda changes: changes.start(app, wait=wait, timeout=timeout, force=force), app, timeout
            )
        known = what
        return self._change(
            lambda changes: changes.begin(known, wait=wait, timeout=timeout, restart=False), known, timeout
        )

    def define(self, app: App, *, anew: bool = False) -> AppStatus:
        """Have an app known without starting it."""
        return self._change(lambda changes: changes.define(app, anew=anew), app)

    def reload(self, what: App | Selectors, *, options: ReloadOptions | None = None) -> AppList:
        """Replace running instances by new ones."""
        from pysup.reload import USUAL

        how = options or USUAL
        return self._change(lambda changes: changes.reload(what, options=how), what, how.timeout)

    def revisions(self, name: str) -> RevisionList:
        """What an app was."""
        return self._store.revisions(name)

    def try_isolation(self, app: App, *, seconds: float = 3.0, timeout: float | None = None) -> Trial:
        """Run one instance, as it is isolated, apart from all clients, and say what it was denied."""
        return self._run(lambda manager: manager.try_isolation(app, seconds=seconds, timeout=timeout))

    def rollback(self, name: str, number: int | None = None, *, options: ReloadOptions | None = None) -> AppStatus:
        """Make an app what it was."""
        from pysup.reload import USUAL

        return self._run(lambda manager: manager.rollback(name, number, options=options or USUAL))

    def stop(self, selectors: Selectors, *, wait: bool = True, timeout: float | None = None) -> AppList:
        """Stop."""
        return self._change(lambda changes: changes.stop(selectors, wait=wait, timeout=timeout), selectors, timeout)

    def restart(self, selectors: Selectors, *, wait: bool = True, timeout: float | None = None) -> AppList:
        """Stop and start."""
        return self._change(
            lambda changes: changes.begin(selectors, wait=wait, timeout=timeout, restart=True), selectors, timeout
        )

    def delete(self, selectors: Selectors, *, timeout: float | None = None, keep_secrets: bool = False) -> NameList:
        """Stop and forget."""
        return self._change(
            lambda changes: changes.delete(selectors, timeout=timeout, keep_secrets=keep_secrets), selectors, timeout
        )

    def set_secret(
        self,
        app: str,
        name: str,
        value: bytes,
        *,
        variable: str | None = None,
        restart: bool = True,
        options: ReloadOptions | None = None,
    ) -> Secret:
        """Keep a secret for an app, and hand it over."""
        from pysup.reload import USUAL

        how = options or USUAL
        return self._run(
            lambda manager: manager.set_secret(app, name, value, variable=variable, restart=restart, options=how)
        )

    def remove_secret(self, app: str, name: str, *, restart: bool = True, options: ReloadOptions | None = None) -> bool:
        """Take a secret away."""
        from pysup.reload import USUAL

        return self._run(lambda manager: manager.remove_secret(app, name, restart=restart, options=options or USUAL))

    def secrets(self, app: str) -> SecretList:
        """The secrets of an app, without their values."""
        from pysup import entrust

        return entrust.listed(self._store, app)

    def scale(self, name: str, count: int, *, wait: bool = True, timeout: float | None = None) -> AppStatus:
        """Have *count* instances."""
        return self._change(lambda changes: changes.scale(name, count, wait=wait, timeout=timeout), name, timeout)

    def balance(self, name: str, wish: Wish, *, timeout: float | None = None) -> AppStatus:
        """Put a balancer before an app."""
        return self._run(lambda manager: manager.balance(name, wish, timeout=timeout))

    def list(self, selectors: Selectors = selector.ALL) -> AppList:
        """How apps are now."""
        return self._ask(status.apps(self._store, self.scope, selectors))

    def get(self, name: str) -> AppStatus:
        """One app in every detail."""
        return self._ask(status.apps(self._store, self.scope, self._store.get(name).name, detail=True))[0]

    def logs(
        self, selectors: Selectors = selector.ALL, *, options: LogOptions | None = None, follow: bool = False
    ) -> Iterator[Entry]:
        """Lines of apps; with *follow*, on and on."""
        from pysup import journal, logs

        options = options or logs.DEFAULT
        query = logs.query(self._store, self.scope, selectors, options)
        if not follow:
            return journal.read(query)
        return journal.follow(query, more=logs.Newcomers(self._store, self.scope, selectors, options, query))

    @contextlib.contextmanager
    def watch(self, selectors: Selectors = selector.ALL, *, since: float | None = None) -> Iterator[Iterator[Event]]:
        """What happens from now on: a context manager that gives an iterator over events."""
        watch = self._started().watch(selectors, since=since)
        events: AsyncIterator[Event] = self._run(lambda _: watch.__aenter__())
        try:
            yield self._each(events)
        finally:
            self._run(lambda _: watch.__aexit__(None, None, None))

    def events(
        self, selectors: Selectors = selector.ALL, *, since: float | None = None, until: float | None = None
    ) -> EventList:
        """What happened, as the journal has it."""
        from pysup import history
        from pysup.brakes import Specs

        chosen = (
            None if selectors == selector.ALL else selector.select(selectors, status.known(status.read(self._store)))
        )
        wanted = history.wanted(self.scope, local.owner(self.scope), chosen)
        return history.read(wanted, Specs(self._store), since=since, until=time.time() if until is None else until)

    def save(self, selectors: Selectors = selector.ALL) -> NameList:
        """Keep apps over a reboot."""
        return self._change(lambda changes: changes.move(selectors, saved=True), selectors)

    def unsave(self, selectors: Selectors = selector.ALL) -> NameList:
        """Keep apps until the next reboot only."""
        return self._change(lambda changes: changes.move(selectors, saved=False), selectors)

    def send_signal(self, selectors: Selectors, signal: str, *, whom: str = "main") -> InstanceList:
        """Send a signal."""
        return self._run(lambda manager: manager.send_signal(selectors, signal, whom=whom))

    def send(self, selectors: Selectors, text: str) -> InstanceList:
        """Write a line to the standard input."""
        return self._run(lambda manager: manager.send(selectors, text))

    def reset(self, selectors: Selectors) -> InstanceList:
        """Set restart counters to 0."""
        return self._run(lambda manager: manager.reset(selectors))

    def limits(self, selectors: Selectors = selector.ALL) -> LimitsList:
        """What apps and instances may use, and do."""
        from pysup.limiting import view

        return self._ask(view.apps(self._store, self.scope, selectors))

    def limit(
        self, selectors: Selectors, assignments: Sequence[str], *, total: bool = False, force: bool = False
    ) -> LimitsList:
        """Have other limits."""
        return self._run(lambda manager: manager.limit(selectors, assignments, total=total, force=force))

    def namespace_limits(self, name: str) -> LimitsView:
        """What all apps of a namespace may use together, and do."""
        from pysup.limiting import view

        return self._ask(view.namespace(self._store, self.scope, name))

    def limit_namespace(self, name: str, wanted: Sequence[str] | Limits, *, force: bool = False) -> LimitsView:
        """Have other limits for all of them."""
        return self._run(lambda manager: manager.limit_namespace(name, wanted, force=force))

    def describe(self, selectors: Selectors = selector.ALL, *, lines: int = 10) -> DescriptionList:
        """All about apps and instances."""
        from pysup import describe

        gathered = self._ask(describe.gather(self._store, self.scope, selectors))
        return describe.complete(self._store, gathered, lines=lines)

    def why(self, selectors: Selectors = selector.ALL, *, count: int = 1, lines: int = 10) -> WhyList:
        """How instances ended last, and what comes next."""
        from pysup import why

        apps = self._ask(status.apps(self._store, self.scope, selectors, detail=True))
        return why.tell(self._store, apps, count=count, lines=lines)

    def set_hooks(self, hooks: Hooks) -> None:
        """Have these hooks and no others."""
        return self._run(lambda manager: manager.set_hooks(hooks))

    def doctor(self) -> CheckList:
        """What is wrong with apps and units."""
        from pysup import doctor

        return self._ask(doctor.checks(self._store, self.scope))

    def run(self, argv: Sequence[str], *, options: RunOptions | None = None) -> RunResult:
        """Run a command as a transient unit."""
        return self._run(lambda manager: manager.run(argv, options=options))

    def _ask(self, conversation: Conversation[T]) -> T:
        return local.ask(self.scope, conversation)

    def _change(
        self, call: Callable[[Changes], Coroutine[object, None, T]], what: App | Selectors, timeout: float | None = None
    ) -> T:
        """Change something: without an event loop, unless there is one or a balancer or a time limit needs it."""
        from pysup import changes, converge, loopless  # who only asks need not load them

        ground.require_rights(self.scope)
        if self._manager or timeout is not None or changes.needs_loop(self._store, what):
            return self._run(lambda manager: manager.changing(call))
        workshop = converge.Workshop(self.scope, self._store)
        with local.connect(self.scope) as bus:
            return loopless.run(call(changes.Changes(bus=bus, scope=self.scope, store=self._store, workshop=workshop)))

    def _run(self, call: Callable[[AsyncManager], Awaitable[T]]) -> T:
        manager = self._started()

        async def called() -> T:
            return await call(manager)

        assert self._runner  # noqa: S101 (_started made it)
        return self._runner.run(called())

    def _started(self) -> AsyncManager:
        if self._manager is None:
            import asyncio

            from pysup.manager import Manager as AsyncManager

            self._runner = asyncio.Runner()
            self._manager = AsyncManager(self.scope, store=self._store)
        return self._manager

    def _each(self, events: AsyncIterator[Event]) -> Iterator[Event]:
        while True:
            yield self._run(lambda _: anext(events))
