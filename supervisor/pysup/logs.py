"""Apps -> the question to ask the journal: under which users their lines were written, and which lines are meant."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pysup import journal, logfiles, status
from pysup.app import App
from pysup.errors import NotFound, PysupError
from pysup.events import Exited
from pysup.explain import WATCHDOG_SAYS
from pysup.host import ground, users
from pysup.journal import Entry, Kind, More, Query, Source, Tail
from pysup.names import InstanceName, dynamic_user
from pysup.selector import Chosen, Known, select
from pysup.store import Store, Stored
from pysup.unit import Exit, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which lines are meant. Times are seconds since the epoch; ``lines`` the last so many, None for all.

    Without ``since``, what was written before an app's last ``flush`` is passed over.
    ``priority`` is the highest syslog number that passes; ``grep`` a regular expression searched for in the message.
    """

    lines: int | None = 15
    since: float | None = None
    until: float | None = None
    priority: int | None = None
    grep: str | None = None
    kinds: frozenset[Kind] = frozenset(Kind)


DEFAULT = LogOptions()


class Flushed(NamedTuple):
    """An app whose logs begin anew: its files with what was in each, in bytes; and whether it writes to the journal."""

    app: str
    emptied: tuple[tuple[str, int], ...]
    in_journal: bool


class Restarted(NamedTuple):
    """A restart: why, and when in seconds since the epoch."""

    reason: str
    at: float


_LATE = 1.0  # seconds that journald may take to read what a process wrote before it ended

_RESTARTED = re.compile(r"^\S+: restarting, because (.*)")
_EXITED = re.compile(r"^\S+: Main process exited, code=(exited|killed|dumped), status=(\d+)/")
_RESULT = re.compile(r"^\S+: Failed with result '([a-z-]+)'")
_REFUSED = re.compile(r"^\S+: (.*) Refusing\.$")


def query(store: Store, scope: Scope, selectors: str | Sequence[str], options: LogOptions) -> Query:
    """The question for the lines of the chosen apps and instances."""
    stored = status.read(store)
    sources = _sources(select(selectors, status.known(stored)), stored, scope)
    if options.since is None:
        sources = [replace(one, since_usec=logfiles.flushed(store.locks, one.instance)) for one in sources]
    marks = [source.since_usec for source in sources if source.since_usec is not None]
    if marks and len(marks) == len(sources):  # then reading need not go further back
        options = replace(options, since=min(marks) / 1_000_000)
    return _query(sources, scope, options)


class Newcomers:
    """For who follows a question: the instances that have come under its selectors since the last call, as another."""

    def __init__(
        self, store: Store, scope: Scope, selectors: str | Sequence[str], options: LogOptions, question: Query
    ) -> None:
        self._store, self._scope, self._options = store, scope, options
        self._selectors = [selectors] if isinstance(selectors, str) else [*selectors]
        self._known = {source.instance for source in question.sources}
        self._stamp, self._looked = store.stamp(), time.time()

    def __call__(self) -> Query | None:
        since, self._looked = self._looked, time.time()
        stamp = self._store.stamp()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        stored = status.read(self._store)
        known = status.known(stored)
        chosen = [one for selector in self._selectors for one in _if_any(selector, known)]
        new = {one.instance: one for one in _sources(chosen, stored, self._scope) if one.instance not in self._known}
        self._known.update(new)
        return _query(new.values(), self._scope, replace(self._options, lines=None, since=since)) if new else None


def _if_any(selector: str, known: Mapping[str, Known]) -> list[Chosen]:
    """What a selector means; nothing if what it named has gone."""
    try:
        return select(selector, known)
    except NotFound:
        return []


def flush(store: Store, scope: Scope, selectors: str | Sequence[str]) -> list[Flushed]:
    """Empty the log files of apps, and have what they wrote to the journal passed over by ``query`` from now on.

    The journal itself keeps its lines: nobody can take some out. A query with ``since`` still finds them. Raises
    NotPermitted, and Conflict for a file that is not what it was when it was written to.
    """
    ground.require_rights(scope)
    stored = status.read(store)
    found = []
    for one in select(selectors, status.known(stored)):
        app = stored[one.app].require()
        files = logfiles.find(app, one.numbers)
        emptied = [(file.path, size) for file in files if (size := logfiles.empty(file)) is not None]
        for number in one.numbers:
            logfiles.mark_flushed(store.locks, InstanceName(one.app, number))
        in_journal = "journal" in (app.log.output, app.log.error)
        found.append(Flushed(app=one.app, emptied=tuple(emptied), in_journal=in_journal))
    return found


def last_lines(app: App, scope: Scope, name: InstanceName, count: int, *, since: float | None = None) -> list[str]:
    """The last lines that an instance wrote; none if the journal may not be read."""
    options = LogOptions(lines=count, since=since, kinds=frozenset({Kind.OUT, Kind.ERR}))
    return [entry.message for entry in _of_instance(app, scope, name, options)]


def lines_of_run(app: App, scope: Scope, end: Exited, count: int, *, since: float | None) -> list[str]:
    """The last lines of the run that ended so; none if the journal may not be read."""
    options = LogOptions(lines=count, since=since, until=end.at + _LATE, kinds=frozenset({Kind.OUT, Kind.ERR}))
    return [entry.message for entry in _of_instance(app, scope, end.name, options, run=end.invocation_id or None)]


def last_exit(app: App, scope: Scope, name: InstanceName, *, since: float | None = None) -> Exit | None:
    """How an instance's main process ended last, in systemd's words in the journal; None if they are not there.

    The manager itself forgets an exit as soon as it has started the unit again.
    """
    options = LogOptions(lines=1, since=since, kinds=frozenset({Kind.SYSTEMD}), grep=_EXITED.pattern)
    for entry in _of_instance(app, scope, name, options):
        found = _EXITED.search(entry.message)
        if found:
            how, number, at = found[1], int(found[2]), entry.at_usec / 1_000_000
            return Exit(code=number, at=at) if how == "exited" else Exit(signal=number, dumped=how == "dumped", at=at)
    return None


def last_result(app: App, scope: Scope, name: InstanceName, *, since: float | None = None) -> str:
    """How an instance failed last in a word of systemd's, such as ``timeout``; empty if the journal lacks it."""
    return _last_word(_RESULT, app, scope, name, since)


def last_refusal(app: App, scope: Scope, name: InstanceName, *, since: float | None = None) -> str:
    """Why systemd did not take the unit of an instance, in a sentence of its own; empty if the journal lacks it."""
    return _last_word(_REFUSED, app, scope, name, since)


def last_restart(app: App, scope: Scope, name: InstanceName) -> Restarted | None:
    """Why and when one of the app's companions restarted an instance last; None if the journal does not tell."""
    options = LogOptions(lines=1, kinds=frozenset({Kind.SYSTEMD}), grep=_RESTARTED.pattern)
    for entry in _of_instance(app, scope, name, options):
        if found := _RESTARTED.search(entry.message):
            return Restarted(found[1], entry.at_usec / 1_000_000)
    return None


def watchdog_words(app: App, scope: Scope, name: InstanceName) -> list[str]:
    """What an instance's watchdog last found wrong with it: one line, or none."""
    options = LogOptions(lines=1, kinds=frozenset({Kind.OUT, Kind.ERR}), grep=rf"^{WATCHDOG_SAYS}")
    return [entry.message for entry in _of_instance(app, scope, name, options)]


def _last_word(pattern: re.Pattern[str], app: App, scope: Scope, name: InstanceName, since: float | None) -> str:
    options = LogOptions(lines=1, since=since, kinds=frozenset({Kind.SYSTEMD}), grep=pattern.pattern)
    found = [pattern.search(entry.message) for entry in _of_instance(app, scope, name, options)]
    return found[-1][1] if found and found[-1] else ""


def _of_instance(
    app: App, scope: Scope, name: InstanceName, options: LogOptions, *, run: str | None = None
) -> list[Entry]:
    uid = _uid_of(app, scope)
    try:
        return [*journal.read(replace(_query([Source(instance=name, uid=uid)], scope, options), invocation_id=run))]
    except PysupError:
        return []


async def follow(question: Query, more: More | None = None) -> AsyncIterator[Entry]:
    """What is there, and then what comes, without a gap between; *more*: `Newcomers`."""
    import asyncio  # not for those who read what is there

    loop = asyncio.get_running_loop()
    tail = await asyncio.to_thread(Tail, question, more)
    ready = asyncio.Event()
    loop.add_reader(tail.fileno(), ready.set)
    try:
        while True:
            ready.clear()
            while entries := tail.available():
                for entry in entries:
                    yield entry
            with contextlib.suppress(TimeoutError):  # journald tells of new lines late
                async with asyncio.timeout(tail.interval):  # wait_for of Python 3.11 may swallow a cancellation
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


def _sources(chosen: Iterable[Chosen], stored: Mapping[str, Stored], scope: Scope) -> list[Source]:
    return [
        Source(instance=InstanceName(one.app, number), uid=_uid(stored[one.app], scope))
        for one in chosen
        for number in one.numbers
    ]


def _uid(stored: Stored, scope: Scope) -> int | None:
    return None if stored.app is None else _uid_of(stored.app, scope)


def _uid_of(app: App, scope: Scope) -> int | None:
    account = dynamic_user(app.name) if app.isolate.dynamic_user else app.user
    return _account(account) if account else _own_uid(scope)


def _account(user: str) -> int | None:
    try:
        return users.get(user).uid
    except PysupError:
        return None


def _own_uid(scope: Scope) -> int:
    return 0 if scope is Scope.SYSTEM else os.getuid()


def _usec(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)
