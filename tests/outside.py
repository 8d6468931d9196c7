"""The pytest on the machine: it hands the tests that need a systemd to a pytest in a box, and reports for them.

So there is one session with one summary, and choosing tests (-k, -x, node ids) works wherever they run. The machine's
tests, two halves of root's and two of the ordinary user's run side by side, in a box each: most of the time they wait.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

import pytest

import grounds
import inside
import leftovers
from pysup.box import Box

ACCOUNTS = {"systemd": None, "systemd_user": grounds.USER}
"""Whose tests a marker's are, inside the box."""

# A test that hangs is killed with its pytest, which tells where it hung.
_OPTIONS = ("-p", "no:cacheprovider", "-o", "faulthandler_timeout=180", "-o", "faulthandler_exit_on_timeout=true")


class Dispatcher:
    """Boots boxes when they are first needed, and sends the tests there that belong there."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._batches: list[Batch] = []
        self._open = ExitStack()

    @cached_property
    def box(self) -> Box:
        """The box of the tests that run on the machine."""
        return self._open.enter_context(grounds.booted())

    @pytest.hookimpl(trylast=True)  # after -k and -m have chosen
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests of each batch together, after those that run on the machine."""
        found = {name: [item for item in items if item.get_closest_marker(name)] for name in ACCOUNTS}
        self._batches = [
            Batch(self._config, self._open, ACCOUNTS[name], half)
            for name, batch in found.items()
            for half in _halves(batch)
        ]
        elsewhere = [item for batch in self._batches for item in batch.items]
        there = set(elsewhere)
        items[:] = [item for item in items if item not in there] + elsewhere

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Report a batch when its first test's turn has come; the others' reports are in by the time of theirs."""
        for batch in self._batches:
            batch.begin()
        for batch in self._batches:
            if item in batch.items:
                if item is batch.items[0]:
                    batch.report()
                return True
        return None

    def pytest_unconfigure(self) -> None:
        """Take the boxes down, and with them what may still run there."""
        self._open.close()


class Batch:
    """Tests of one account, in a box of their own."""

    def __init__(self, config: pytest.Config, stack: ExitStack, user: str | None, items: Sequence[pytest.Item]) -> None:
        self.items = items
        self._config = config
        self._open = stack
        self._user = user
        self._waiting = {item.nodeid: item for item in items}
        self._inner: Inner | None = None

    def begin(self) -> None:
        """Let the tests run, unless they do."""
        if self._inner is None:
            self._box = self._open.enter_context(grounds.booted())
            self._inner = self._pytest()

    def report(self) -> None:
        """Report on every test; when one of them takes its pytest with it, go on behind it."""
        while self._inner and self._waiting:
            died_of, why = self._report_until_end(self._inner)
            if self.items[0].session.shouldfail:  # by -x, so it is right that others did not run
                return
            for item in [self._waiting.pop(nodeid) for nodeid in died_of]:
                self._config.hook.pytest_runtest_logreport(report=_missing(item, why))
            if self._waiting:
                for manager in leftovers.managers(self._box):
                    manager.clean()
                self._inner = self._pytest()

    def _report_until_end(self, inner: Inner) -> tuple[list[str], str]:
        """Take what finishes out of those that wait; says which test the pytest died of, and its words."""
        running = ""
        while line := inner.lines.get():
            running = self._replay(json.loads(line))
        code, words = inner.end()
        why = f"the pytest in the box ended ({code}) during this test; it said:\n{words}"
        return [running] if running in self._waiting else list(self._waiting), why

    def _pytest(self) -> Inner:
        choice = self._config.option
        chosen = [f"--maxfail={choice.maxfail or 0}", f"--tb={choice.tbstyle}", *["--showlocals"] * choice.showlocals]
        return self._open.enter_context(Inner(self._box, self._user, [*chosen, *self._waiting]))

    def _replay(self, said: dict[str, dict[str, Any]]) -> str:
        """Hand what was said on to pytest's own hooks, as if the test had run here; returns which test it was."""
        hook = self._config.hook
        match said:
            case {"started": which}:
                hook.pytest_runtest_logstart(**which)
            case {"finished": which}:
                hook.pytest_runtest_logfinish(**which)
                del self._waiting[which["nodeid"]]
            case {"report": which}:
                report = hook.pytest_report_from_serializable(config=self._config, data=which)
                if isinstance(report.longrepr, list):  # a skip's place and reason; JSON has no tuples
                    report.longrepr = tuple(report.longrepr)
                hook.pytest_runtest_logreport(report=report)
        return str(which["nodeid"])


class Inner:
    """A pytest in a box. Nobody need listen to it: what it says is kept. Killed at the end of its context."""

    def __init__(self, box: Box, user: str | None, words: Sequence[str]) -> None:
        self.lines: SimpleQueue[str] = SimpleQueue()  # an empty one is the end
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the context
        self._process = box.popen(
            grounds.python("-m", "pytest", "-p", "inside", *_OPTIONS, *words),
            user=user,
            cwd=grounds.ROOT,
            env=grounds.environment(
                PYTHONPATH=str(Path(__file__).parent),
                HYPOTHESIS_STORAGE_DIRECTORY=f"/tmp/hypothesis-{user or 'root'}",
                **{inside.FLAG: "yes"},
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._errors, self._process:
            self._process.kill()
            self._listener.join()

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it wrote to stderr, when it has ended."""
        code = self._process.wait()
        self._errors.seek(0)
        return code, self._errors.read()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self.lines.put(line)
        self.lines.put("")


def _halves(items: Sequence[pytest.Item]) -> list[list[pytest.Item]]:
    """Every other module's tests, and the rest: a module's stay together, for what they share."""
    modules = {path: number % 2 for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    halves = [[item for item in items if modules[item.path] == half] for half in range(2)]
    return [half for half in halves if half]


def _missing(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=why,
        when="setup",
    )
