"""A program that knows nothing but its PORT, and ends at once when it is told to: for tests of balancers.

``python port_program.py VERSION`` (or a file that holds it) answers each request ``VERSION INSTANCE PID``, and sends
back what follows a request to upgrade. Version ``crash`` does not start; ``mute`` never listens.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path


async def main(version: str) -> None:
    """Serve for ever."""
    if version == "mute":
        await asyncio.Event().wait()
    body = f"{version} {os.environ['PYSUP_INSTANCE']} {os.getpid()}".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"upgrade: echo" in head:
                    writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                    while said := await reader.read(1024):
                        writer.write(said)
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    backlog = int(os.environ.get("BACKLOG", "1024"))
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=backlog)
    await server.serve_forever()


if __name__ == "__main__":
    given = Path(sys.argv[1])
    said = given.read_text() if given.exists() else sys.argv[1]
    if said == "crash":
        sys.exit("version crash cannot start")
    asyncio.run(main(said))
