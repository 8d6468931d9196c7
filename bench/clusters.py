"""Rows about instances that share a port: throughput, reloads, and how evenly connections are dealt out.

Both managers run the same Node program, pysup behind --listen, PM2 in its cluster mode.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grounds
import hammer
from bench import tools
from bench.contenders import SCRATCH, Pm2
from bench.measure import Result, interleaved, run

NAME = "web"
PORTS = {"pysup": 8080, "pm2": 8081}
SECONDS = 3
RELOADS = 10
PROGRAM = """
const http = require("http");
const server = http.createServer((request, response) => response.end(`${process.env.NODE_APP_INSTANCE}\\n`));
server.listen(process.env.PORT, () => {
  if (process.send) process.send("ready");
});
"""


class _Pysup:
    """The program behind one socket that systemd holds."""

    name = "pysup"

    def __init__(self, count: int, *options: str) -> None:
        port = str(PORTS[self.name])
        words = ("-i", str(count), "--listen", port, "-e", f"PORT={port}", "--name", NAME, *options)
        run([str(grounds.PYSUP), "start", str(_program()), *words])

    def reload(self) -> None:
        """Pysup reload."""
        run([str(grounds.PYSUP), "reload", NAME])

    def close(self) -> None:
        """Pysup delete."""
        run([str(grounds.PYSUP), "delete", NAME])


class _Pm2:
    """The program in cluster mode."""

    name = "pm2"

    def __init__(self, count: int, *options: str) -> None:
        self._manager = Pm2()
        port = PORTS[self.name]
        run(
            [
                "env",
                f"PORT={port}",
                str(tools.PM2),
                "start",
                str(_program()),
                "--name",
                NAME,
                "-i",
                str(count),
                *options,
            ]
        )

    def reload(self) -> None:
        """pm2 reload."""
        run([str(tools.PM2), "reload", NAME])

    def close(self) -> None:
        """End it, with its daemon."""
        self._manager.close()


@contextmanager
def _both(count: int, *, waits: bool = False) -> Iterator[tuple[_Pysup, _Pm2]]:
    with ExitStack() as ending:
        pysup = _Pysup(count)
        ending.callback(pysup.close)
        pm2 = _Pm2(count, *["--wait-ready"] * waits)
        ending.callback(pm2.close)
        yield pysup, pm2


def throughput(rounds: int) -> Iterator[Result]:
    """What two instances answer in a second, connections kept."""
    counts: dict[str, list[float]] = {name: [] for name in PORTS}
    with _both(2):
        for _ in range(rounds):
            for name, port in PORTS.items():
                counts[name].append(_requests_per_second(port))
    yield Result(
        row="throughput",
        what="requests a second, 2 Node instances, 64 kept connections : PM2's cluster mode",
        unit="/s",
        pysup=statistics.median(counts["pysup"]),
        other="pm2",
        theirs=statistics.median(counts["pm2"]),
        at_least=1.0,
    )


def reload(rounds: int) -> Iterator[Result]:
    """What a reload of four takes, each of which says when it is ready."""
    with _both(4, waits=True) as both:
        taken = interleaved(rounds, {one.name: one.reload for one in both})
    yield Result(
        row="reload",
        what="reload of 4 instances that say when they are ready : pm2 reload",
        unit="ms",
        pysup=taken["pysup"],
        other="pm2",
        theirs=taken["pm2"],
        at_most=0.5,
    )


def reloads(rounds: int) -> Iterator[Result]:
    """What clients notice of ten reloads in a row."""
    del rounds  # ten are enough
    with _both(2) as (pysup, pm2):
        for clients, kept in ((16, False), (16, True), (256, False), (256, True)):
            ours, theirs = _reloaded(pysup, clients, kept), _reloaded(pm2, clients, kept)
            what = f"{RELOADS} reloads, 2 instances, {clients} {'kept' if kept else 'new'} connections: "
            yield Result(row="reloads", what=what + "requests", unit="", pysup=ours.requests)
            yield Result(row="reloads", what=what + "failed", unit="", pysup=len(ours.failures), at_most=0)
            yield Result(row="reloads", what=what + "slowest", unit="s", pysup=ours.slowest, at_most=1)
            yield Result(row="reloads", what=what + "PM2's requests", unit="", pysup=theirs.requests)
            yield Result(row="reloads", what=what + "PM2's failed", unit="", pysup=len(theirs.failures))
            yield Result(row="reloads", what=what + "PM2's slowest", unit="s", pysup=theirs.slowest)


def spread(rounds: int) -> Iterator[Result]:
    """How evenly two sockets on one port are dealt their connections."""
    del rounds
    pysup = _Pysup(2, "--spread")
    try:
        with hammer.load(PORTS["pysup"], clients=16) as tally:
            tally.wait_for(5000)
    finally:
        pysup.close()
    few, many = sorted(tally.answers.values())
    what = "--spread: connections of the instance with fewer : of the one with more"
    yield Result(row="spread", what=what, unit="", pysup=few, other="pysup", theirs=many, at_least=0.8)


def _reloaded(one: _Pysup | _Pm2, clients: int, kept: bool) -> hammer.Tally:
    with hammer.load(PORTS[one.name], clients=clients, keep_alive=kept) as tally:
        for _ in range(RELOADS):
            tally.wait_for(clients)
            one.reload()
        tally.wait_for(clients)
    return tally


def _requests_per_second(port: int) -> float:
    said = run(["wrk", "-t1", "-c64", f"-d{SECONDS}", f"http://127.0.0.1:{port}/"])
    found = re.search(r"Requests/sec: +([\d.]+)", said)
    if not found or "Socket errors" in said:
        raise SystemExit(f"bench: wrk had difficulties:\n{said}")
    return float(found[1])


def _program() -> Path:
    path = SCRATCH / "web.js"
    path.parent.mkdir(exist_ok=True)
    path.write_text(PROGRAM)
    return path
