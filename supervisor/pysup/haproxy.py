"""The runtime API of a HAProxy that runs: what its servers do, and having them do something else.

HAProxy's Management Guide, 9.3. The socket is its owner's only; each command takes a connection of its own.
"""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import NamedTuple

from pysup.errors import JobFailed

# srv_admin_state: maintenance or drain, forced, inherited or by name; that the file once said so (0x04) does not count.
_AWAY = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40

ANSWERING = 5.0
"""How long it may take to answer, in seconds."""


class ServerState(NamedTuple):
    """A server: the address that it stands for, and whether it gets something to do (if its checks say that it can)."""

    host: str
    port: int
    serves: bool


async def servers(socket: Path, backend: str) -> dict[str, ServerState]:
    """The servers of a backend by their names."""
    rows = (await _ask(socket, f"show servers state {backend}")).splitlines()[1:]
    titles = rows[0].removeprefix("# ").split()
    found = (dict(zip(titles, row.split(), strict=False)) for row in rows[1:] if row)
    return {
        one["srv_name"]: ServerState(one["srv_addr"], int(one["srv_port"]), not int(one["srv_admin_state"]) & _AWAY)
        for one in found
    }


async def sessions(socket: Path, backend: str) -> dict[str, int]:
    """How many requests, or connections, each server is at."""
    text = await _ask(socket, "show stat")
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return {row["svname"]: int(row["scur"] or 0) for row in rows if row["pxname"] == backend}


async def change(socket: Path, backend: str, server: str, state: str) -> None:
    """Set a server's state: ``ready``; or ``maint``: nothing new for it, while what it is at goes on."""
    said = await _ask(socket, f"set server {backend}/{server} state {state}")
    if said.strip():
        raise JobFailed(f"HAProxy does not set {backend}/{server} to {state}: {said.strip()}")


async def move(socket: Path, backend: str, server: str, host: str, port: int) -> None:
    """Have a server stand for another port, on the host that it is on."""
    await _ask(socket, f"set server {backend}/{server} addr {host} port {port}")


async def _ask(socket: Path, command: str) -> str:
    async with asyncio.timeout(ANSWERING):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            writer.write(f"{command}\n".encode())
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()
            await writer.wait_closed()
