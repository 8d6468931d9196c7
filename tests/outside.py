"""The pytest on this machine: it hands the tests that need a systemd to a pytest where one is, and reports for them.

So there is one session with one summary, and choosing tests (-k, -x, node ids) works wherever they run. This machine's
tests, two halves of root's and two of the ordinary user's run side by side, in a box each: most of the time they wait.
With --vm root's and the user's run side by side in the virtual machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import pytest

import grounds
from places import Ground, InBox, InMachine, Inner
from pysup.box import Box
from vm.machine import Machine

ACCOUNTS = {"systemd": None, "systemd_user": grounds.USER}
"""Whose tests a marker's are, where there is a systemd."""


class Dispatcher:
    """Boots boxes when they are first needed, and sends the tests there that belong there."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.open = ExitStack()
        self._batches: list[Batch] = []

    @cached_property
    def box(self) -> Box:
        """The box of the tests that run on this machine."""
        return self.open.enter_context(grounds.booted())

    def ground(self) -> Ground:
        """Where a batch runs: a box of its own, or the virtual machine."""
        return self._machine if self.config.getoption("--vm") else InBox(self.open.enter_context(grounds.booted()))

    @cached_property
    def _machine(self) -> InMachine:
        return InMachine(self.open.enter_context(Machine.booted()))

    @pytest.hookimpl(trylast=True)  # after -k and -m have chosen
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests of each batch together, after those that run on the machine."""
        found = {name: [item for item in items if item.get_closest_marker(name)] for name in ACCOUNTS}
        parts = _whole if self.config.getoption("--vm") else _halves
        self._batches = [Batch(self, ACCOUNTS[name], part) for name, batch in found.items() for part in parts(batch)]
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
        """Take the boxes and the machine down, and with them what may still run there."""
        self.open.close()


class Batch:
    """Tests of one account, on a ground of their own."""

    def __init__(self, dispatcher: Dispatcher, user: str | None, items: Sequence[pytest.Item]) -> None:
        self.items = items
        self._dispatcher = dispatcher
        self._config = dispatcher.config
        self._user = user
        self._waiting = {item.nodeid: item for item in items}
        self._inner: Inner | None = None

    def begin(self) -> None:
        """Let the tests run, unless they do."""
        if self._inner is None:
            self._ground = self._dispatcher.ground()
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
                self._ground.clean(self._user)
                self._inner = self._pytest()

    def _report_until_end(self, inner: Inner) -> tuple[list[str], str]:
        """Take what finishes out of those that wait; says which test the pytest died of, and its words."""
        running = ""
        while line := inner.lines.get():
            running = self._replay(json.loads(line))
        code, words = inner.end()
        why = f"the pytest in there ended ({code}) during this test; it said:\n{words}"
        return [running] if running in self._waiting else list(self._waiting), why

    def _pytest(self) -> Inner:
        choice = self._config.option
        chosen = [f"--maxfail={choice.maxfail or 0}", f"--tb={choice.tbstyle}", *["--showlocals"] * choice.showlocals]
        return self._dispatcher.open.enter_context(self._ground.pytest(self._user, [*chosen, *self._waiting]))

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


def _whole(items: Sequence[pytest.Item]) -> list[list[pytest.Item]]:
    """All in one: there is one machine, and an account has one manager in it."""
    return [list(items)] if items else []


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
