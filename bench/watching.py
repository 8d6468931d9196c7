"""Rows about watching: from an exit to its event, a storm of ends against systemd's counters, idling, a scrape."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grounds
from bench.contenders import SCRATCH
from bench.measure import Result, interleaved, run
from pysup import local
from pysup.app import App, Restart
from pysup.events import Event, Exited, Lost, Restarting
from pysup.manager import Manager
from pysup.metrics import exposition, sampling
from pysup.names import InstanceName
from pysup.unit import Scope

INSTANCES = 100
LIVES = 5  # how often each ends
IDLE, IDLE_SECONDS = 1000, 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def events(rounds: int) -> Iterator[Result]:
    """100 instances that end again and again: none lost, none doubled, in order, and soon."""
    del rounds
    told, counted, gaps, lag, exited = asyncio.run(_storm())
    what = f"restarts told : NRestarts, {INSTANCES} instances"
    yield Result(row="events", what=what, unit="", pysup=told, other="systemd", theirs=counted, at_most=1, at_least=1)
    exits = f"exits told : NRestarts, {INSTANCES} instances"
    yield Result(
        row="events", what=exits, unit="", pysup=exited, other="systemd", theirs=counted, at_most=1, at_least=1
    )
    yield Result(row="events", what="gaps told meanwhile", unit="", pysup=gaps, at_most=0)
    yield Result(row="events", what="exit to event, median", unit="ms", pysup=1000 * lag, at_most=50)


async def _storm() -> tuple[int, int, int, float, int]:
    SCRATCH.mkdir(exist_ok=True)
    # Each counts its own lives, and stays when it has had enough of them.
    count = f'f={SCRATCH}/lives-$PYSUP_INSTANCE; echo >>$f; [ "$(wc -l <$f)" -gt {LIVES} ] && exec sleep infinity'
    pause = "sleep 0.$((RANDOM % 5 + 5))"
    app = App(
        name="storm",
        command=("/bin/bash", "-c", f"{count}; {pause}; exit 1"),
        instances=INSTANCES,
        restart=Restart.ALWAYS,
        restart_limit=0,
    )
    seen: list[tuple[float, Event]] = []
    async with Manager() as manager, manager.watch() as stream:
        await manager.start(app, wait=False)
        ends: Counter[InstanceName] = Counter()
        while len(ends) < INSTANCES or min(ends.values()) < LIVES:
            event = await anext(stream)
            seen.append((time.time(), event))
            ends.update([event.name] if isinstance(event, Restarting) else [])
        counted = {one.name: one.restarts for one in (await manager.get("storm")).instances}
        await manager.delete("storm")
    told: dict[InstanceName, list[int]] = {}
    for _, event in seen:
        if isinstance(event, Restarting):
            told.setdefault(event.name, []).append(event.number)
    wrong = [name for name, numbers in told.items() if numbers != list(range(1, counted[name] + 1))]
    if wrong:
        print("bench: restarts out of order, lost or doubled:", *wrong, flush=True)
    lags = [at - event.at for at, event in seen if isinstance(event, Exited)]
    gaps = sum(isinstance(event, Lost) for _, event in seen)
    restarts = sum(map(len, told.values()))
    return restarts, sum(counted.values()), gaps, statistics.median(lags), len(lags)


def idling(rounds: int) -> Iterator[Result]:
    """What ``pysup events`` costs while 1,000 instances run and nothing happens."""
    del rounds
    asyncio.run(_start_idle())
    process = subprocess.Popen([str(grounds.PYSUP), "events", "--json"], stdout=subprocess.DEVNULL)
    try:
        _settle(process.pid)
        before = _cpu(process.pid)
        time.sleep(IDLE_SECONDS)
        share = 100 * (_cpu(process.pid) - before) / IDLE_SECONDS
        memory = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    finally:
        process.kill()
        process.wait()
        asyncio.run(_end_idle())
    what = f"pysup events, {IDLE:,} idle instances"
    yield Result(row="idling", what=f"CPU of {what}", unit="%", pysup=share, at_most=1)
    yield Result(row="idling", what=f"memory of {what}", unit="MB", pysup=memory, at_most=60)


def scraping(rounds: int) -> Iterator[Result]:
    """What a look at 1,000 instances for Prometheus costs: as a command, and in a server that has been started."""
    asyncio.run(_start_idle())
    store = local.store(Scope.SYSTEM)

    def look() -> None:
        exposition.write(sampling.take(store, Scope.SYSTEM), exposition.Format.OPENMETRICS, version="")

    try:
        taken = interleaved(3 * rounds, {"command": lambda: run([str(grounds.PYSUP), "metrics"]), "server": look})
    finally:
        asyncio.run(_end_idle())
    for name, what in (("command", "pysup metrics"), ("server", "one scrape")):
        yield Result(row="scrape", what=f"{what}, {IDLE:,} instances", unit="ms", pysup=taken[name], at_most=500)


async def _start_idle() -> None:
    async with Manager() as manager:
        app = App(name="idle", command=("/usr/bin/sleep", "infinity"), instances=IDLE)
        await manager.start(app, timeout=300)


async def _end_idle() -> None:
    async with Manager() as manager:
        await manager.delete("idle", timeout=300)


def _settle(pid: int) -> None:
    """Wait until it has taken in what there is: three seconds that cost next to nothing."""
    time.sleep(5)
    while True:
        before = _cpu(pid)
        time.sleep(3)
        if _cpu(pid) - before < 0.15:
            return


def _cpu(pid: int) -> float:
    """CPU seconds, of user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
