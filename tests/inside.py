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
    """Writes down what happens to each test."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")  # before pytest captures
        os.dup2(2, 1)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Remember whose hooks translate reports."""
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the report down."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        print(json.dumps(data, default=str), file=self._out, flush=True)


if FLAG in os.environ and "inside" in sys.argv:
    _reporter = Reporter()
    pytest_configure = _reporter.pytest_configure
    pytest_runtest_logreport = _reporter.pytest_runtest_logreport
