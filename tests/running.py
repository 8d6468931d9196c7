"""The command while it runs: for tests of what follows, waits, is interrupted, or has a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import grounds

_KEPT = ("HOME", "USER", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
PATIENCE = 30.0


def environment(**more: str) -> dict[str, str]:
    """That of the fixture ``pysup``."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | grounds.environment() | more


def wait_until(condition: Callable[[], object]) -> None:
    """Ask again and again, where nobody tells when something has happened: a timer, a scrape, what a program wrote."""
    deadline = time.monotonic() + 2 * PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Running:
    """``pysup WORDS`` that was started; a context manager that kills it in the end, if it still runs."""

    def __init__(self, *words: str, env: dict[str, str] | None = None, **options: Any) -> None:
        usual: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(
            [grounds.PYSUP, *words], env=environment(**env or {}), start_new_session=True, **usual | options
        )
        self.seen = b""

    @property
    def output(self) -> int:
        """Where its stdout is read."""
        assert self.process.stdout
        return self.process.stdout.fileno()

    def expect(self, pattern: str) -> str:
        """Read on until the pattern is in what was not expected before, and return what it matched."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern.encode(), self.seen)):
            ready, _, _ = select.select([self.output], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not come; {self.seen!r}"
            piece = self._read()
            assert piece, f"it ended before {pattern!r}; {self.seen!r}; {self.complaints()}"
            self.seen += piece
        self.seen = self.seen[found.end() :]
        return found[0].decode()

    def rest(self) -> bytes:
        """All that it says until it ends."""
        while piece := self._read():
            self.seen += piece
        return self.seen

    def complaints(self) -> str:
        """What it says on stderr, when it has ended."""
        assert self.process.stderr
        return str(self.process.stderr.read().decode())

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send a signal, as Ctrl-C does, and return the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(PATIENCE)

    def _read(self) -> bytes:
        try:
            return os.read(self.output, 65536)
        except OSError:  # a terminal that nobody has open on the other side any more
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream and not stream.closed:
                stream.close()
        self.process.wait()


def _take_terminal() -> None:
    """Make stdin the session's terminal, whose end is told: a nohup around the tests is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.close(os.open(os.ttyname(0), os.O_RDWR))


class OnTerminal(Running):
    """The same, with a terminal as stdin, stdout and stderr; *size* is its lines and columns."""

    def __init__(self, *words: str, env: dict[str, str] | None = None, size: tuple[int, int] = (30, 100)) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, size)
        super().__init__(
            *words,
            env={"TERM": "xterm", **(env or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)

    @property
    def output(self) -> int:
        return self._ours

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def hang_up(self) -> None:
        """The terminal goes, as when a connection breaks."""
        os.close(self._ours)
        self._ours = os.open(os.devnull, os.O_RDWR)

    def complaints(self) -> str:
        return ""

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        os.close(self._ours)


@contextmanager
def started(*words: str) -> Iterator[None]:
    """Apps that are started, and deleted in the end."""
    try:
        with Running("start", *words, stderr=subprocess.STDOUT) as command:
            said = command.rest()
            assert command.ended() == 0, said.decode()
        yield
    finally:
        with Running("delete", "all") as command:
            command.rest()
            assert command.ended() == 0, command.complaints()
