"""The talk's demo as a test: ten instances beside Redis, killed, logged, saved, rebooted, and back."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator

import pytest

import grounds
from pysup.box import Box

COUNT = 10
PORTS = range(9001, 9001 + COUNT)
ANSWER = re.compile(r"instance (\d+) on port (\d+), pid (\d+): hit number (\d+)\n")


class Counter:
    """The app of the demo, running in a box of its own."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def pysup(self, *words: str) -> str:
        """What the command prints."""
        return self._run(str(grounds.PYSUP), *words)

    def ask(self, *words: str) -> str:
        """What scripts/ask.py prints."""
        return self._run(*grounds.python("scripts/ask.py", *words))

    def answers(self) -> list[tuple[int, ...]]:
        """(instance, port, pid, hits) of every port."""
        said = self.ask(*(f"http://127.0.0.1:{port}/" for port in PORTS))
        return [tuple(map(int, found.groups())) for found in ANSWER.finditer(said)]

    def _run(self, *command: str) -> str:
        result = self.box.run(command, cwd=grounds.ROOT, env=grounds.environment(), timeout=60, check=False)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return str(result.stdout)


@pytest.fixture(scope="module")
def counter() -> Iterator[Counter]:
    """The demo's app, ten times, in a box that may be rebooted."""
    with grounds.booted() as box:
        app = Counter(box)
        options = ("--name", "counter", "-i", str(COUNT), "--port", "9001", "--requires", "redis-server.service")
        app.pysup("start", "examples/counter/app.js", *options)
        yield app


def test_each_instance_answers_on_its_own_port(counter: Counter) -> None:
    """Instance i gets the base port + i."""
    assert [(number, port) for number, port, _pid, _hits in counter.answers()] == list(enumerate(PORTS))


def test_all_instances_count_together(counter: Counter) -> None:
    """Redis, which the app requires, was started for it."""
    first, *others = [hits for *_, hits in counter.answers()]
    assert others == list(range(first + 1, first + COUNT))


def test_a_killed_instance_answers_again_within_a_second(counter: Counter) -> None:
    """It is systemd that starts it again, with the same number and port."""
    took: list[int] = []
    for number, port, pid, _hits in counter.answers()[:3]:
        answer, timing = counter.ask("--kill", str(pid), f"http://127.0.0.1:{port}/").splitlines()
        assert answer.startswith(f"instance {number} on port {port}, pid ")
        took += map(int, re.findall(r"(\d+) ms", timing))
    assert statistics.median(took) < 1000


def test_logs_since_leaves_out_what_was_before(counter: Counter) -> None:
    """What was asked before the given moment is not shown, what was asked after it is."""
    hits = [hits for *_, hits in counter.answers()]
    moment = counter.box.run(["date", "+%Y-%m-%d %H:%M:%S.%6N"]).stdout.strip()
    later = [hits for *_, hits in counter.answers()]
    said = counter.pysup("logs", "counter", "--since", moment, "--raw", "--no-follow")
    told = [int(number) for number in re.findall(r"hit (\d+)", said)]
    assert (sorted(told), set(told) & set(hits)) == (later, set())


def test_logs_err_shows_stderr_alone(counter: Counter) -> None:
    """What the app wrote with console.error, and nothing that it wrote with console.log."""
    counter.box.run(["redis-cli", "set", "pysup:counter", "not a number"])
    assert "instance 0: ERR value is not an integer" in counter.ask("http://127.0.0.1:9001/")
    counter.box.run(["redis-cli", "del", "pysup:counter"])
    said = counter.pysup("logs", "counter", "--err", "--raw", "--no-follow").splitlines()
    assert said == ["GET / failed: ERR value is not an integer or out of range"]


def test_what_was_saved_is_back_after_a_reboot(counter: Counter) -> None:
    """Every instance, by its number and port, and the Redis that it requires."""
    before = {(number, port): pid for number, port, pid, _hits in counter.answers()}
    counter.pysup("save", "counter")
    assert {(number, port): pid for number, port, pid, _hits in counter.answers()} == before  # nothing restarted
    counter.box.reboot()
    assert [(number, port) for number, port, _pid, _hits in counter.answers()] == list(enumerate(PORTS))
