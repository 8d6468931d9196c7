"""Listening sockets, and how many connections wait in each to be accepted: sock_diag(7), one question for all.

Nobody needs rights for it. Sockets of other network namespaces (``PrivateNetwork=``) are not seen.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

_NETLINK_SOCK_DIAG = 4
_BY_FAMILY, _DONE, _ERROR = 20, 3, 2
_REQUEST_ALL = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_LISTENING = 1 << 10  # TCP_LISTEN
_SHOW_NAME, _SHOW_QUEUE = 0x01, 0x10
_NAME, _QUEUE = 0, 4  # UNIX_DIAG_NAME, UNIX_DIAG_RQLEN
_CGROUP = 21  # INET_DIAG_CGROUP_ID, since Linux 5.8

_HEAD = struct.Struct("=IHHII")
_INET = struct.Struct("=BBBB2s2s16s16sIIIIIIII")
_UNIX = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")


class Listener(NamedTuple):
    """A listening socket. ``address`` is ``127.0.0.1:80``, ``[::]:80`` or a path.

    ``waiting`` connections are not accepted yet, of at most ``limit``. ``cgroup`` is the id (its directory's inode in
    the unified tree) of the group that made a TCP socket; 0 where it is not known.
    """

    address: str
    waiting: int
    limit: int
    cgroup: int = 0


def listeners() -> list[Listener]:
    """All that there are; none where the kernel has no sock_diag."""
    import socket  # most commands need none

    inet = struct.pack("=BBBBI", 0, socket.IPPROTO_TCP, 0, 0, _LISTENING) + bytes(48)
    unix = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _LISTENING, 0, _SHOW_NAME | _SHOW_QUEUE, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(5)
            found = [_inet(body) for family in (2, 10) for body in _ask(kernel, bytes((family,)) + inet[1:])]
            return found + [one for body in _ask(kernel, unix) if (one := _unix(body))]
    except OSError:
        return []


def _ask(kernel: socket.socket, question: bytes) -> Iterator[bytes]:
    """The bodies of the answers."""
    kernel.send(_HEAD.pack(_HEAD.size + len(question), _BY_FAMILY, _REQUEST_ALL, 1, 0) + question)
    while True:
        data = kernel.recv(1 << 18)
        while len(data) >= _HEAD.size:
            length, kind, *_ = _HEAD.unpack_from(data)
            if kind in (_DONE, _ERROR):
                return
            yield data[_HEAD.size : length]
            data = data[(length + 3) & ~3 :]


def _inet(body: bytes) -> Listener:
    import socket

    family, _, _, _, port, _, source, _, *rest = _INET.unpack_from(body)
    waiting, limit = rest[4], rest[5]
    number = int.from_bytes(port, "big")
    if family == socket.AF_INET:
        address = f"{socket.inet_ntop(family, source[:4])}:{number}"
    else:
        address = f"[{socket.inet_ntop(family, source)}]:{number}"
    group = dict(_attributes(body[_INET.size :])).get(_CGROUP, b"")
    return Listener(address, waiting, limit, int.from_bytes(group, "little") if len(group) == 8 else 0)


def _unix(body: bytes) -> Listener | None:
    found = dict(_attributes(body[_UNIX.size :]))
    name, queue = found.get(_NAME, b""), found.get(_QUEUE, b"")
    if not name.startswith(b"/") or len(queue) < 8:
        return None
    waiting, limit = struct.unpack_from("=II", queue)
    return Listener(os.fsdecode(name.rstrip(b"\0")), waiting, limit)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
