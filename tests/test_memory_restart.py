"""Restarts of what holds too much memory: the whole control group is counted, and what the kernel can drop is not."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import apps
import programs
from pysup.app import Limits
from pysup.errors import SpecError
from pysup.events import Started
from pysup.explain import explain
from pysup.names import InstanceName
from pysup.render import render
from pysup.sync import Manager
from pysup.unit import ActiveState, Exit, Instance, Scope

# Holds 80 MB when it is first run, in a child of a shell; PM2 looks at the shell alone.
HOG = """
import pathlib, sys, threading
first = pathlib.Path(sys.argv[1])
held = b"" if first.exists() else bytearray(80 << 20)
first.touch()
threading.Event().wait()
"""


def test_an_instance_that_holds_too_much_is_restarted_and_that_is_said(manager: Manager, tmp_path: Path) -> None:
    """One that only reads large files is not, nor a sibling that holds little."""
    large = tmp_path / "large"
    large.write_bytes(bytes(80 << 20))
    reader = programs.shell(f"cat {large} >/dev/null; exec sleep infinity")
    manager.start(apps.app("reader", command=reader, memory_restart=50 << 20))
    script = f'[ "$PYSUP_INSTANCE" = 0 ] || exec sleep infinity; {sys.executable} -c "$CODE" {tmp_path}/first; true'
    with manager.watch() as events:
        before = manager.start(
            apps.app("hog", command=programs.shell(script), env={"CODE": HOG}, instances=2, memory_restart=50 << 20)
        )
        known = {one.pid for one in before.instances}
        next(one for one in events if isinstance(one, Started) and one.name.app == "hog" and one.pid not in known)
    after = manager.describe("hog")[0].instances
    assert after[0].restarted is not None
    assert after[0].restarted.reason.endswith("M of memory, above 50M")
    assert time.time() - after[0].restarted.at < 60
    assert after[1].instance.pid == before.instances[1].pid
    assert manager.describe("reader")[0].instances[0].restarted is None


def test_a_hard_limit_stands_above(tmp_path: Path) -> None:
    """Twice as high, unless it is given; and not below."""
    text = render(apps.app(memory_restart=50 << 20), apps.MACHINE, str(tmp_path)).files["pysup-web@.service"].text
    assert f"MemoryMax={100 << 20}\n" in text
    given = apps.app(memory_restart=50 << 20, limits=Limits(memory_max=60 << 20))
    assert f"MemoryMax={60 << 20}\n" in render(given, apps.MACHINE, str(tmp_path)).files["pysup-web@.service"].text
    with pytest.raises(SpecError, match="would kill it first"):
        apps.app(memory_restart=50 << 20, limits=Limits(memory_max=50 << 20))


def test_a_kill_at_the_hard_limit_is_explained_as_that() -> None:
    """With both limits."""
    killed = Instance(
        name=InstanceName("web", 0),
        scope=Scope.SYSTEM,
        active_state=ActiveState.ACTIVATING,
        result="oom-kill",
        last_exit=Exit(signal=9),
    )
    why = explain(killed, apps.app(memory_restart=50 << 20))
    assert why is not None
    assert "hard limit of 100M of memory; at 50M" in why.what
