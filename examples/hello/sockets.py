"""A Python server whose socket systemd holds: pysup start examples/hello/sockets.py -i 2 --listen http=8000

Any server can be had this way that takes a socket which listens already; here it is the standard library's.
"""

from __future__ import annotations

import http.server
import os
import socketserver
import threading

from pysup import daemon


class Hello(http.server.BaseHTTPRequestHandler):
    """Says hello."""

    protocol_version = "HTTP/1.1"
    timeout = 1  # of silence, after which a connection is ended: it bounds how long a stop takes

    def do_GET(self) -> None:
        """Answer; when this process is stopping, on a connection that ends with the answer."""
        body = f"Hello from pid {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are no news."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread a connection; closing waits for them."""


stopping = threading.Event()
server = Server(("127.0.0.1", 8000), Hello, bind_and_activate=False)
if given := daemon.listen_sockets("http"):
    server.socket.close()
    server.socket = given[0]
    server.socket.setblocking(False)  # serve_forever() waits, and then another instance may be faster
else:  # without pysup
    server.server_bind()
    server.server_activate()

daemon.on_stop(stopping.set)
threading.Thread(target=server.serve_forever).start()
daemon.notify_ready()
daemon.notify_status("serving")

interval = daemon.watchdog()
while not stopping.wait(interval and interval / 2):
    daemon.notify_watchdog()
server.shutdown()
server.server_close()
