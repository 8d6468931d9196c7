"""The pytest on the machine: it hands the tests that need a systemd to a pytest in a box, and reports for them.

So there is one session with one summary, and choosing tests (-k, -x, node ids) works wherever they run.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import grounds
import pytest

import inside
from pysup.box import Box

ACCOUNTS = {"systemd": None, "systemd_user": grounds.USER}
"""Whose tests a marker's are, inside the box."""

# A test that hangs is killed with its pytest, which tells where it hung; those after it fail too.
_OPTIONS = ("-p", "no:cacheprovider", "-o", "faulthandler_timeout=300", "-o", "faulthandler_exit_on_timeout=true")


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
        silent = {item.nodeid: item for item in batch}
        with tempfile.TemporaryFile("w+") as words, self._pytest(user, list(silent), words) as process:
            try:
                for report in self._replay(process.stdout or ()):
                    if report.when == "teardown":
                        silent.pop(report.nodeid)
            except BaseException:
                process.kill()
                raise
            process.wait()
            words.seek(0)
            why = f"the pytest in the box ended ({process.returncode}) before this test; it said:\n{words.read()}"
        for item in silent.values():
            if not item.session.shouldfail:  # by -x, as it should
                self._config.hook.pytest_runtest_logreport(report=_missing(item, why))

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

    def _replay(self, lines: Iterable[str]) -> Iterator[pytest.TestReport]:
        """Hand each report on to pytest's own hooks, as if the test had run here."""
        hook = self._config.hook
        for line in lines:
            report = hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
            if isinstance(report.longrepr, list):  # a skip's place and reason; JSON has no tuples
                report.longrepr = tuple(report.longrepr)
            if report.when == "setup":
                hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
            hook.pytest_runtest_logreport(report=report)
            if report.when == "teardown":
                hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)
            yield report


def _missing(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=why,
        when="setup",
    )
