"""Coroutines without an event loop: importing asyncio and dbus-fast takes a third of what a whole reload does.

What waits for nothing but a bus that blocks (``pysup.bus.direct``), ``sleep`` and ``aside`` never gives way: ``run``
carries it to its end at once. With a loop the same coroutines wait as all others do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_is_alone: ContextVar[bool] = ContextVar("is_alone", default=False)


def run(coroutine: Coroutine[object, None, T]) -> T:
    """What the coroutine returns. Raises RuntimeError if it waits for what needs a loop."""
    token = _is_alone.set(True)
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        _is_alone.reset(token)
        coroutine.close()
    raise RuntimeError("it waits for what only an event loop brings about")


async def sleep(seconds: float) -> None:
    """Wait."""
    if _is_alone.get():
        time.sleep(seconds)  # noqa: ASYNC251 (there is nobody to hold up)
        return
    import asyncio  # whoever comes here has it

    await asyncio.sleep(seconds)


async def aside(function: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
    """What a function returns that blocks: in a thread of its own where a loop would stand still meanwhile.

    *undo* takes what it returned if nobody waits for it any more.
    """
    if _is_alone.get():
        return function()
    import asyncio  # whoever comes here has it

    working = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if undo:
            working.add_done_callback(lambda done: None if done.exception() else undo(done.result()))
        raise
