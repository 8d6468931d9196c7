"""Stop the instances of an app when no connection of theirs was open for a while; their sockets go on listening.

Run by systemd as ``python3 stopper.py SCOPE UNITS SPARE SECONDS ADDRESS…`` while instances run (see ``__init__.py``):
UNITS is a pattern for systemctl, SPARE what is active during a reload, an ADDRESS a port or the path of a unix socket.

What is open is read from the kernel's tables, once SECONDS have gone by. Connections that came and went meanwhile are
told by the kernel: of TCP by a message for each that ends (sock_diag(7), SKNLGRP_INET_TCP_DESTROY), filtered by port
in the kernel; of unix sockets by the time of the last access to the file. Then all processes are halted, so that none
accepts any more; only if still nobody is connected are they stopped. What arrives from then on waits in the socket,
and systemd starts the app again for it.
"""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time

LOOK = 5.0  # between looks, where the kernel does not tell
PAUSE = 1.0  # between messages that are listened to: one in a while is enough

_LISTENING, _TIME_WAIT = 0x0A, 0x06
_CLOSING = (0x04, 0x05, 0x09, 0x0B)  # still somebody's only while it has an inode
_UNIX_ACCEPTS = 1 << 16
_NETLINK_SOCK_DIAG, _SOL_NETLINK, _ADD_MEMBERSHIP = 4, 270, 1
_SO_ATTACH_FILTER = 26
_TCP_ENDED, _TCP6_ENDED = 1, 3


class Doors:
    """The addresses, and whether anybody uses them."""

    def __init__(self, addresses: list[str]) -> None:
        self.ports = {int(address) for address in addresses if not address.startswith("/")}
        self.paths = [address for address in addresses if address.startswith("/")]
        self._endings = _endings(sorted(self.ports)) if self.ports else None
        self._seen = {path: _accessed(path) for path in self.paths}
        self.tells = self._endings is not None and not self.paths

    def is_open(self) -> bool:
        """Whether a connection is open or waits to be accepted."""
        if self.ports and any(_tcp(table, self.ports) for table in ("/proc/net/tcp", "/proc/net/tcp6")):
            return True
        return bool(self.paths) and _unix(set(self.paths))

    def wait(self, seconds: float) -> bool:
        """Until a connection has ended, or the time is over: whether there was one."""
        if self._endings is None:
            time.sleep(seconds)
        else:
            self._endings.settimeout(max(seconds, 0.001))
            if _heard(self._endings):
                time.sleep(min(PAUSE, seconds / 10))
                self._endings.setblocking(False)
                while _heard(self._endings):
                    pass
                return True
        return self._accessed()

    def _accessed(self) -> bool:
        """Whether somebody has connected to a path since the last time."""
        before, self._seen = self._seen, {path: _accessed(path) for path in self.paths}
        return before != self._seen


def _tcp(table: str, ports: set[int]) -> bool:
    with contextlib.suppress(FileNotFoundError), open(table, "rb") as rows:
        next(rows, None)
        for row in rows:
            fields = row.split()
            if int(fields[1].rpartition(b":")[2], 16) in ports:
                state = int(fields[3], 16)
                is_ours = state not in _CLOSING or fields[9] != b"0"
                if is_ours and state not in (_LISTENING, _TIME_WAIT):
                    return True
    return False


def _unix(paths: set[str]) -> bool:
    with open("/proc/net/unix", "rb") as rows:
        for row in rows:
            head, slash, path = row.rstrip(b"\n").partition(b" /")
            if slash and "/" + os.fsdecode(path) in paths and not int(head.split()[3], 16) & _UNIX_ACCEPTS:
                return True
    return False


def _accessed(path: str) -> int:
    """When somebody last connected; made exact where only the first access after a change is noted (relatime)."""
    try:
        found = os.stat(path).st_atime_ns
        os.utime(path, ns=(found, time.time_ns()))
    except OSError:
        return 0
    return found


def _endings(ports: list[int]) -> socket.socket | None:
    """Where the kernel tells of each TCP connection of these ports that has ended; None if it does not."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    # Classic BPF: the port is at byte 20, behind nlmsghdr and the head of inet_diag_msg.
    steps = [(0x28, 0, 0, 20), *((0x15, len(ports) - index, 0, port) for index, port in enumerate(ports))]
    steps += [(0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)]
    code = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in steps))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(steps), code.buffer_info()[0]))
        sock.bind((0, 0))
        for group in (_TCP_ENDED, _TCP6_ENDED):
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        sock.close()
        return None
    return sock


def _heard(sock: socket.socket) -> bool:
    try:
        sock.recv(64)
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:  # ENOBUFS: more than it could hold
        return True
    return True


class Instances:
    """The units that are stopped."""

    def __init__(self, scope: str, pattern: str, spare: str) -> None:
        self._systemctl = ["systemctl", f"--{scope}", "--quiet"]
        self.pattern, self._spare = pattern, spare

    def is_reloading(self) -> bool:
        """Whether a reload is under way."""
        return self._call("is-active", self._spare).returncode == 0

    def halt(self) -> None:
        """No process does anything any more."""
        self._call("kill", "--signal=STOP", self.pattern)

    def go_on(self) -> None:
        """They do."""
        self._call("kill", "--signal=CONT", self.pattern)

    def stop(self) -> None:
        """Ask for it, and wait until it has begun: all have got their signal."""
        self._call("stop", "--no-block", self.pattern)
        for _ in range(100):
            if not self._call("list-units", "--state=active", "--plain", "--no-legend", self.pattern).stdout:
                return
            time.sleep(0.02)

    def _call(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*self._systemctl, *words], capture_output=True, check=False)


def stop(instances: Instances, doors: Doors, idle: float) -> bool:
    """Stop them, unless somebody comes at this very moment; whether it was done."""
    instances.halt()
    try:
        if doors.is_open():
            return False
        print(f"no connection for {idle:g} s: stopping {instances.pattern}", flush=True)
        instances.stop()
        return True
    finally:
        instances.go_on()


def main() -> None:
    """Watch until the instances could be stopped."""
    scope, pattern, spare, seconds, *addresses = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    instances, doors, idle = Instances(scope, pattern, spare), Doors(addresses), float(seconds)
    instances.go_on()  # should one of us have been killed halfway
    step = idle if doors.tells else min(LOOK, idle / 4)
    last = time.monotonic()
    while True:
        was_used = doors.wait(min(step, max(0.0, last + idle - time.monotonic())))
        is_due = time.monotonic() >= last + idle
        if was_used or ((is_due or not doors.tells) and doors.is_open()):
            last = time.monotonic()
        elif is_due:
            if not instances.is_reloading() and stop(instances, doors, idle):
                return
            last = time.monotonic()


if __name__ == "__main__":
    main()
