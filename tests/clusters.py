"""Apps whose instances share a socket, for tests of what systemd holds for them."""

from __future__ import annotations

import sys

import apps
from pysup.app import App
from pysup.health import Ready, ReadyWhen
from pysup.listen import Listen
from pysup.unit import AppStatus

# Answers with its VERSION (what a file holds, or its first argument) from the sockets that it inherits, also that on
# which it alone is asked; version 500 with that status. They do not block, and siblings take from them, too: who is
# woken may find nothing there. SIGTERM lets it finish what is begun.
SHARED = """
import os, select, signal, socket, sys
from pysup import daemon
version = open(sys.argv[1]).read() if os.path.exists(sys.argv[1]) else sys.argv[1]
if version == "crash":
    sys.exit("version crash cannot start")
socks = [socket.socket(fileno=sock.detach()) for sock in daemon.listen_sockets()]  # whose accept() does not wait
for sock in socks:
    sock.setblocking(False)
status = "500 Sorry" if version == "500" else "200 OK"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if version != "mute":
    daemon.notify_ready()
if version == "deaf":
    signal.pause()
while True:
    ready = select.select(socks, [], [], 0.5)[0]  # a signal may come just before it
    if not ready:
        continue
    (sock, *_) = ready
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        connection, _ = sock.accept()
        connection.setblocking(True)
        connection.recv(65536)
        body = f"{version} {os.getpid()}".encode()
        head = f"HTTP/1.1 {status}\\r\\nConnection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
        connection.sendall(head.encode() + body)
        connection.close()
    except (BlockingIOError, BrokenPipeError):
        pass
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
"""

NOTIFY = Ready(when=ReadyWhen.NOTIFY, timeout=5)


def server(version: str, port: int, **fields: object) -> App:
    """Two instances of a server on a shared socket."""
    usual = {"instances": 2, "listen": (Listen(address=f"127.0.0.1:{port}", name="http"),), "ready": NOTIFY}
    return apps.app(command=(sys.executable, "-c", SHARED, version), **usual | fields)


def pids(status: AppStatus) -> set[int]:
    """The main processes of an app."""
    return {one.pid for one in status.instances}
