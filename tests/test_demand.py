"""Apps that the first connection starts, and that stop when nobody is connected: on a real systemd."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import apps
import hammer
import programs
from clusters import pids, server
from pysup.app import App
from pysup.events import Stopped
from pysup.listen import Listen
from pysup.sync import Manager
from pysup.unit import AppStatus

# Answers its pid; whoever asks for /slow gets it when the client has sent one byte more. It has no handler for SIGTERM,
# so it dies of it at once, whatever it is doing.
PLAIN = """
import contextlib, os, select, threading
from pysup import daemon
def answer(connection):
    connection.setblocking(True)
    with connection, contextlib.suppress(BrokenPipeError):
        if b"/slow" in connection.recv(65536):
            connection.recv(1)
        body = str(os.getpid()).encode()
        head = b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
        connection.sendall(head + body)
(sock, *_) = daemon.listen_sockets()
while True:
    select.select([sock], [], [])
    try:
        connection, _ = sock.accept()
    except BlockingIOError:
        continue
    threading.Thread(target=answer, args=[connection]).start()
"""


PAUSE = threading.Event()
"""Never set: what is tested here is that time goes by."""


def plain(address: str, name: str = "web", **fields: object) -> App:
    """An app of PLAIN."""
    command = (sys.executable, "-c", PLAIN)
    return apps.app(name, command=command, listen=(Listen(address=address),), **fields)


def states(status: AppStatus) -> list[str]:
    return [one.state for one in status.instances]


def ask(address: int | str, path: str = "/") -> str:
    """The body of an answer; raises what goes wrong."""
    with connected(address) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(4096), b"")).partition(b"\r\n\r\n")[2].decode()


def connected(address: int | str) -> socket.socket:
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), timeout=20)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(address)
    return sock


def test_the_first_connection_starts_all_instances(manager: Manager) -> None:
    """Until then nothing runs but the socket; restart, reload and scale leave it so; after stop, nothing starts it."""
    port = programs.free_port()
    app = server("one", port, on_demand=True)
    waiting = manager.start(app)
    assert states(waiting) == ["listening", "listening"]
    assert [states(manager.start(app)), states(manager.restart("web")[0])] == [states(waiting)] * 2
    assert states(manager.reload(replace(app, stop_timeout=5))[0]) == states(waiting)
    assert states(manager.scale("web", 3)) == ["listening"] * 3
    assert ask(port).startswith("one ")
    with hammer.load(port) as tally:
        tally.wait_for(100)
    assert tally.failures == []
    up = manager.start("web")[0]
    assert states(up) == ["active"] * 3
    assert states(manager.scale("web", 2)) == ["active"] * 2
    manager.stop("web")
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    assert states(manager.list()[0]) == ["inactive"] * 2
    assert states(manager.start("web")[0]) == ["listening"] * 2


def test_an_app_that_nobody_is_connected_to_is_stopped_and_comes_back(manager: Manager, tmp_path: Path) -> None:
    """By port and by path: not while a connection is open, though it is silent, nor while some come and go."""
    tmp_path.chmod(0o777)
    kept: dict[str, int | str] = {"kept": programs.free_port(), "kept-path": str(tmp_path / "kept.sock")}
    brief: dict[str, int | str] = {"brief": programs.free_port(), "brief-path": str(tmp_path / "brief.sock")}
    for name, address in {**kept, **brief}.items():
        manager.start(plain(str(address), name, idle_timeout=1.5), wait=False)
    before = {name: {int(ask(address))} for name, address in {**kept, **brief}.items()}
    slow = [connected(address) for address in kept.values()]
    for sock in slow:
        sock.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    for _ in range(6):
        for address in brief.values():
            connected(address).close()  # the client closes first: nothing of it remains in the server's tables
        PAUSE.wait(0.5)
    assert {app.name: pids(app) for app in manager.list()} == before
    with manager.watch() as events:
        for sock in slow:
            sock.sendall(b".")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
            sock.close()
        stops = (event.name for event in events if isinstance(event, Stopped))
        assert len(set(itertools.islice(stops, 4))) == 4
    assert {state for app in manager.list() for state in states(app)} == {"listening"}
    for name, address in {**kept, **brief}.items():
        assert int(ask(address)) not in before[name]
    manager.stop("all")
    assert {state for app in manager.list() for state in states(app)} == {"inactive"}


def test_no_request_is_lost_that_comes_at_the_moment_of_stopping(manager: Manager) -> None:
    """The program dies of SIGTERM at once; it is asked when it is halted, when it is gone, and in between."""
    ports = {f"web{number}": programs.free_port() for number in range(3)}
    started = [manager.start(plain(str(port), name, idle_timeout=1)) for name, port in ports.items()]
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(at_the_moment, port, status.instances[0].pid, rounds=4)
            for port, status in zip(ports.values(), started, strict=True)
        ]
        moments = Counter(moment for one in asked for moment in one.result())
    assert sum(moments.values()) == 12
    assert set(moments) & {"halted", "gone"}


def at_the_moment(port: int, pid: int, *, rounds: int) -> Iterator[str]:
    """Ask each time just when the process is stopped; say whether it was halted (SIGSTOP) or gone then."""
    moments = []
    for number in range(rounds):
        wanted = ("halted", "gone")[number % 2]
        while (moment := how_is(pid)) != wanted and moment != "gone":
            PAUSE.wait(0.0005)
        pid = int(ask(port))
        moments.append(moment)
    return iter(moments)


def how_is(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return {"T": "halted", "Z": "gone"}.get(state, "runs")
