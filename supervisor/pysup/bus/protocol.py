"""What is needed of a bus; the connections with a loop and without, and the fake in ``pysup.testing``, each are one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pysup.bus.call import Call, Conversation, Reply, Signal, T

Listener = Callable[[Signal], None]


class Bus(Protocol):
    """Calls with their replies, and signals for who listens."""

    async def call(self, call: Call) -> tuple[object, ...]:
        """Make a call; its values, or the error raised. Waits for a systemd that is being executed anew."""

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        """Make the calls together; replies, or what they raised, in their order."""

    async def converse(self, conversation: Conversation[T]) -> T:
        """Carry a conversation to its end."""

    async def match(self, rule: str) -> None:
        """Have the bus hand on the signals of a rule; once is enough."""

    def listening(self, listener: Listener) -> contextlib.AbstractContextManager[None]:
        """Hand every signal to *listener* while the block lasts."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as *condition* holds, which is asked again after every signal; raises BusLost."""

    async def ended(self) -> None:
        """Return once the connection has ended, by whoever's will."""

    async def close(self) -> None:
        """End the connection."""


class Listened:
    """The ``listening`` of a bus, and the signals for who listens."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Hand every signal to *listener* while the block lasts."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _tell(self, signal: Signal) -> None:
        for listener in tuple(self._listeners):
            listener(signal)
