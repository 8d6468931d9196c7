"""Programs that are given listening sockets as systemd gives them, without a systemd, and both ends of their talk."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

PATIENCE = 20.0

# systemd puts the descriptors from 3 on, and the process that it names is the one that executes the program.
_AS_SYSTEMD = 'export LISTEN_PID=$$; eval "exec \\"\\$@\\" $MOVES"'


def listening(address: int | str = 0, host: str = "127.0.0.1") -> socket.socket:
    """A socket that listens on a port (0: a free one), or a path."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(address)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, address))
    sock.listen(128)
    sock.settimeout(PATIENCE)
    return sock


def port_of(sock: socket.socket) -> int:
    """The port that it listens on."""
    port: int = sock.getsockname()[1]
    return port


def address_of(sock: socket.socket) -> str:
    """As PYSUP_LISTEN writes it."""
    match sock.getsockname():
        case str(path):
            return path
        case (host, port, *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case other:
            raise ValueError(other)


class Activated:
    """A command with sockets by name; a context manager that kills it in the end.

    Its environment is PATH, what systemd and pysup say about the sockets, and *env*.
    """

    def __init__(self, *command: str | Path, sockets: Mapping[str, socket.socket] | None = None, **env: str) -> None:
        sockets = sockets or {}
        copies = [fcntl.fcntl(sock, fcntl.F_DUPFD, 50) for sock in sockets.values()]
        moves = " ".join(f"{number}<&{fd} {fd}<&-" for number, fd in enumerate(copies, 3))
        words = ["bash", "-c", _AS_SYSTEMD, "bash"] if sockets else []
        self.process = subprocess.Popen(
            [*words, *map(str, command)],
            env={"PATH": os.environ["PATH"], "MOVES": moves} | _words_about(sockets) | env,
            pass_fds=copies,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for fd in copies:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def line(self) -> str:
        """The next line that it writes, '' at its end."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def rest(self) -> str:
        """All that it writes until it ends."""
        return self.process.communicate(timeout=PATIENCE)[0].strip()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to stop."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(PATIENCE)


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory / "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def next(self, timeout: float = PATIENCE) -> str | None:
        """What it is told, but for BARRIER=1, which systemd answers by closing the descriptor that comes with it."""
        deadline = time.monotonic() + timeout
        while select.select([self._sock], [], [], max(0, deadline - time.monotonic()))[0]:
            said, control, _, _ = self._sock.recvmsg(4096, 4096)
            for _level, _kind, data in control:
                for fd in array.array("i", data):
                    os.close(fd)
            if said != b"BARRIER=1":
                return said.decode()
        return None


class Client:
    """A plain connection, to say exactly what is sent when."""

    def __init__(self, address: int | str) -> None:
        """A port, or the path of a unix socket."""
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(address if isinstance(address, str) else ("127.0.0.1", address))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, path: str = "/") -> Self:
        """Send a request that keeps the connection."""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return self

    def answer(self) -> tuple[str, str]:
        """(the Connection header, the body)."""
        said = b""
        while not (found := re.fullmatch(rb"(.*?)\r\n\r\n(.+\n)\Z", said, re.DOTALL)):
            piece = self.sock.recv(65536)
            assert piece, f"ended after {said!r}"
            said += piece
        connection = re.search(rb"(?im)^connection: (\S+)", found[1])
        assert connection
        return connection[1].decode(), found[2].decode().strip()

    def is_ended(self) -> bool:
        """Wait until the other side has ended it; what else it sends is wrong."""
        with contextlib.suppress(ConnectionResetError):
            return not self.sock.recv(65536)
        return True


def _words_about(sockets: Mapping[str, socket.socket]) -> dict[str, str]:
    if not sockets:
        return {}
    ports = [port_of(sock) for sock in sockets.values() if sock.family != socket.AF_UNIX]
    return {
        "LISTEN_FDS": str(len(sockets)),
        "LISTEN_FDNAMES": ":".join(sockets),
        "PYSUP_LISTEN": " ".join(f"{name}={address_of(sock)}" for name, sock in sockets.items()),
        **({"PORT": str(ports[0])} if ports else {}),
    }
