"""A blocking connection for commands that only ask, and, behind ``direct``, for those that change things.

It is written out here because it is a third of what a list costs: for 50 instances, jeepney's takes 8 ms to import and
17 ms to put 150 questions and understand the answers, this one 3 and 5; dbus-fast with asyncio takes 58 to import.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from pysup.bus import wire
from pysup.bus.call import Call, Conversation, Reply, Signal, T, error, is_repeatable
from pysup.errors import BusLost

# dbus-daemon allows 128 calls without a reply for each connection. While replies are read, systemd has more to answer.
IN_FLIGHT, AT_ONCE = 96, 32

# systemd is away for some 100 ms when it is executed anew.
REEXEC_TRIES, REEXEC_PAUSE = 100, 0.05

_BUS = "org.freedesktop.DBus"
_HELLO = Call("Hello", path="/org/freedesktop/DBus", interface=_BUS, destination=_BUS)


class BlockingConnection:
    """A connection to the bus at an address; a context manager. Raises OSError when it cannot be made.

    Every signal that comes in is handed to *hear*.
    """

    def __init__(self, address: str, *, timeout: float = 25.0, hear: Callable[[Signal], None] | None = None) -> None:
        self._timeout = timeout
        self._hear = hear
        self._socket = _connect(address, timeout)
        self._received = bytearray()
        self._serial = 0
        self._ahead = 0  # how many of the calls that are made next have been sent
        try:
            self._authenticate()
            self._exchange([_HELLO])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(self, calls: Sequence[Call]) -> list[Reply]:
        """Make the calls, many at a time; replies in their order, with variants opened.

        Waits for a systemd that is being executed anew.
        """
        try:
            return self._answered(calls)
        except OSError as exc:
            raise _lost(exc) from exc

    def wait(self) -> None:
        """Return once a signal, or anything else, has come in, however long that takes."""
        self._socket.settimeout(None)
        try:
            self._message()
        except OSError as exc:
            raise _lost(exc) from exc
        finally:
            self._socket.settimeout(self._timeout)

    def converse(self, conversation: Conversation[T], *, meanwhile: Iterator[object] | None = None) -> T:
        """Carry a conversation to its end; whenever systemd has been asked, *meanwhile* goes on to its next step."""
        replies: Sequence[Reply] = ()
        try:
            calls = next(conversation)
            while True:
                if meanwhile:
                    self._begin(calls)
                    next(meanwhile, None)
                replies = self.call(calls)
                calls = conversation.send(replies)
        except StopIteration as end:
            result: T = end.value
            return result

    def _authenticate(self) -> None:
        """Say who we are; the kernel tells the bus whether it is true. D-Bus specification, "EXTERNAL"."""
        self._socket.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(os.geteuid()).encode().hex().encode())
        while not self._received.endswith(b"\r\n"):
            self._receive()
        if not self._received.startswith(b"OK "):
            raise PermissionError(f"the bus refuses us: {self._received.decode(errors='replace').strip()}")
        self._received.clear()
        self._socket.sendall(b"BEGIN\r\n")

    def _answered(self, calls: Sequence[Call]) -> list[Reply]:
        replies = self._exchange(calls)
        for _ in range(REEXEC_TRIES):
            again = [index for index, call in enumerate(calls) if is_repeatable(call, replies[index])]
            if not again:
                break
            time.sleep(REEXEC_PAUSE)  # there is nobody to tell when it is back
            for index, reply in zip(again, self._exchange([calls[index] for index in again]), strict=True):
                replies[index] = reply
        return replies

    def _exchange(self, calls: Sequence[Call]) -> list[Reply]:
        first, sent, self._ahead = self._serial + 1 - self._ahead, self._ahead, 0
        replies: dict[int, Reply] = {}
        while len(replies) < len(calls):
            while sent < len(calls) and sent + AT_ONCE - len(replies) <= IN_FLIGHT:
                sent += self._send(calls[sent : sent + AT_ONCE])
            message = self._message()
            if message.kind in (wire.METHOD_RETURN, wire.ERROR) and message.reply_serial >= first:
                replies[message.reply_serial - first] = _reply(message)
        return [replies[index] for index in range(len(calls))]

    def _begin(self, calls: Sequence[Call]) -> None:
        """Send the first of the calls that are made next."""
        try:
            self._ahead = self._send(calls[:IN_FLIGHT])
        except OSError as exc:
            raise _lost(exc) from exc

    def _send(self, calls: Sequence[Call]) -> int:
        """Send calls under the next serial numbers; how many they were."""
        self._socket.sendall(b"".join(wire.write(call, serial) for serial, call in enumerate(calls, self._serial + 1)))
        self._serial += len(calls)
        return len(calls)

    def _message(self) -> wire.Message:
        while (length := wire.length(self._received)) is None or len(self._received) < length:
            self._receive()
        data = bytes(self._received[:length])
        del self._received[:length]
        try:
            message = wire.read(data)
        except ValueError as exc:
            raise ConnectionError(str(exc)) from exc
        if message.kind == wire.SIGNAL and self._hear:
            self._hear(Signal(message.member, message.path, message.interface, message.body))
        return message

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("it closed the connection")
        self._received += data


def _connect(address: str, timeout: float) -> socket.socket:
    """A socket to the first of the addresses that can be reached."""
    problem = OSError(f"the bus has an address that pysup cannot use: {address}")
    for place in _places(address):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(place)
        except OSError as exc:
            connection.close()
            problem = exc
        else:
            return connection
    raise problem


def _places(address: str) -> Iterator[str]:
    """Names of Unix sockets from an address. D-Bus specification, "Server Addresses"."""
    for one in address.split(";"):
        transport, _, rest = one.partition(":")
        keys = dict(pair.partition("=")[::2] for pair in rest.split(","))
        if transport == "unix" and "path" in keys:
            yield _unescape(keys["path"])
        elif transport == "unix" and "abstract" in keys:
            yield "\0" + _unescape(keys["abstract"])


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote  # hardly any address needs it

    return unquote(text)


def _lost(exc: OSError) -> BusLost:
    return BusLost(f"the bus went away: {exc}", hint="Type: systemctl status dbus")


def _reply(message: wire.Message) -> Reply:
    if message.kind == wire.ERROR:
        text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
        return error(message.error_name, text)
    return message.body
