"""Apps -> the question to ask the journal: under which users their lines were written, and which lines are meant."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from pysup import status
from pysup.app import App
from pysup.errors import PysupError
from pysup.host import users
from pysup.journal import Entry, Kind, Query, Source, Tail
from pysup.names import InstanceName
from pysup.selector import select
from pysup.store import Store, Stored
from pysup.unit import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which lines are meant. Times are seconds since the epoch; ``lines`` the last so many, None for all.

    ``priority`` is the highest syslog number that passes; ``grep`` a regular expression searched for in the message.
    """

    lines: int | None = 15
    since: float | None = None
    until: float | None = None
    priority: int | None = None
    grep: str | None = None
    kinds: frozenset[Kind] = frozenset(Kind)


DEFAULT = LogOptions()


def query(store: Store, scope: Scope, selectors: str | Sequence[str], options: LogOptions) -> Query:
    """The question for the lines of the chosen apps and instances."""
    stored = status.read(store)
    sources = [
        Source(instance=InstanceName(one.app, number), uid=_uid(stored[one.app], scope))
        for one in select(selectors, status.known(stored))
        for number in one.numbers
    ]
    return _query(sources, scope, options)


def of_instance(app: App, scope: Scope, name: InstanceName, *, lines: int) -> Query:
    """The question for the last lines that one instance wrote."""
    uid = _account(app.user) if app.user else _own_uid(scope)
    options = LogOptions(lines=lines, kinds=frozenset({Kind.OUT, Kind.ERR}))
    return _query([Source(instance=name, uid=uid)], scope, options)


async def follow(question: Query) -> AsyncIterator[Entry]:
    """What is there, and then what comes, without a gap between."""
    loop = asyncio.get_running_loop()
    tail = await asyncio.to_thread(Tail, question)
    ready = asyncio.Event()
    loop.add_reader(tail.fileno(), ready.set)
    try:
        while True:
            ready.clear()
            for entry in tail.available():
                yield entry
            await ready.wait()
    finally:
        loop.remove_reader(tail.fileno())
        tail.close()


def _query(sources: Iterable[Source], scope: Scope, options: LogOptions) -> Query:
    return Query(
        sources=tuple(sources),
        scope=scope,
        manager_uid=_own_uid(scope),
        since_usec=_usec(options.since),
        until_usec=_usec(options.until),
        lines=options.lines,
        priority=options.priority,
        grep=options.grep,
        kinds=options.kinds,
    )


def _uid(stored: Stored, scope: Scope) -> int | None:
    if stored.app is None:
        return None
    return _account(stored.app.user) if stored.app.user else _own_uid(scope)


def _account(user: str) -> int | None:
    try:
        return users.get(user).uid
    except PysupError:
        return None


def _own_uid(scope: Scope) -> int:
    return 0 if scope is Scope.SYSTEM else os.getuid()


def _usec(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)
