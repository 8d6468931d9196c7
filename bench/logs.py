"""Rows about logs: reading many lines, and how soon a line is seen."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import grounds
from bench.measure import Result, medians, run, seconds, until

ENTRIES = 200_000
LINES = 200
PYSUP = str(grounds.PYSUP)

_WRITER = f"for number in range({ENTRIES}): print('line', number, 'of a log that is long enough to be worth reading')"
_TICKER = f"""
import time
for number in range({LINES}):
    time.sleep(0.01)
    print(time.monotonic_ns(), flush=True)
time.sleep(60)
"""


def journal(rounds: int) -> Iterator[Result]:
    """Reading 200,000 entries, as lines a second."""
    with _app("flood", _WRITER):
        until(lambda: "inactive" in run(["systemctl", "is-active", "pysup-flood@0"], check=False), "the last line")
        run(["journalctl", "--sync"])
        commands = {
            "pysup": [PYSUP, "logs", "flood", "--raw", "--no-follow", "--lines", "all"],
            "journalctl": ["journalctl", "--output=cat", "--no-pager", "SYSLOG_IDENTIFIER=pysup-flood@0"],
        }
        rates: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                took = seconds(partial(_read_all, command))
                if number:
                    rates[name].append(ENTRIES / took)
    found = medians(rates)
    yield Result(
        row="journal",
        what=f"pysup logs --raw : journalctl -o cat, {ENTRIES:,} entries",
        unit="lines/s",
        pysup=found["pysup"],
        other="journalctl",
        theirs=found["journalctl"],
        at_least=0.8,
    )


def following(rounds: int) -> Iterator[Result]:
    """How long after a line was written it is shown."""
    del rounds  # two hundred lines are
    shown = [PYSUP, "logs", "tick", "--raw", "--lines", "0"]
    journalctl = ["journalctl", "--follow", "--output=cat", "--lines=0", "SYSLOG_IDENTIFIER=pysup-tick@0"]
    found = {"pysup": _latency(shown), "journalctl": _latency(journalctl)}
    yield Result(row="follow", what="a line is shown after, median", unit="ms", pysup=found["pysup"], at_most=50)
    yield Result(
        row="follow",
        what="a line is shown after : journalctl -f",
        unit="ms",
        pysup=found["pysup"],
        other="journalctl",
        theirs=found["journalctl"],
    )


def _latency(command: Sequence[str]) -> float:
    """The median of the milliseconds between a line's writing and its arrival here."""
    late = []
    with _app("tick", _TICKER), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            now = time.monotonic_ns()
            if line.strip().isdigit():
                late.append((now - int(line)) / 1e6)
            if len(late) >= LINES // 2:  # what was written before it began to follow is not shown
                process.terminate()
    if len(late) < LINES // 2:
        raise SystemExit(f"bench: {command} showed {len(late)} lines")
    return statistics.median(late)


@contextmanager
def _app(name: str, program: str) -> Iterator[None]:
    run([PYSUP, "start", grounds.python()[0], "--name", name, "--restart", "no", "--no-wait", "--", "-c", program])
    try:
        yield
    finally:
        run([PYSUP, "delete", name])


def _read_all(command: Sequence[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
