"""Whether an address can be listened on, and if not, why."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import NamedTuple

from pysup.host import files

_FIRST_FREE = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_BIND_SERVICE = 10  # CAP_NET_BIND_SERVICE: capabilities(7)


class Trouble(NamedTuple):
    """What is in the way, and what to do (empty where that is not known)."""

    what: str
    remedy: str = ""


def first_free() -> int:
    """The lowest port that anybody may open."""
    text = (files.read(_FIRST_FREE) or b"").strip()
    return int(text) if text.isdigit() else 1024


def may_open_all(pid: int) -> bool:
    """Whether a process may open ports below that."""
    for line in (files.read(f"/proc/{pid}/status") or b"").splitlines():
        if line.startswith(b"CapEff:"):
            return bool(int(line.split()[1], 16) >> _BIND_SERVICE & 1)
    return False


def reserved(port: int) -> Trouble:
    """What to do for a port that only the machine's systemd may open."""
    return Trouble(
        f"ports below {first_free()} are not for your own systemd to open",
        f"The machine's may, whoever the program runs as: sudo pysup start … --listen {port} --uid {_me()}; "
        f"or allow it to all: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}",
    )


def is_taken_by_a_file(path: str) -> bool:
    """Whether there is something else than a socket: systemd would unlink it."""
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def trouble(address: str) -> Trouble:
    """Why *address* (``8080``, ``[::1]:8080`` or a path) cannot be listened on, as it looks now."""
    if address.startswith("/"):
        return _of_path(address)
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET if "." in host else socket.AF_INET6
    try:
        with socket.socket(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, int(port)))
            sock.listen(1)
    except OSError as exc:
        return _of_errno(exc, int(port))
    return Trouble("systemd could not open it")


def _of_errno(exc: OSError, port: int) -> Trouble:
    if exc.errno == errno.EADDRINUSE:
        return Trouble("somebody else listens there", f"See who: ss -ltnp 'sport = :{port}'. Or take another port.")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return reserved(port)
    if exc.errno == errno.EADDRNOTAVAIL:
        return Trouble("this machine has no such address", "See which it has: ip address.")
    if exc.errno == errno.EAFNOSUPPORT:
        return Trouble("this machine has no IPv6", "Name an IPv4 address: 0.0.0.0 is all of them.")
    return Trouble(exc.strerror or str(exc))


def _of_path(path: str) -> Trouble:
    directory = os.path.dirname(path)  # noqa: PTH120
    if os.path.isdir(directory) and not os.access(directory, os.W_OK):  # noqa: PTH112
        return Trouble("its directory may not be written to", f"See whose it is: namei -l {directory}")
    return Trouble("systemd could not open it")


def _me() -> str:
    import pwd  # an error's cost only

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
