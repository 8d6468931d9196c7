"""``pysup top`` and ``pysup list --watch``: the table, drawn anew as things happen; the terminal is given back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from pysup.cli import instances, output
from pysup.errors import SpecError
from pysup.manager import Manager
from pysup.tui.feed import Feed, Look
from pysup.tui.history import History
from pysup.unit import Scope

_HEIGHT = 24  # of a terminal that does not say
_ENTER = "\033[?1049h\033[?25l\033[?7l"  # the alternate screen, no cursor, and long lines are cut
_LEAVE = "\033[?7h\033[?25h\033[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\033[H", "\033[K", "\033[J"
_QUIT = "q"
_SORTS = {"n": "name", "c": "cpu:desc", "m": "memory:desc", "r": "restarts:desc"}


class Asked(NamedTuple):
    """What to show of whom, and how often what they use is read. With *has_keys*, letters are understood."""

    scope: Scope
    selectors: str | Sequence[str]
    expand: bool
    sort: str
    title: str
    interval: float = 1.0
    has_keys: bool = False


def watch(asked: Asked) -> int:
    """Draw until ``q`` (0), Ctrl-C, or a signal that says to end: 128 and its number."""
    if not sys.stdout.isatty():
        raise SpecError(f"{asked.title} draws on a terminal, and stdout is none", hint=_elsewhere(asked))
    instances.sort_lines([], asked.sort)  # before the screen changes, for its errors
    came: list[int] = []
    try:
        asyncio.run(_Live(asked, came).run())
    except asyncio.CancelledError:
        if not came:
            raise
    return came[0] if came else 0


def batch(asked: Asked, count: int) -> None:
    """Print so many tables, with an empty line between them."""
    instances.sort_lines([], asked.sort)
    asyncio.run(_print(asked, count))


def _elsewhere(asked: Asked) -> str:
    return "pysup top -n 1 prints once." if asked.has_keys else "Programs may poll pysup list --json."


async def _print(asked: Asked, count: int) -> None:
    history, left = History(), count
    async with contextlib.aclosing(_feed(asked).looks()) as looks:
        async for look in looks:
            if not look.measured:
                continue
            history.add(look.apps, time.monotonic())
            if left < count:
                output.echo()
            for line in _table(asked, look, history):
                output.echo(line)
            output.flush()
            left -= 1
            if not left:
                return


def _feed(asked: Asked) -> Feed:
    return Feed(partial(Manager, asked.scope), asked.selectors, interval=asked.interval)


def _table(asked: Asked, look: Look, history: History) -> list[str]:
    """The lines; CPU is that of the last interval, and at the first look the average of the whole life."""
    shares = history.shares if history.has_shares else None
    return instances.text(look.apps, expand=asked.expand, sort=asked.sort, shares=shares)


class _Live:
    """The table while it is on the screen; what ended it is put into *came*."""

    def __init__(self, asked: Asked, came: list[int]) -> None:
        self._asked, self._came = asked, came
        self._history = History()
        self._look: Look | None = None
        self._task: asyncio.Task[object] | None = None
        self._terminal = _Terminal(has_keys=asked.has_keys)

    async def run(self) -> None:
        """Draw until cancelled."""
        self._task = asyncio.current_task()
        async with contextlib.aclosing(_feed(self._asked).looks()) as looks:
            self._take(await anext(looks))  # before the screen changes, for its errors
            with self._terminal:
                self._listen(asyncio.get_running_loop())
                self._draw()
                async for look in looks:
                    self._take(look)
                    self._draw()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end, 128 + number)
        loop.add_signal_handler(signal.SIGWINCH, self._draw)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        loop.add_signal_handler(signal.SIGCONT, self._resume)
        if self._terminal.has_keys:
            loop.add_reader(sys.stdin.fileno(), self._read)

    def _take(self, look: Look) -> None:
        self._look = look
        if look.measured:
            self._history.add(look.apps, time.monotonic())

    def _end(self, code: int) -> None:
        self._came.append(code)
        if self._task:
            self._task.cancel()

    def _read(self) -> None:
        """A key: to end, or to sort."""
        pressed = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
        if _QUIT in pressed or not pressed:
            self._end(0)
        elif pressed[-1] in _SORTS:
            self._asked = self._asked._replace(sort=_SORTS[pressed[-1]])
            self._draw()

    def _suspend(self) -> None:
        """Leave the terminal to the shell, until SIGCONT says to go on."""
        self._terminal.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _resume(self) -> None:
        """Have the terminal as it was, whatever the shell made of it meanwhile."""
        self._terminal.take()
        self._draw()

    def _draw(self) -> None:
        if not self._look:
            return
        lines = _table(self._asked, self._look, self._history)
        height = os.get_terminal_size(sys.stdout.fileno()).lines or _HEIGHT
        keys = "q ends; n c m r sort" if self._asked.has_keys else "Ctrl-C ends"
        head = [f"{self._asked.title}, {time.strftime('%H:%M:%S')}; {keys}"]
        if self._look.gap:
            head.append(f"{self._look.gap}: this may be old")
        shown = [*(output.paint(line, output.DIM) for line in head), *lines]
        if len(shown) > height:
            shown[height - 1 :] = [output.paint(f"… {len(shown) - height + 1} more", output.DIM)]
        _write(_HOME + "\n".join(line + _END_OF_LINE for line in shown) + _BELOW)


class _Terminal:
    """A context manager that has the screen for ourselves and, with *has_keys*, each key at once and unseen."""

    def __init__(self, *, has_keys: bool) -> None:
        self.has_keys = has_keys and sys.stdin.isatty()
        self._before = termios.tcgetattr(sys.stdin.fileno()) if self.has_keys else []

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self) -> None:
        """Have it, also when it is ours already."""
        if self.has_keys:
            tty.setcbreak(sys.stdin.fileno())
        _write(_ENTER)

    def give_back(self) -> None:
        """Leave it as it was."""
        _write(_LEAVE)
        if self.has_keys:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
