"""Carrying out what is to be done: new apps first, then those that change, one after the other, and what goes last.

An app that does not become ready is taken back to what it was, and nothing more is begun. An app counts as unfinished
from before its files change until what runs is what they say, so a killed apply is finished by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pysup import local, revisions
from pysup.app import App
from pysup.errors import PysupError
from pysup.files.change import Action, Change
from pysup.files.namespaces import Limiting
from pysup.limiting import words
from pysup.manager import Manager
from pysup.reload import ReloadOptions
from pysup.store import Store
from pysup.unit import Scope

AT_ONCE = 16
"""So many new apps are started side by side."""


@dataclass(slots=True)
class Outcome:
    """What was done, what failed (and was taken back), and what was not begun after that."""

    done: list[Change] = field(default_factory=list)
    failed: list[tuple[Change | Limiting, PysupError]] = field(default_factory=list)
    left: list[Change] = field(default_factory=list)


def carry_out(
    changes: Sequence[Change],
    scope: Scope,
    *,
    namespaces: Sequence[Limiting] = (),
    tell: Callable[[Change | Limiting], None],
    timeout: float | None = None,
) -> Outcome:
    """Do all of it; *tell* is called for each that is done. *timeout* is for each step, in seconds."""

    async def all_of_it() -> Outcome:
        async with Manager(scope) as manager:
            return await Applier(manager, local.store(scope), tell, timeout).run(changes, namespaces)

    return asyncio.run(all_of_it())


@dataclass(slots=True)
class Applier:
    """Carries changes out over a manager; ``tell`` is called for each that is done."""

    manager: Manager
    store: Store
    tell: Callable[[Change | Limiting], None]
    timeout: float | None
    outcome: Outcome = field(default_factory=Outcome)

    async def run(self, changes: Sequence[Change], namespaces: Sequence[Limiting] = ()) -> Outcome:
        """Do all of it, or as much as goes well."""
        new = [change for change in changes if change.action is Action.CREATE]
        rest = [change for change in changes if change.action not in (Action.CREATE, Action.NONE)]
        for change in new:  # all are known before one is started: they may require each other
            await self.manager.define(_after(change))
        later = [one for one in namespaces if not await self._limit(one)]
        if self.outcome.failed:
            await self.manager.delete([change.name for change in new], keep_secrets=True)
            self.outcome.left = [*new, *rest]
            return self.outcome
        limit = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._limited(limit, change) for change in new))
        for index, change in enumerate(rest):
            if self.outcome.failed:
                self.outcome.left = rest[index:]
                break
            await self._do(change)
        for one in later if not self.outcome.failed else ():
            await self._limit(one)
        return self.outcome

    async def _limit(self, one: Limiting) -> bool:
        """Hold a namespace to its limits; False if no app is in it yet."""
        if not any(app.namespace == one.namespace for app in map(self._spec, self.store.names()) if app):
            return False
        try:
            await self.manager.limit_namespace(one.namespace, one.after)
        except PysupError as exc:
            self.outcome.failed.append((one, exc))
        else:
            self.tell(one)
        return True

    def _spec(self, name: str) -> App | None:
        found = self.store.find(name)
        return found.app if found else None

    async def _limited(self, limit: asyncio.Semaphore, change: Change) -> None:
        async with limit:
            await self._do(change)

    async def _do(self, change: Change) -> None:
        """One change; if it fails, everything about the app is as it was before."""
        try:
            if change.action is Action.REMOVE:
                await self.manager.delete(change.name, timeout=self.timeout)
            else:
                with self.store.unfinished(change.name):
                    failure = await self._tried(change)
                if failure:
                    self.outcome.failed.append((change, failure))
                    return
        except PysupError as exc:
            self.outcome.failed.append((change, exc))
            return
        self.outcome.done.append(change)
        self.tell(change)

    async def _tried(self, change: Change) -> PysupError | None:
        before = await self._processes(change.name)
        try:
            await self._change(change)
        except PysupError as exc:
            with revisions.taking_back():
                await self._take_back(change, before)
            return exc
        return None

    async def _change(self, change: Change) -> None:
        app = _after(change)
        if change.anew:
            await self.manager.define(app, anew=True)
        match change.action:
            case Action.CREATE if not app.autostart:
                pass
            case Action.ADOPT | Action.DEFINE:
                await self.manager.define(app)
            case Action.SCALE:
                await self.manager.scale(app.name, int(app.instances), timeout=self.timeout)
                await self.manager.define(app)
            case Action.LIMIT:
                await self.manager.limit(app.name, words.all_of(app))
                await self.manager.define(app)
            case Action.ROLL:
                await self.manager.reload(app, options=ReloadOptions(timeout=self.timeout))
                await self.manager.start(app, timeout=self.timeout)  # instances that did not run
            case Action.RESTART:
                await self.manager.start(app, timeout=self.timeout, force=True)
            case _:
                await self.manager.start(app, timeout=self.timeout)

    async def _take_back(self, change: Change, processes: dict[str, int]) -> None:
        """Make the app what it was, where the failure has left it otherwise."""
        if change.action is Action.CREATE:
            await self.manager.delete(change.name, keep_secrets=True)  # they were there before
        elif change.before is None:
            return
        elif change.action in (Action.START, Action.DEFINE):
            await self.manager.stop(change.name)
            await self.manager.define(change.before)
        elif change.action is Action.RESTART:
            await self.manager.start(change.before, force=True)
        elif change.action is Action.SCALE:
            await self.manager.scale(change.name, int(change.before.instances))
        elif await self._is_new(change, processes):
            await self.manager.reload(change.before, options=ReloadOptions(surge=False))
            await self.manager.start(change.before)

    async def _is_new(self, change: Change, before: dict[str, int]) -> bool:
        """Whether instances run the new settings; a reload that fails takes back the last one itself."""
        now = await self._processes(change.name)
        replaced = sum(now[one] != pid for one, pid in before.items() if one in now)
        return replaced > 1 or self.store.get(change.name).app != change.before

    async def _processes(self, name: str) -> dict[str, int]:
        if self.store.find(name) is None:
            return {}
        found = await self.manager.get(name)
        return {str(one.name): one.pid for one in found.instances}


def _after(change: Change) -> App:
    if change.after is None:
        raise ValueError(f"{change.name} is not to be there")
    return change.after
