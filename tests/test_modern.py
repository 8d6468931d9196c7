"""What only cgroup v2 and a systemd of today can show: limits that are hit, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import apps
import programs
from pysup.app import Limits
from pysup.events import Exited
from pysup.sync import Manager
from pysup.unit import Scope

pytestmark = pytest.mark.vm

# Takes a megabyte for each line that it reads, and says how much it has.
EATER = """
import sys
held = []
for line in sys.stdin:
    held.append(bytearray(b"x" * (int(line) << 20)))
    print(sum(map(len, held)) >> 20, flush=True)
"""
MEGABYTE = 1 << 20


@pytest.fixture
def manager(scope: Scope) -> Iterator[Manager]:
    """A manager of each scope; what a test started in it is deleted after."""
    with Manager(scope) as made:
        yield made
        made.delete("all")


def test_an_instance_that_the_kernel_killed_for_memory_is_told_so(manager: Manager) -> None:
    """As a live event, as history, and in why: with what it used at most, and its limit."""
    limits = Limits(memory_max=40 * MEGABYTE)
    app = apps.app("hog", command=(*programs.PYTHON, EATER), stdin=True, limits=limits, restart="no")
    with manager.watch() as events:
        manager.start(app)
        manager.send("hog", "80")
        ended = next(one for one in events if isinstance(one, Exited))
    assert (ended.result, ended.by) == ("oom-kill", "kernel")
