"""Small programs for tests to run as apps."""

from __future__ import annotations

import contextlib
import random
import socket
import sys

PYTHON = (sys.executable, "-I", "-c")

# Answers every request with STATUS (first argument) on PORT, from DELAY (second) seconds after its start.
SERVER = """
import http.server, os, sys, threading
status, delay = int(sys.argv[1]), float(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(status); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
threading.Event().wait(delay)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

# Tells systemd that it is ready when it is told to (the file in its first argument exists).
NOTIFIER = """
import os, socket, sys, threading
address = os.environ["NOTIFY_SOCKET"].replace("@", "\\0")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.connect(address)
    sock.send(b"STATUS=warming up")
    if len(sys.argv) < 2:
        sock.send(b"READY=1")
threading.Event().wait()
"""


def server(status: int = 200, delay: float = 0) -> tuple[str, ...]:
    """The command of a web server on PORT."""
    return (*PYTHON, SERVER, str(status), str(delay))


def notifier(*arguments: str) -> tuple[str, ...]:
    """The command of a program that speaks sd_notify; with an argument it never says that it is ready."""
    return (*PYTHON, NOTIFIER, *arguments)


def shell(script: str) -> tuple[str, ...]:
    """The command of a shell script."""
    return ("/bin/sh", "-c", script)


def free_port() -> int:
    """A port that nothing listens on, below those that the kernel gives to clients: tests beside this one have many."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
