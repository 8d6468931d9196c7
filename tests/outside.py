"""The pytest on the machine: it hands the tests that need a systemd to a pytest in a box, and reports for them.

So there is one session with one summary, and choosing tests (-k, -x, node ids) works wherever they run.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

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
    """Boots the session's box when it is first needed, and sends the tests there that belong there."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._batches: dict[str, list[pytest.Item]] = {}
        self._open = ExitStack()

    @cached_property
    def box(self) -> Box:
        """The session's box."""
        return self._open.enter_context(grounds.booted())

    @pytest.hookimpl(trylast=True)  # after -k and -m have chosen
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests of each batch together, after those that run on the machine."""
        self._batches = {name: [item for item in items if item.get_closest_marker(name)] for name in ACCOUNTS}
        elsewhere = [item for batch in self._batches.values() for item in batch]
        there = set(elsewhere)
        items[:] = [item for item in items if item not in there] + elsewhere

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a batch when its first test's turn has come; the others' reports are in by the time of theirs."""
        for name, batch in self._batches.items():
            if item in batch:
                if item is batch[0]:
                    self._run(ACCOUNTS[name], batch)
                return True
        return None

    def pytest_unconfigure(self) -> None:
        """Take the box down."""
        self._open.close()

    def _run(self, user: str | None, batch: Sequence[pytest.Item]) -> None:
        """Run the tests in the box; when one of them takes its pytest with it, go on behind it."""
        waiting = {item.nodeid: item for item in batch}
        while waiting:
            died_of, why = self._run_until_end(user, waiting)
            if batch[0].session.shouldfail:  # by -x, so it is right that others did not run
                return
            for item in [waiting.pop(nodeid) for nodeid in died_of]:
                self._config.hook.pytest_runtest_logreport(report=_missing(item, why))
            if waiting:
                for manager in leftovers.managers(self.box):
                    manager.clean()

    def _run_until_end(self, user: str | None, waiting: dict[str, pytest.Item]) -> tuple[list[str], str]:
        """Let one pytest run, and take out of *waiting* what it finishes; says what it died of, and its words."""
        running = ""
        with tempfile.TemporaryFile("w+") as words, self._pytest(user, list(waiting), words) as process:
            try:
                for line in process.stdout or ():
                    running = self._replay(json.loads(line), waiting)
            except BaseException:
                process.kill()
                raise
            process.wait()
            words.seek(0)
            why = f"the pytest in the box ended ({process.returncode}) during this test; it said:\n{words.read()}"
        return [running] if running in waiting else list(waiting), why

    def _pytest(self, user: str | None, tests: Sequence[str], words: object) -> subprocess.Popen[str]:
        choice = self._config.option
        chosen = [f"--maxfail={choice.maxfail or 0}", f"--tb={choice.tbstyle}", *["--showlocals"] * choice.showlocals]
        return self.box.popen(
            grounds.python("-m", "pytest", "-p", "inside", *_OPTIONS, *chosen, *tests),
            user=user,
            cwd=grounds.ROOT,
            env=grounds.environment(
                PYTHONPATH=str(Path(__file__).parent),
                HYPOTHESIS_STORAGE_DIRECTORY=f"/tmp/hypothesis-{user or 'root'}",
                **{inside.FLAG: "yes"},
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        )

    def _replay(self, said: dict[str, dict[str, Any]], waiting: dict[str, pytest.Item]) -> str:
        """Hand what was said on to pytest's own hooks, as if the test had run here; returns which test it was."""
        hook = self._config.hook
        match said:
            case {"started": which}:
                hook.pytest_runtest_logstart(**which)
            case {"finished": which}:
                hook.pytest_runtest_logfinish(**which)
                del waiting[which["nodeid"]]
            case {"report": which}:
                report = hook.pytest_report_from_serializable(config=self._config, data=which)
                if isinstance(report.longrepr, list):  # a skip's place and reason; JSON has no tuples
                    report.longrepr = tuple(report.longrepr)
                hook.pytest_runtest_logreport(report=report)
        return str(which["nodeid"])


def _missing(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=why,
        when="setup",
    )
