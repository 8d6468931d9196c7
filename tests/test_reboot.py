"""A power cut of a whole machine: what was saved is back, with its logs, for root and for an ordinary user."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import grounds
from vm.machine import PYSUP, Machine

pytestmark = pytest.mark.vm

TALKS = "echo said before or after; exec sleep infinity"


def pysup(machine: Machine, user: str | None) -> Callable[..., str]:
    """The command in the machine, as somebody."""

    def call(*words: str) -> str:
        env = grounds.environment(Path(PYSUP).parent)
        return machine.run([PYSUP, *words], user=user, env=env).stdout

    return call


def test_what_was_saved_is_back_after_a_power_cut(machine: Machine) -> None:
    """With all instances; what was not saved is gone. journald keeps logs on disk there: those of before are read."""
    accounts = [pysup(machine, None), pysup(machine, grounds.USER)]
    for call in accounts:
        call("start", "/bin/sh", "--name", "kept", "-i", "2", "--", "-c", TALKS)
        call("start", "/bin/sleep", "--name", "lost", "--no-wait", "--", "infinity")
        call("save", "kept")
    machine.run(["journalctl", "--sync"])
    before = [call("pid", "kept") for call in accounts]
    machine.cut_power()
    for call, pids in zip(accounts, before, strict=True):
        listed = json.loads(call("list", "--json"))
        assert [(one["id"], one["state"]) for one in listed] == [("kept@0", "active"), ("kept@1", "active")]
        assert call("pid", "kept") != pids
        assert call("logs", "kept", "--no-follow", "--raw").count("said before or after") == 4
