"""The connection for coroutines that run without an event loop: none of its methods gives way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from pysup.bus import systemd1
from pysup.bus.blocking import BlockingConnection
from pysup.bus.call import Call, Conversation, Reply, T, check
from pysup.bus.protocol import Listened
from pysup.errors import BusLost

# While systemd reads its units anew it answers nobody: with many of them, or on a slow machine, for more than the 25
# seconds that are usual. systemctl waits so long for it, too.
PATIENCE = 180.0


class DirectConnection(Listened):
    """A connection to the bus at an address; a context manager. Raises OSError when it cannot be made.

    A bus that says nothing for *timeout* seconds, though it is asked, is lost.
    """

    def __init__(self, address: str, *, timeout: float = PATIENCE) -> None:
        super().__init__()
        self._matches: set[str] = set()
        self._connection = BlockingConnection(address, timeout=timeout, hear=self._tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    async def close(self) -> None:
        """End the connection."""
        self._connection.close()

    async def call(self, call: Call) -> tuple[object, ...]:
        """Make a call; its values, or the error raised."""
        return check((await self.calls([call]))[0])

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        """Make the calls together; replies, or what they raised, in their order."""
        return self._connection.call(calls)

    async def converse(self, conversation: Conversation[T]) -> T:
        """Carry a conversation to its end."""
        return self._connection.converse(conversation)

    async def match(self, rule: str) -> None:
        """Have the bus hand on the signals of a rule; once is enough."""
        if rule not in self._matches:
            await self.call(systemd1.add_match(rule))
            self._matches.add(rule)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as *condition* holds, which is asked again after every signal; raises BusLost."""
        while not condition():
            self._connection.wait()

    async def ended(self) -> None:
        """Return once the connection has ended, by whoever's will."""
        with contextlib.suppress(BusLost):
            while True:
                self._connection.wait()
