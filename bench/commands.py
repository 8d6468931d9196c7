"""Rows about commands: list, start, stop, and what a thousand instances cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache, partial

from bench.contenders import Circus, Contender, Pm2, Program, Pysup, Supervisor, Systemctl
from bench.measure import Result, interleaved, medians, seconds

COUNT = 50
FIFTY = Program(count=COUNT)


def listing(rounds: int) -> Iterator[Result]:
    """What ``list`` costs when everybody has 50 instances."""
    with ExitStack() as ending:
        pysup, *others = everybody(ending)
        works = {one.name: one.show for one in (pysup, *others, Systemctl())}
        taken = interleaved(3 * rounds, works)
    wanted = {"pm2": 0.6, "supervisord": 1.0}
    for other, commands in {
        "pm2": "pysup list : pm2 ls",
        "supervisord": "pysup list : supervisorctl status",
        "circus": "pysup list : circusctl list",
        "systemctl": "pysup list : systemctl list-units",
    }.items():
        yield _beside("list", f"{commands}, {COUNT} instances", taken, other, wanted.get(other))


def everybody(ending: ExitStack) -> list[Contender]:
    """All managers with fifty sleeping programs each, pysup first; *ending* ends them."""
    circus = Circus(FIFTY)
    ending.callback(circus.close)
    managers = [Pysup(), Pm2(), Supervisor()]
    for one in managers:
        ending.callback(one.close)
        one.define(FIFTY)
        one.start(FIFTY)
        ending.callback(one.forget, FIFTY)
        ending.callback(one.stop, FIFTY)
        one.settle(FIFTY)
    return [*managers, circus]


def starting(rounds: int) -> Iterator[Result]:
    """What starting 50 costs."""
    taken = _lives(rounds)["start"]
    wanted = {"pm2": 1.0, "systemctl": 1.6}
    for other in ("pm2", "systemctl", "supervisord"):
        yield _beside("start", f"start of {COUNT} sleeps : {other}", taken, other, wanted.get(other))


def stopping(rounds: int) -> Iterator[Result]:
    """What stopping 50 costs."""
    taken = _lives(rounds)["stop"]
    wanted = {"pm2": 0.3}
    for other in ("pm2", "systemctl", "supervisord"):
        yield _beside("stop", f"stop of {COUNT} sleeps : {other}", taken, other, wanted.get(other))


def thousand(rounds: int) -> Iterator[Result]:
    """Whether an instance costs more when there are many."""
    pysup = Pysup()
    costs: dict[int, dict[str, list[float]]] = {count: {"start": [], "list": [], "stop": []} for count in (100, 1000)}
    for _ in range(max(1, rounds // 2)):
        for count, taken in costs.items():
            program = Program(count=count)
            taken["start"].append(1000 * seconds(partial(_start_all, pysup, program)) / count)
            taken["list"].append(1000 * seconds(pysup.show) / count)
            taken["stop"].append(1000 * seconds(partial(pysup.stop, program)) / count)
            pysup.forget(program)
    few, many = medians(costs[100]), medians(costs[1000])
    for what in few:
        yield Result(
            row="thousand",
            what=f"{what}: cost of one instance of 1,000 : of 100",
            unit="ms",
            pysup=many[what],
            other="pysup, 100",
            theirs=few[what],
            at_most=1.3,
        )


def _start_all(pysup: Pysup, program: Program) -> None:
    pysup.start(program)
    pysup.settle(program)


@cache
def _lives(rounds: int) -> dict[str, dict[str, float]]:
    """Start and stop 50 with everybody, in turns; each time from nothing."""
    pysup, systemctl = Pysup(), Systemctl()
    others: list[Contender] = [Pm2(), Supervisor()]
    starts: dict[str, list[float]] = {}
    stops: dict[str, list[float]] = {}

    def live(one: Contender) -> None:
        one.define(FIFTY)
        starts.setdefault(one.name, []).append(1000 * seconds(lambda: one.start(FIFTY)))
        one.settle(FIFTY)
        stops.setdefault(one.name, []).append(1000 * seconds(lambda: one.stop(FIFTY)))

    for _ in range(rounds):
        live(pysup)
        live(systemctl)
        pysup.forget(FIFTY)
        for other in others:
            live(other)
            other.forget(FIFTY)
    for other in others:
        other.close()
    return {"start": medians(starts), "stop": medians(stops)}


def _beside(row: str, what: str, taken: dict[str, float], other: str, at_most: float | None) -> Result:
    return Result(
        row=row, what=what, unit="ms", pysup=taken["pysup"], other=other, theirs=taken[other], at_most=at_most
    )
