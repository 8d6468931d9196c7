"""A dashboard of apps that stand still, for pictures and tests of keys."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence

import apps
from pysup.errors import StartFailed
from pysup.host import cpus
from pysup.journal import Kind
from pysup.names import InstanceName
from pysup.tui.app import Monit
from pysup.tui.feed import Look
from pysup.tui.follow import News
from pysup.tui.history import History
from pysup.tui.loglines import LogLine, safe
from pysup.tui.machine import Detail
from pysup.tui.verbs import Verb
from pysup.unit import ActiveState, AppStatus, Exit, Instance, Scope, Usage

NOW = 1_790_000_000.0
MB = 1 << 20
SLOW = "(?:.?){1000}~"
"""A pattern that takes a tenth of a second for a line of ten thousand characters."""


def instance(name: str, number: int = 0, *, at: int = 0, **more: object) -> Instance:
    """One that runs, after its *at*-th measurement."""
    seed = sum(map(ord, name)) + 7 * number
    used = sum(20 + 18 * math.sin((tick + seed) / 5) + (seed * tick) % 7 for tick in range(at + 1)) / 50
    values: dict[str, object] = {
        "active_state": ActiveState.ACTIVE,
        "sub_state": "running",
        "pid": 4000 + seed,
        "since": NOW - 3600 * (1 + seed % 90),
        "usage": Usage(memory=(40 + seed % 60 + at // 9) * MB, cpu_seconds=used, tasks=4),
    }
    return Instance(name=InstanceName(name, number), scope=Scope.SYSTEM, **{**values, **more})  # type: ignore[arg-type]


def app(name: str, *instances: Instance) -> AppStatus:
    """An app of these instances."""
    return AppStatus(name=name, scope=Scope.SYSTEM, spec=apps.app(name), instances=instances)


def some(at: int = 0) -> list[AppStatus]:
    """Apps of all kinds, after so many measurements."""
    down = {"active_state": ActiveState.INACTIVE, "sub_state": "dead", "pid": 0, "since": NOW - 99, "usage": Usage()}
    failed = {
        **down,
        "active_state": ActiveState.FAILED,
        "result": "exit-code",
        "restarts": 16,
        "last_exit": Exit(code=3),
    }
    again = {**down, "active_state": ActiveState.ACTIVATING, "sub_state": "auto-restart", "restarts": 4}
    return [
        app("api", *(instance("api", number, at=at) for number in range(4))),
        app("billing-reconciliation-worker", instance("billing-reconciliation-worker", at=at)),
        app("cron", instance("cron", waits=True, **down)),  # type: ignore[arg-type]
        app("docs", instance("docs", **down)),  # type: ignore[arg-type]
        app("mailer", instance("mailer", 0, at=at), instance("mailer", 1, **again)),  # type: ignore[arg-type]
        app("search", *(instance("search", number, at=at) for number in range(24))),
        app("thumbs", instance("thumbs", **failed)),  # type: ignore[arg-type]
        app("web", *(instance("web", number, at=at, restarts=number // 2) for number in range(3))),
    ]


WORDS = (
    "GET /orders?page=2 200 14 ms",
    "worker 3 took job 88123 from queue mail",
    "POST /login 302 31 ms user=ada",
    "cache miss for product:5512, asking the database; it took 212 ms, which is more than the 100 ms that are allowed",
    "\x1b[31mred\x1b[0m alert \x07 in the program's own colours",
    "GET /health 200 1 ms",
    "naïve café ☕ 日本語 の ログ 🚀 wide characters stand where they should",
)


def log(name: str, number: int | None) -> list[LogLine]:
    """What an app wrote."""
    found = []
    for index in range(60):
        kind = Kind.ERR if index % 13 == 5 else Kind.OUT
        text = "Error: connection refused by 10.0.0.5:5432" if kind is Kind.ERR else WORDS[index % len(WORDS)]
        found.append(LogLine(name, index % 4 if number is None else number, kind, safe(text), NOW - 60 + index))
    systemd = LogLine(name, number or 0, Kind.SYSTEMD, "Scheduled restart job, restart counter is at 1.", NOW - 8)
    return [*found[:52], systemd, *found[52:]]


DETAILS = [
    Detail("web@0", "active"),
    Detail("unit", "pysup-web@0.service"),
    Detail("pid", "4337, and 3 more"),
    Detail("user", "www-data"),
    Detail("port", "3000"),
    Detail("restarts", "1"),
    Detail("last exit", "exit code 1, 2026-09-21 11:02:03 (2h ago)"),
    Detail("memory", "57.0M of 300M (19 %)"),
    Detail("cpu", "18.2 s, 0.4 % on average"),
    Detail("tasks", "4 of 4915"),
    Detail("command", "/usr/bin/node /srv/web/server.js --workers 4 --configuration /etc/web/production.json"),
    Detail("directory", "/srv/web"),
    Detail("restart", "always, after 0 s; systemd gives up after 16 starts in 60 s"),
    Detail("stop", "SIGTERM to its main process, SIGKILL after 10 s"),
]


class Still:
    """A world in which nothing happens; what is asked of it is noted in ``done``."""

    def __init__(self, found: Sequence[AppStatus] | None = None, *, gap: str = "", fails: bool = False) -> None:
        self.found, self.gap, self.fails = found, gap, fails
        self.done: list[tuple[str, str]] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def looks(self) -> AsyncGenerator[Look, None]:
        """One look, and no more."""
        yield Look(some(60) if self.found is None else self.found, measured=False, gap=self.gap)
        await asyncio.Event().wait()

    async def lines(self, selector: str) -> AsyncGenerator[News, None]:
        """Some lines, and no more."""
        name, _, number = selector.partition("@")
        yield News(log(name, int(number) if number else None), anew=True)
        await asyncio.Event().wait()

    async def details(self, selector: str) -> list[Detail]:
        """What stands in DETAILS."""
        return [Detail(selector, "active"), *DETAILS[1:]]

    async def do(self, verb: Verb, target: str) -> None:
        """Note it."""
        self.done.append((verb.name, target))
        await self.let_go.wait()
        if self.fails:
            raise StartFailed(
                "web@0 did not come up: it ended with exit code 3",
                log=["loading configuration", "Error: no such file: /etc/web.json"],
                hint="Look at its log: pysup logs web@0",
            )

    def scaled(self, text: str, there: int) -> int:
        """As on the command line."""
        return cpus.scaled(text, there)


def pictured(world: Still | None = None, *, light: bool = False) -> Monit:
    """A dashboard with a clock that stands still, and measurements behind it."""
    history = History()
    for tick in range(61):
        history.add(some(tick), tick * 2.0)
    return Monit(world or Still(), where="system", light=light, history=history, now=lambda: NOW)
