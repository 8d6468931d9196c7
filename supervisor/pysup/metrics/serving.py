"""Metrics over HTTP, on a socket that systemd holds: run by pysup-metrics.service, ends when nobody asks any more.

``/metrics`` is one sample of all apps, in the format that the client asks for. Where systemd cannot be asked, the
answer is 503 with the reason, and the next request tries anew.
"""

from __future__ import annotations

import select
import socket
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from pysup import local
from pysup.errors import PysupError
from pysup.metrics import exposition, sampling
from pysup.metrics.exposition import Format
from pysup.unit import Scope

IDLE = 300.0  # seconds; Prometheus asks oftener than that, or the start counts for nothing
_FIRST = 3  # SD_LISTEN_FDS_START
_PATIENCE = 10.0  # seconds that a client may take


def serve(scope: Scope, *, version: str, idle: float = IDLE) -> None:
    """Answer until nobody has asked for *idle* seconds; what comes then waits in the socket, and starts this again."""
    with _Server(_FIRST, scope, version) as server:
        while select.select([server.socket], [], [], idle)[0]:
            server.handle_request()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each client, one sample at a time; ends when all have been answered."""

    block_on_close = True

    def __init__(self, descriptor: int, scope: Scope, version: str) -> None:
        socketserver.BaseServer.__init__(self, ("", 0), _Handler)
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(False)
        self._scope = scope
        self._version = version
        self._one_at_a_time = threading.Lock()

    def get_request(self) -> tuple[socket.socket, str]:
        """A client; of a unix socket it has no address."""
        client, _ = self.socket.accept()
        client.settimeout(_PATIENCE)
        return client, ""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that has gone."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def sample(self, form: Format) -> str:
        """One sample as text."""
        with self._one_at_a_time:
            snapshot = sampling.take(local.store(self._scope), self._scope)
        return exposition.write(snapshot, form, version=self._version)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer(HTTPStatus.OK, "Metrics of pysup's apps are at /metrics.\n")
        elif path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "There is /metrics.\n")
        else:
            self._metrics()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _metrics(self) -> None:
        form = Format.OPENMETRICS if "application/openmetrics-text" in self.headers.get("Accept", "") else Format.TEXT
        try:
            text = self.server.sample(form)
        except (PysupError, OSError) as exc:
            print(exc, file=sys.stderr, flush=True)
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{exc}\n")
        else:
            self._answer(HTTPStatus.OK, text, form)

    def _answer(self, status: HTTPStatus, text: str, form: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of requests."""
