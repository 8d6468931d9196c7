"""Isolation on a systemd of today with control groups v2: levels with all that pysup has in a unit, filters, SIGSYS."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import apps
import programs
from pysup.events import Exited, Started
from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
from pysup.isolate import Isolation, Level
from pysup.journal import Kind
from pysup.listen import Listen
from pysup.sync import Manager
from pysup.unit import Scope

pytestmark = pytest.mark.vm

Command = Callable[..., subprocess.CompletedProcess[str]]

LEVELS = [Level.BASIC, Level.STRICT, Level.PARANOID]

# Serves on the sockets that it is given, that of pysup's questions among them, and says what it may write and see. It
# imports nothing but C: here that would be most of the test's time.
PYTHON = (sys.executable, "-I", "-S", "-c")
SERVER = """
import _socket, os, select
servers = {fd: _socket.socket(fileno=fd) for fd in range(3, 3 + int(os.environ["LISTEN_FDS"]))}
poll = select.poll()
for fd in servers:
    poll.register(fd, select.POLLIN)
def may(path):
    try:
        os.close(os.open(path + "/written", os.O_WRONLY | os.O_CREAT))
        return 1
    except OSError:
        return 0
while True:
    for fd, _ in poll.poll():
        connection, _ = servers[fd]._accept()
        os.read(connection, 65536)
        sees = int(os.path.exists(os.environ["OTHER"]))
        body = "[%d, %d, %d, %d]" % (os.getpid(), may("/tmp"), may("/etc"), sees)
        head = "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
        os.write(connection, (head + body).encode())
        os.close(connection)
"""

# Gives up what is its own anyway, then listens.
CHOWNS = """
import _socket, os
os.chown(".", -1, -1)
server = _socket.socket()
server.bind(("127.0.0.1", int(os.environ["PORT"])))
server.listen()
while True:
    os.close(server._accept()[0])
"""

# Sends a datagram to each address of its argument, and tells how that went.
SENDER = """
import errno, socket, sys, threading
for host in sys.argv[1].split():
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(b"x", (host, 9))
            print(host, "sent", flush=True)
        except OSError as exc:
            print(host, errno.errorcode[exc.errno], flush=True)
threading.Event().wait()
"""


@pytest.fixture
def manager(scope: Scope) -> Iterator[Manager]:
    """A manager of each scope; what a test started in it is deleted after."""
    with Manager(scope) as made:
        yield made
        made.delete("all")


def get(port: int) -> list[int]:
    """What the server says: its PID, and whether it may write to /tmp, to /etc, and sees a home."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/")
        found: list[int] = json.loads(connection.getresponse().read())
        return found


def sent(manager: Manager, name: str, hosts: Sequence[str], network: Sequence[str]) -> dict[str, str]:
    """What became of datagrams to addresses, by an app that may reach a network."""
    command = (*programs.PYTHON, SENDER, " ".join(hosts))
    manager.start(apps.app(name, command=command, isolate=Isolation(network=tuple(network))), wait=False)
    lines = (entry.message.split() for entry in manager.logs(name, follow=True) if entry.kind is Kind.OUT)
    return {host: result for _, (host, result) in zip(hosts, lines, strict=False)}


def test_each_level_serves_with_probe_watchdog_and_brake(manager: Manager) -> None:
    """Through a socket of systemd's; what is killed comes back, and the level holds."""
    private = Path.home() / "private"
    private.touch()
    for level in LEVELS:
        port = programs.free_port()
        url = f"http://127.0.0.1:{port}/"
        app = apps.app(
            f"web-{level}",
            command=(*PYTHON, SERVER),
            cwd="/",
            env={"OTHER": str(private)},
            isolate=Isolation(level=level),
            listen=(Listen(address=f"127.0.0.1:{port}"),),
            ready=Ready(when=ReadyWhen.HTTP, url=url, timeout=60),
            watchdog=Watchdog(when=WatchdogWhen.HTTP, url=url, interval=10, timeout=30),
            restart_delay=0.1,
        )
        manager.start(app)
        pid, *found = get(port)
        assert found == [1, 0, int(level is Level.BASIC)]
    with manager.watch("web-paranoid") as events:
        os.kill(pid, signal.SIGKILL)
        next(event for event in events if isinstance(event, Exited))
        next(event for event in events if isinstance(event, Started))
    assert get(port)[0] != pid
    assert not Path("/tmp/written").exists()
    private.unlink()


@pytest.mark.systemd
def test_a_network_is_a_filter_of_addresses() -> None:
    """What is not in it is not reached, and does not reach the app; loopback is all of it."""
    hosts = ("127.0.0.1", "127.0.0.2", "::1")
    with Manager(Scope.SYSTEM) as manager:
        try:
            assert sent(manager, "one", hosts, ("127.0.0.1",)) == {
                "127.0.0.1": "sent",
                "127.0.0.2": "EPERM",
                "::1": "EPERM",
            }
            assert sent(manager, "local", hosts, ("loopback",)) == dict.fromkeys(hosts, "sent")
            assert set(sent(manager, "none", hosts, ("10.0.0.0/8",)).values()) == {"EPERM"}
        finally:
            manager.delete("all")


@pytest.mark.systemd
def test_who_is_not_in_its_network_does_not_reach_an_app() -> None:
    """By a socket of its own, which others of this machine do reach."""
    port = programs.free_port()
    server = f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    isolation = Isolation(network=("127.0.0.1",))
    ready = Ready(when=ReadyWhen.TCP, port=port, timeout=60)
    with Manager(Scope.SYSTEM) as manager:
        try:
            manager.start(apps.app(command=(*programs.PYTHON, server), isolate=isolation, ready=ready))
            socket.create_connection(("127.0.0.1", port), 30).close()
            with pytest.raises(TimeoutError):
                socket.create_connection(("127.0.0.1", port), 1, source_address=("127.0.0.2", 0))
        finally:
            manager.delete("all")


def test_a_trial_names_the_system_call_that_ended_it(manager: Manager, pysup: Command) -> None:
    """By the kernel's own words, which root may read; an ordinary user is told the signal."""
    ready = Ready(when=ReadyWhen.TCP, timeout=60)
    app = apps.app(command=(*PYTHON, CHOWNS), port=programs.free_port(), ready=ready)
    manager.start(app)
    words = ("isolate", "web", "--try", "paranoid", "--service", "SystemCallErrorNumber=", "--for", "100ms")
    tried = pysup(*words, check=False)
    assert tried.returncode == 1
    told = "the system call chown ended it" if manager.scope is Scope.SYSTEM else "ended it (SIGSYS)"
    assert told in tried.stdout
    assert manager.get("web").instances[0].is_up
