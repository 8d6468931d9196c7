"""Loaded with ``-p`` by a pytest inside a box: each report goes, as a line of JSON, to the pytest outside.

The reports have what was stdout to themselves; whatever else pytest says goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

FLAG = "PYSUP_TEST_INSIDE"  # in the environment of a pytest inside a box


class Reporter:
    """Writes down what happens to each test, one JSON object a line, with one key: started, report or finished."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")  # before pytest captures
        os.dup2(2, 1)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Remember whose hooks translate reports."""
        self._config = config

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Write down that a test begins."""
        self._write("started", {"nodeid": nodeid, "location": location})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down how its setup, its call or its teardown went."""
        self._write("report", self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Write down that it is over."""
        self._write("finished", {"nodeid": nodeid, "location": location})

    def _write(self, what: str, value: object) -> None:
        print(json.dumps({what: value}, default=str), file=self._out, flush=True)


if FLAG in os.environ and "inside" in sys.argv:
    _reporter = Reporter()
    pytest_configure = _reporter.pytest_configure
    pytest_runtest_logstart = _reporter.pytest_runtest_logstart
    pytest_runtest_logreport = _reporter.pytest_runtest_logreport
    pytest_runtest_logfinish = _reporter.pytest_runtest_logfinish
