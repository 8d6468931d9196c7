"""HTTP clients that ask as fast as they can while a test does something, and count what failed.

    with hammer.load(8080, clients=8, keep_alive=True) as tally:
        tally.wait_for(200)          # requests more than now
        restart_everything()
        tally.wait_for(200)
    assert [] == tally.failures

A request has failed when it got no whole answer of status 200: refused, reset, ended early, or late (10 s). Nothing is
tried again. An answer that says ``Connection: close`` ends its connection, as it must; the next request opens another.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE = 10.0
STALL = 3.0  # seconds: so long nobody may wait even on a busy machine; what is promised is measured by make bench
WAITING = 60.0


@dataclass
class Tally:
    """What has happened so far; ``answers`` counts bodies, so that a program that answers its pid tells who did it."""

    failures: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    connections: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def requests(self) -> int:
        """All that were answered, and all that failed."""
        return self.answers.total() + len(self.failures)

    def wait_for(self, more: int, *, answer: str | None = None, timeout: float = WAITING) -> None:
        """Until so many more requests have ended; with *answer*, until so many more were answered with that."""

        def count() -> int:
            return self.requests if answer is None else self.answers[answer]

        with self._news:
            wanted = count() + more
            assert self._news.wait_for(lambda: count() >= wanted, timeout), f"only {count()} of {wanted}: {self}"

    def note(self, answer: str | None, failure: str, took: float) -> None:
        """Count one request."""
        with self._news:
            if answer is None:
                self.failures.append(failure)
            else:
                self.answers[answer] += 1
            self.slowest = max(self.slowest, took)
            self._news.notify_all()


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to ask, and how."""

    address: int | str
    path: str = "/"
    keep_alive: bool = False
    pause: float = 0.0
    tls: ssl.SSLContext | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection."""
        if isinstance(self.address, str):
            return await asyncio.open_unix_connection(self.address)
        name = "localhost" if self.tls else None
        return await asyncio.open_connection("127.0.0.1", self.address, ssl=self.tls, server_hostname=name)

    @property
    def request(self) -> bytes:
        """What is sent."""
        connection = "keep-alive" if self.keep_alive else "close"
        return f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode()


@contextmanager
def load(
    address: int | str,
    *,
    clients: int = 8,
    keep_alive: bool = False,
    path: str = "/",
    pause: float = 0.0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Tally]:
    """Ask a port of 127.0.0.1, or a unix socket, until the block ends; what is on its way then is waited for.

    Each client waits *pause* seconds between its requests: to see that none is lost needs no busy machine.
    """
    target = Target(address=address, path=path, keep_alive=keep_alive, pause=pause, tls=tls)
    tally, stop = Tally(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_run(target, clients, tally, stop)), name="hammer")
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join()


async def _run(target: Target, clients: int, tally: Tally, stop: threading.Event) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(_ask_again_and_again(target, tally, stop), name=f"client {number}")


async def _ask_again_and_again(target: Target, tally: Tally, stop: threading.Event) -> None:
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while not stop.is_set():
        began, answer, failure = time.monotonic(), None, ""
        stays, was_open = False, streams is not None
        try:
            async with asyncio.timeout(PATIENCE):
                if streams is None:
                    streams = await target.connect()
                    tally.connections += 1
                answer, stays = await _ask(target, *streams)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as exc:
            failure = f"{type(exc).__name__}: {exc} ({'kept' if was_open else 'new'} connection)"
        tally.note(answer, failure, time.monotonic() - began)
        if streams and not (stays and target.keep_alive):
            await _close(streams[1])
            streams = None
        if answer is None or target.pause:
            await asyncio.sleep(target.pause or 0.01)  # let a server that is down not fill the tally
    if streams:
        await _close(streams[1])


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bool]:
    """The body of one answer, and whether the connection stays."""
    writer.write(target.request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status, *lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    if fields.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(fields.get("content-length", "0")))
    if " 200 " not in status:
        raise ValueError(f"{status}: {body[:80]!r}")
    return body.decode().strip(), fields.get("connection") != "close"


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
