"""Time things fairly: contenders take turns, so that what else the machine does hits them alike; medians are told."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table: a figure of pysup's, maybe beside another's, and what is wanted of it.

    With *theirs* the wanted bound is on the ratio pysup / theirs, without it on pysup's figure itself.
    """

    row: str
    what: str
    unit: str
    pysup: float
    other: str = ""
    theirs: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self) -> float | None:
        """Pysup's figure over the other's."""
        return self.pysup / self.theirs if self.theirs else None

    @property
    def verdict(self) -> str:
        """``ok``, ``miss``, or nothing where nothing is wanted."""
        if self.at_most is None and self.at_least is None:
            return ""
        figure = self.pysup if self.ratio is None else self.ratio
        is_in = (self.at_most is None or figure <= self.at_most) and (self.at_least is None or figure >= self.at_least)
        return "ok" if is_in else "miss"

    def as_json(self) -> dict[str, object]:
        """All of it, with what is worked out."""
        return asdict(self) | {"ratio": self.ratio, "verdict": self.verdict}


def run(command: Sequence[str], *, check: bool = True) -> str:
    """Run a command to its end and return what it printed; a failure stops the benchmark with its words."""
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if check and result.returncode:
        raise SystemExit(f"bench: {' '.join(command)[:200]} failed ({result.returncode}):\n{result.stdout[-2000:]}")
    return result.stdout


def seconds(work: Callable[[], object]) -> float:
    """How long *work* takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(rounds: int, works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The median time of each of *works* in milliseconds, after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            took = seconds(work)
            if number:
                taken[name].append(1000 * took)
    return medians(taken)


def medians(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each."""
    return {name: statistics.median(values) for name, values in taken.items()}


def until(done: Callable[[], bool], what: str) -> None:
    """Poll until *done*; what is measured here has no signal that all contenders share."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} did not happen within {PATIENCE:.0f} s")
        time.sleep(0.01)
