"""A power cut of a whole machine: what was saved is back, with its logs and limits, for root and an ordinary user."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import grounds
from vm.machine import PYSUP, Machine

pytestmark = pytest.mark.vm

TALKS = "echo said before or after; cat $CREDENTIALS_DIRECTORY/key; exec sleep infinity"
LIMITED = ("--namespace", "shop", "--memory-max", "200M", "--tasks-max", "50", "--total", "weight=300", "--cpus", "0")
MEGABYTE = 1 << 20


def pysup(machine: Machine, user: str | None) -> Callable[..., str]:
    """The command in the machine, as somebody."""

    def call(*words: str, stdin: str = "") -> str:
        env = grounds.environment(Path(PYSUP).parent)
        return machine.run([PYSUP, *words], user=user, env=env, input=stdin).stdout

    return call


def limits(call: Callable[..., str]) -> dict[str, tuple[int | None, ...]]:
    """What the kernel holds the groups of an app to, its namespace's included: memory, tasks or the weight, CPUs."""
    (found,) = json.loads(call("limit", "kept", "--json"))
    assert [one["not_in_force"] for one in found["groups"]] == [[]] * len(found["groups"])
    held = {one["name"]: one["in_force"] for one in found["groups"]}
    return {name: (one["memory_max"], one["tasks_max"] or one["cpu_weight"], one["cpus"]) for name, one in held.items()}


def test_what_was_saved_is_back_after_a_power_cut(machine: Machine) -> None:
    """With all instances, limits and secrets; what was not saved is gone.

    journald keeps logs on disk there: those of before are read. Users have all controllers then, by doctor --fix.
    """
    accounts = [pysup(machine, None), pysup(machine, grounds.USER)]
    machine.run([PYSUP, "doctor", "--fix"], env=grounds.environment(Path(PYSUP).parent), check=False)
    with ThreadPoolExecutor() as side_by_side:
        before = [*side_by_side.map(start, accounts)]
        machine.run(["journalctl", "--sync"])
        machine.cut_power()
        [*side_by_side.map(look, accounts, before)]


def start(call: Callable[..., str]) -> str:
    """Two apps, of which one is saved; its processes."""
    call("secret", "set", "kept", "key", stdin="hunter2\n")
    call("start", "/bin/sh", "--name", "kept", "-i", "2", *LIMITED, "--", "-c", TALKS)
    call("start", "/bin/sleep", "--name", "lost", "--no-wait", "--", "infinity")
    call("limit", "kept@1", "memory=300M")
    call("limit", "--namespace", "shop", "memory=1G")
    call("save", "kept")
    return call("pid", "kept")


def look(call: Callable[..., str], before: str) -> None:
    """What is there of them."""
    listed = json.loads(call("list", "--json"))
    assert [(one["id"], one["state"]) for one in listed] == [("kept@0", "active"), ("kept@1", "active")]
    assert call("pid", "kept") != before
    said = call("logs", "kept", "--no-follow", "--raw")
    assert (said.count("said before or after"), said.count("hunter2")) == (4, 4)
    assert limits(call) == {
        "shop/": (1024 * MEGABYTE, 100, "0-1"),
        "kept": (None, 300, "0-1"),
        "kept@0": (200 * MEGABYTE, 50, "0"),
        "kept@1": (300 * MEGABYTE, 50, "0"),
    }
