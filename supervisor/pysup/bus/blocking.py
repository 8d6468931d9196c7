"""A blocking connection for commands that only ask; jeepney costs a quarter of asyncio's and dbus-fast's import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from pysup.bus.call import PROPERTIES, Call, Conversation, Reply, T, error
from pysup.errors import BusLost

# dbus-daemon allows 128 calls without a reply for each connection.
WINDOW = 64


class BlockingConnection:
    """A connection to the bus at an address; a context manager. Raises OSError when it cannot be made."""

    def __init__(self, address: str, *, timeout: float = 25.0) -> None:
        self._connection: DBusConnection = open_dbus_connection(address)
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def call(self, calls: Sequence[Call]) -> list[Reply]:
        """Make the calls, many at a time; replies in their order."""
        try:
            return [reply for window in _windows(calls) for reply in self._exchange(window)]
        except (OSError, EOFError) as exc:
            raise BusLost(f"the bus went away: {exc}", hint="Type: systemctl status dbus") from exc

    def converse(self, conversation: Conversation[T]) -> T:
        """Carry a conversation to its end."""
        replies: Sequence[Reply] = ()
        try:
            calls = next(conversation)
            while True:
                replies = self.call(calls)
                calls = conversation.send(replies)
        except StopIteration as end:
            result: T = end.value
            return result

    def _exchange(self, calls: Sequence[Call]) -> list[Reply]:
        waiting: dict[int, int] = {}
        data = bytearray()
        for index, call in enumerate(calls):
            serial = next(self._connection.outgoing_serial)
            waiting[serial] = index
            data += _message(call).serialise(serial)
        self._connection.sock.sendall(data)
        replies: list[Reply] = [()] * len(calls)
        while waiting:
            message = self._connection.receive(timeout=self._timeout)
            found = waiting.pop(message.header.fields.get(HeaderFields.reply_serial, -1), None)
            if found is not None:
                replies[found] = _reply(message, calls[found])
        return replies


def _windows(calls: Sequence[Call]) -> Iterator[Sequence[Call]]:
    for start in range(0, len(calls), WINDOW):
        yield calls[start : start + WINDOW]


def _message(call: Call) -> Message:
    address = DBusAddress(call.path, bus_name=call.destination, interface=call.interface)
    return new_method_call(address, call.member, call.signature or None, call.args)


def _reply(message: Message, call: Call) -> Reply:
    if message.header.message_type is MessageType.error:
        text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
        return error(str(message.header.fields.get(HeaderFields.error_name, "")), text)
    if call.interface == PROPERTIES:
        return (_open(message.body[0], many=call.member == "GetAll"),)
    return tuple(message.body)


def _open(value: object, *, many: bool) -> object:
    """Take the variant, or each variant of a table, off its value: jeepney gives (signature, value)."""
    if many:
        return {name: content[1] for name, content in value.items()}  # type: ignore[attr-defined]
    return value[1]  # type: ignore[index]
