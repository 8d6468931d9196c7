"""Runs gunicorn, uvicorn or hypercorn: python THIS uvicorn WORDS…

- READY=1 once it serves: gunicorn by itself says so before it has loaded the program.
- When it is asked to stop, it accepts no more, and for half a second still answers what it has accepted, with
  ``Connection: close``. uvicorn and hypercorn by themselves drop what they have accepted and not yet read.

pysup writes this file beside an app's units. Standard library only, but for the server that it runs.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

DRAIN_SECONDS = 0.5
CLOSE = (b"connection", b"close")
NAME = "PYSUP_SERVER"  # for the processes that the server spawns


def notify_ready() -> None:
    """Tell systemd; see sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", address.replace("@", "\0", 1) if address[0] == "@" else address)


def patch(owner: Any, **attributes: Any) -> None:
    """Give a class or a module other attributes than its own."""
    for name, value in attributes.items():
        setattr(owner, name, value)


def gunicorn() -> Any:
    """Ready when a worker has loaded the program."""
    from gunicorn import systemd
    from gunicorn.app.wsgiapp import run
    from gunicorn.workers.base import Worker

    load = Worker.load_wsgi

    def load_wsgi(self: Any) -> None:
        load(self)
        if "uvicorn.server" in sys.modules:  # it has workers of that kind
            drain_uvicorn()
        notify_ready()

    patch(Worker, load_wsgi=load_wsgi)
    patch(systemd, sd_notify=lambda *_words, **_options: None)
    return run


def uvicorn() -> Any:
    """Ready when it accepts."""
    from uvicorn.main import main
    from uvicorn.server import Server

    start = Server.startup

    async def startup(self: Any, *words: Any, **options: Any) -> None:
        await start(self, *words, **options)
        notify_ready()

    patch(Server, startup=startup)
    drain_uvicorn()
    return main


def drain_uvicorn() -> None:
    """Have the server stop in two steps."""
    import asyncio

    from uvicorn.server import Server

    stop = Server.shutdown

    async def shutdown(self: Any, *words: Any, **options: Any) -> None:
        for server in self.servers:
            server.close()
        state = self.server_state
        state.default_headers = [*state.default_headers, CLOSE]
        for _ in range(10):
            await asyncio.sleep(DRAIN_SECONDS / 10)
            if not state.connections:
                break
        await stop(self, *words, **options)

    patch(Server, shutdown=shutdown)


def hypercorn() -> Any:
    """The same; its servers are those that asyncio starts for it."""
    import asyncio

    from hypercorn.__main__ import main
    from hypercorn.asyncio import run
    from hypercorn.config import Config
    from hypercorn.utils import raise_shutdown as stop

    start, headers = asyncio.start_server, Config.response_headers
    servers = []

    async def start_server(*words: Any, **options: Any) -> Any:
        servers.append(await start(*words, **options))
        notify_ready()
        return servers[-1]

    async def raise_shutdown(asked: Any) -> None:
        await asked()
        for server in servers:
            server.close()
        patch(Config, response_headers=lambda self, to: headers(self, to) + [CLOSE] * (to == "h11"))
        await asyncio.sleep(DRAIN_SECONDS)
        await stop(asked)

    patch(asyncio, start_server=start_server)
    patch(run, raise_shutdown=raise_shutdown)
    return main


SERVERS = {"gunicorn": gunicorn, "uvicorn": uvicorn, "hypercorn": hypercorn}

if __name__ == "__main__":
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).parent)  # as if the server's own script ran
    os.environ[NAME] = Path(sys.argv[0]).name
    sys.exit(SERVERS[os.environ[NAME]]()())
elif __name__ == "__mp_main__":  # a worker process that multiprocessing has spawned
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # its parent tells it when to stop, or it takes the signal itself
    SERVERS[os.environ[NAME]]()
