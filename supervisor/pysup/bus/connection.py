"""The asynchronous connection: calls with their replies, signals for who listens, and the news that it has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from pysup.bus import call as call_values
from pysup.bus import systemd1
from pysup.bus.call import PROPERTIES, Call, Conversation, Reply, Signal, T, carry, check, error, is_repeatable
from pysup.bus.protocol import Bus, Listened
from pysup.errors import BusError, BusLost, PysupError

# dbus-daemon allows 128 calls without a reply for each connection, and dbus-fast ends the connection on EAGAIN
# when its socket's buffer is full: see docs/decisions.md.
IN_FLIGHT = 64

REEXEC_TIMEOUT = 25.0


class Connection(Listened):
    """A connection to the bus at an address; an asynchronous context manager. Raises OSError when it cannot be made."""

    def __init__(self, address: str) -> None:
        self._bus = MessageBus(bus_address=address)
        self._window = asyncio.Semaphore(IN_FLIGHT)
        super().__init__()
        self._matches: set[str] = set()
        self._end: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def open(self) -> Self:
        """Connect."""
        await self._bus.connect()
        self._bus.add_message_handler(self._receive)
        self._end = asyncio.create_task(self._wait_for_end(), name="pysup bus: end")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        if self._bus.connected:
            self._bus.disconnect()
            await self.ended()

    async def call(self, call: Call) -> tuple[object, ...]:
        """Make a call; its values, or the error raised. Waits for a systemd that is being executed anew."""
        try:
            return await self._once(call)
        except BusError as exc:
            if not is_repeatable(call, exc):
                raise
        await self._until_systemd_is_there()
        return await self._once(call)

    async def _until_systemd_is_there(self) -> None:
        back = asyncio.Event()

        def hear(signal: Signal) -> None:
            if signal.member == "NameOwnerChanged" and signal.args[2]:
                back.set()

        with self.listening(hear):
            await self.match(systemd1.owner_rule())
            (there,) = await self._once(systemd1.is_on_bus())
            if not there:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(back.wait(), REEXEC_TIMEOUT)

    async def _once(self, call: Call) -> tuple[object, ...]:
        message = Message(
            destination=call.destination,
            path=call.path,
            interface=call.interface,
            member=call.member,
            signature=call.signature,
            body=list(map(_sent, call.args)),
        )
        async with self._window:
            if not self._bus.connected:
                raise BusLost("the connection to the bus has ended", hint="Type: systemctl status dbus")
            try:
                reply = await self._bus.call(message)
            except Exception as exc:  # whatever broke the connection: dbus-fast hands on what it met
                raise BusLost(f"the bus went away: {exc}", hint="Type: systemctl status dbus") from exc
        if reply.message_type is MessageType.ERROR:
            raise error(reply.error_name or "", str(reply.body[0]) if reply.body else "")
        return _values(reply, opened=call.interface == PROPERTIES)

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        """Make the calls together; replies, or what they raised, in their order."""
        replies = await asyncio.gather(*map(self.call, calls), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, PysupError):
                raise reply
        return list(replies)  # type: ignore[arg-type]

    async def converse(self, conversation: Conversation[T]) -> T:
        """Carry a conversation to its end."""
        return await carry(conversation, self.calls)

    async def match(self, rule: str) -> None:
        """Have the bus hand on the signals of a rule; once is enough."""
        if rule not in self._matches:
            check((await self.calls([systemd1.add_match(rule)]))[0])
            self._matches.add(rule)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as *condition* holds, which is asked again after every signal; raises BusLost."""
        await wait(self, condition)

    async def ended(self) -> None:
        """Return once the connection has ended, by whoever's will."""
        if self._end:
            await asyncio.wait({self._end})  # who waits may be cancelled; the connection is not

    async def _wait_for_end(self) -> None:
        with contextlib.suppress(Exception):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _receive(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or not self._listeners:
            return
        opened = message.interface == PROPERTIES
        values = _values(message, opened=opened)
        self._tell(Signal(message.member or "", message.path or "", message.interface or "", values))


async def wait(bus: Bus, condition: Callable[[], bool]) -> None:
    """``until`` of a bus, by its ``listening`` and ``ended``."""
    news = asyncio.Event()
    with bus.listening(lambda _: news.set()):
        ended = asyncio.create_task(bus.ended(), name="pysup bus: ended")
        try:
            while not condition():
                waiting = asyncio.create_task(news.wait(), name="pysup bus: news")
                await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if ended.done():
                    raise BusLost("the bus went away", hint="Type: systemctl status dbus")
                news.clear()
        finally:
            ended.cancel()


def _sent(value: object) -> object:
    """An argument as dbus-fast has it."""
    if isinstance(value, call_values.Variant):
        return Variant(value.signature, value.value)
    return list(map(_sent, value)) if isinstance(value, list) else value


def _values(message: Message, *, opened: bool) -> tuple[object, ...]:
    """The body; with *opened*, variants and tables of variants give their values."""
    return tuple(map(_open, message.body)) if opened else tuple(message.body)


def _open(value: object) -> object:
    if isinstance(value, Variant):
        return value.value
    if isinstance(value, dict):
        return {name: _open(content) for name, content in value.items()}
    return value
