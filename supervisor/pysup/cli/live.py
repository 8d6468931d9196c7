"""``pysup list --watch``: the table, drawn anew when something happens and each second; the terminal is given back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence

from pysup.cli import instances, output
from pysup.errors import SpecError
from pysup.events import Event
from pysup.manager import Manager
from pysup.names import InstanceName
from pysup.unit import AppStatus, Scope

_SECOND = 1.0
_TOGETHER = 0.1  # what happens within so short a time is drawn once

_HEIGHT = 24  # of a terminal that does not say
_ENTER = "\033[?1049h\033[?25l"  # the alternate screen, and no cursor
_LEAVE = "\033[?25h\033[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\033[H", "\033[K", "\033[J"


def watch(scope: Scope, selectors: str | Sequence[str], *, expand: bool, sort: str) -> int:
    """Draw until Ctrl-C, or until a signal says to end: 128 and its number."""
    if not sys.stdout.isatty():
        raise SpecError("--watch draws on a terminal, and stdout is none", hint="Programs may poll pysup list --json.")
    instances.sort_lines([], sort)  # before the screen changes, for its errors
    came: list[int] = []
    try:
        asyncio.run(_watch(scope, selectors, came, expand=expand, sort=sort))
    except asyncio.CancelledError:
        if not came:
            raise
    return 128 + came[0]


async def _watch(scope: Scope, selectors: str | Sequence[str], came: list[int], *, expand: bool, sort: str) -> None:
    """Draw until cancelled; a signal that ends it is put into *came*."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end(number: int) -> None:
        came.append(number)
        if task:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    async with Manager(scope) as manager:
        before: list[AppStatus] = await manager.list(selectors)
        then = time.time()
        async with manager.watch(selectors) as events:
            with _screen():
                pace = _Pace(events)
                while True:
                    now = time.time()
                    apps = await manager.list(selectors)
                    shares = _shares(before, apps, now - then)
                    _draw(instances.text(apps, expand=expand, sort=sort, shares=shares))
                    if now - then >= _SECOND / 2:
                        before, then = apps, now
                    await pace.next()


class _Pace:
    """Waits for the next event, but no longer than a second, and lets those pass that come together."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._listen(events), name="pysup list: events")

    async def next(self) -> None:
        """Return when it is time to draw."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECOND):
                await self._news.wait()
                await asyncio.sleep(_TOGETHER)  # a stretch of time is what is meant
        self._news.clear()
        if self._task.done():
            self._task.result()

    async def _listen(self, events: AsyncIterator[Event]) -> None:
        async for _ in events:
            self._news.set()


def _shares(before: Sequence[AppStatus], after: Sequence[AppStatus], seconds: float) -> dict[InstanceName, float]:
    """What part of a CPU each instance had between two looks; the same process must have been there."""
    old = {(one.name, one.pid): one.usage.cpu_seconds for app in before for one in app.instances}
    shares = {}
    for app in after:
        for one in app.instances:
            used, was = one.usage.cpu_seconds, old.get((one.name, one.pid))
            if one.pid and used is not None and was is not None:
                shares[one.name] = 100 * max(0.0, used - was) / max(seconds, 0.01)
    return shares


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _draw(lines: Sequence[str]) -> None:
    height = os.get_terminal_size(sys.stdout.fileno()).lines or _HEIGHT
    clock = output.paint(f"pysup list --watch, {time.strftime('%H:%M:%S')}; Ctrl-C ends", output.DIM)
    shown = [clock, *lines[: height - 1]]
    if len(lines) > height - 1:
        shown[-1] = output.paint(f"… {len(lines) - height + 2} more", output.DIM)
    sys.stdout.write(_HOME + "\n".join(line + _END_OF_LINE for line in shown) + _BELOW)
    sys.stdout.flush()
