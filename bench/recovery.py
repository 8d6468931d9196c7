"""Rows about what happens by itself: coming back after a kill, what watching costs, and a storm of crashes."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.commands import COUNT, everybody
from bench.contenders import SCRATCH, Contender, Pm2, Program, Pysup, Supervisor
from bench.measure import Result, medians
from pysup.app import App, Restart
from pysup.events import Event, Lost, Restarting
from pysup.manager import Manager
from pysup.stream import Stream

STORM_APPS = 20
STORM_SECONDS = 10.0
KILLS = 10  # more within a minute and the managers' own limits give the program up


def back(rounds: int) -> Iterator[Result]:
    """From kill -9 to running again, as the program itself tells it."""
    taken: dict[str, list[float]] = {}
    with ExitStack() as ending:
        living = [_Living(one, ending) for one in (Pysup(), Pm2(), Supervisor())]
        for _ in range(min(KILLS, 3 * rounds)):
            for one in living:
                taken.setdefault(one.name, []).append(1000 * one.kill())
    found = medians(taken)
    yield Result(row="back", what="kill -9 to running again, median", unit="ms", pysup=found["pysup"], at_most=150)
    for other in ("pm2", "supervisord"):
        yield Result(
            row="back",
            what=f"kill -9 to running again : {other}",
            unit="ms",
            pysup=found["pysup"],
            other=other,
            theirs=found[other],
        )


class _Living:
    """One program under a contender; it says its PID into a pipe whenever it starts."""

    def __init__(self, manager: Contender, ending: ExitStack) -> None:
        self.name = manager.name
        folder = SCRATCH / f"back-{self.name}"
        folder.mkdir(parents=True)
        pipe, script = folder / "pipe", folder / "program"
        os.mkfifo(pipe)
        script.write_text(f"#!/bin/sh\necho $$ > {pipe}\nexec sleep infinity\n")
        script.chmod(0o755)
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        ending.callback(manager.close)
        back = Program(name="back", command=(str(script),))
        manager.define(back)
        manager.start(back)
        ending.callback(manager.forget, back)
        ending.callback(manager.stop, back)
        self._pid = self._read()

    def kill(self) -> float:
        """Kill it; the seconds until it runs again."""
        time.sleep(random.uniform(0, 0.3))  # noqa: S311 - managers' timers have a beat: do not fall in step with it
        began = time.perf_counter()
        os.kill(self._pid, signal.SIGKILL)
        self._pid = self._read()
        return time.perf_counter() - began

    def _read(self) -> int:
        if not select.select([self._pipe], [], [], 30)[0]:
            raise SystemExit(f"bench: {self.name} did not start its program within 30 s")
        return int(os.read(self._pipe, 100).split()[-1])


def memory(rounds: int) -> Iterator[Result]:
    """What the managers' own processes hold while 50 apps run; PID 1 is there anyway."""
    del rounds  # one look is enough
    with ExitStack() as ending:
        held = {one.name: _megabytes(one.daemons()) for one in everybody(ending)}
    yield Result(row="memory", what=f"held by pysup, {COUNT} apps", unit="MB", pysup=held["pysup"], at_most=0)
    for other in ("pm2", "supervisord", "circus"):
        yield Result(
            row="memory",
            what=f"held by {other}, {COUNT} apps",
            unit="MB",
            pysup=held["pysup"],
            other=other,
            theirs=held[other],
        )


def _megabytes(pids: Sequence[int]) -> float:
    resident = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return sum(resident) * os.sysconf("SC_PAGE_SIZE") / 2**20


def storm(rounds: int) -> Iterator[Result]:
    """Whether ``watch()`` reports every restart that systemd counts while 20 apps crash as fast as they can."""
    del rounds  # it lasts ten seconds as it is
    seen, counted, gaps = asyncio.run(_storm())
    yield Result(
        row="storm",
        what=f"restarts seen by watch() : NRestarts, {STORM_APPS} apps, {STORM_SECONDS:.0f} s",
        unit="",
        pysup=seen,
        other="systemd",
        theirs=counted,
        at_most=1,
        at_least=1,
    )
    yield Result(row="storm", what="gaps told by watch() meanwhile", unit="", pysup=gaps)


async def _storm() -> tuple[int, int, int]:
    SCRATCH.mkdir(exist_ok=True)
    calm = SCRATCH / "calm"
    calm.unlink(missing_ok=True)
    apps = [_crashing(number, calm) for number in range(STORM_APPS)]
    events: list[Event] = []
    async with Manager() as manager, manager.watch() as stream:
        reading = asyncio.create_task(_collect(stream, events), name="read events")
        for app in apps:
            await manager.start(app, wait=False)
        await asyncio.sleep(STORM_SECONDS)
        calm.touch()
        await _quiet(events)
        statuses = [await manager.get(app.name) for app in apps]
        reading.cancel()
        await manager.delete([app.name for app in apps])
    counted = {one.name: one.restarts for status in statuses for one in status.instances}
    seen = Counter(event.name for event in events if isinstance(event, Restarting))
    different = [f"{name}: {seen[name]} of {counted[name]}" for name in counted if seen[name] != counted[name]]
    if different:
        print("bench: restarts seen and counted differ:", ", ".join(different), flush=True)
    return sum(seen.values()), sum(counted.values()), sum(isinstance(event, Lost) for event in events)


def _crashing(number: int, calm: Path) -> App:
    command = ("/bin/sh", "-c", f"[ ! -e {calm} ] && exit 1; exec sleep infinity")
    return App(name=f"storm{number}", command=command, restart=Restart.ALWAYS, restart_delay=0, restart_limit=0)


async def _collect(stream: Stream, events: list[Event]) -> None:
    async for event in stream:
        events.append(event)  # noqa: PERF401 - a comprehension would show none before the end


async def _quiet(events: list[Event]) -> None:
    """Wait until a second has brought no event."""
    while True:
        before = len(events)
        await asyncio.sleep(1)
        if len(events) == before:
            return
