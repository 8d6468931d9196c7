"""The lines of apps as they come, from the journal and from log files: read in a thread, given to an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import NamedTuple

from pysup import logfiles, logs, status
from pysup.errors import NotFound, PysupError
from pysup.journal import Query
from pysup.logs import LogOptions
from pysup.store import Store
from pysup.tui import loglines
from pysup.tui.loglines import LogLine
from pysup.unit import Scope

FIRST = 500
"""So many lines that were written before."""

RETRY = 1.0
_PAUSE = 0.25
_AHEAD = 4  # batches that may wait for who shows them: a program that writes without end must not fill the memory

Batches = Iterator[list[LogLine]]
Source = Callable[[str, int], Batches]
"""What gives the lines of a selector until a descriptor is readable."""


class News(NamedTuple):
    """Lines; with ``anew`` they replace all that came before. ``problem`` is why there are none for now."""

    lines: list[LogLine]
    anew: bool = False
    problem: str = ""


def read(store: Store, scope: Scope, selector: str, wake_fd: int) -> Batches:
    """What the chosen instances wrote last, and all that comes, also of those that come later."""
    options = LogOptions(lines=FIRST)
    query = logs.query(store, scope, selector, options)

    def files_of(question: Query) -> list[logfiles.LogFile]:
        return logfiles.of(question, status.read(store))

    more = logs.Newcomers(store, scope, selector, options, query)
    for found in logfiles.follow(query, files_of, lines=FIRST, more=more, wake_fd=wake_fd, interval=_PAUSE):
        entries = (one if isinstance(one, logfiles.FileLine) else one[1] for one in found)
        yield [line for one in entries for line in loglines.lines(one)]


async def news(source: Source, selector: str) -> AsyncGenerator[News, None]:
    """Follow on and on: where the journal goes away, that is told, and it begins anew when it is back."""
    while True:
        is_first = True
        try:
            async with contextlib.aclosing(_in_thread(source, selector)) as batches:
                async for batch in batches:
                    yield News(batch, anew=is_first)
                    is_first = False
        except NotFound:
            yield News([], anew=True)
        except PysupError as exc:
            yield News([], problem=". ".join(filter(None, (exc.message, exc.hint.rstrip(".")))) + ".")
        except OSError as exc:
            yield News([], problem=f"{exc}.")
        await asyncio.sleep(RETRY)  # nothing tells when it is there again


async def _in_thread(source: Source, selector: str) -> AsyncGenerator[list[LogLine], None]:
    """What the source gives, read in a thread of its own that ends when nobody asks any more."""
    reader = _Reader(source, selector)
    reader.start()
    try:
        while (batch := await reader.next()) is not None:
            yield batch
    finally:
        reader.end()


class _Reader:
    """The thread, and the way from it to the loop."""

    def __init__(self, source: Source, selector: str) -> None:
        self._source, self._selector = source, selector
        self._loop = asyncio.get_running_loop()
        self._batches: asyncio.Queue[list[LogLine] | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._is_over = False
        self._wake, self._waker = os.pipe()

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"pysup monit: logs of {self._selector}", daemon=True).start()

    async def next(self) -> list[LogLine] | None:
        """The next batch; None when there will be none."""
        found = await self._batches.get()
        self._room.release()
        if isinstance(found, BaseException):
            raise found
        return found

    def end(self) -> None:
        """Have the thread end; this does not wait for it."""
        self._is_over = True
        self._room.release()
        os.close(self._waker)  # the other end is readable now

    def _run(self) -> None:
        last: BaseException | None = None
        try:
            for batch in self._source(self._selector, self._wake):
                self._room.acquire()
                if self._is_over:
                    break
                self._give(batch)
        except Exception as exc:  # whoever reads gets it
            last = exc
        finally:
            os.close(self._wake)
            self._give(last)

    def _give(self, what: list[LogLine] | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to read
            self._loop.call_soon_threadsafe(self._batches.put_nowait, what)
