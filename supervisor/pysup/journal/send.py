"""Writing to the journal, with fields: journald's native protocol, a datagram to its socket."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"


def send(fields: Mapping[str, str], *, address: str = SOCKET) -> None:
    """Write an entry; does nothing if there is no journald: what is told of must not fail for want of a listener."""
    data = b"".join(_line(name, value.encode(errors="backslashreplace")) for name, value in fields.items())
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock,
    ):
        sock.sendto(data, address)


def _line(name: str, value: bytes) -> bytes:
    """A field; a value with a newline goes with its length: systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
