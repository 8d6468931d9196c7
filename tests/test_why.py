"""The story of an end, in plain words: on a real systemd, and with the words of systemd-coredump."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import apps
import programs
from pysup import cores, journal, why
from pysup.events import Failed, Stopped
from pysup.host.cgroups import Cgroups, Hierarchy, Strained
from pysup.names import InstanceName
from pysup.sync import Manager
from pysup.unit import ActiveState, Instance, Scope

Command = Callable[..., subprocess.CompletedProcess[str]]


def end(manager: Manager, app: apps.App) -> None:
    """Start an app that ends, and wait until it has."""
    with manager.watch() as events:
        manager.start(app, wait=False)
        while not isinstance(next(events), (Failed, Stopped)):
            pass


def test_an_app_that_cannot_listen_is_understood(manager: Manager, pysup: Command) -> None:
    """How it ended, what its own last lines give away, only those of that run, how often, what is next, what to try."""
    script = "echo run of $$; sleep 0.2; echo 'Error: listen EADDRINUSE :::3000' >&2; exit 1"
    end(manager, apps.app("busy", command=programs.shell(script), restart_limit=3, restart_delay=0.01))
    (found,) = manager.why("busy", count=2)
    assert (found.daily, found.hourly, len(found.endings)) == (3, 3, 2)
    for one in found.endings:
        assert one.exited.code == 1
        assert one.log[1:] == ("Error: listen EADDRINUSE :::3000",)
        assert one.meaning
        assert "its port is taken" in one.meaning.what
        assert one.lived is not None
        assert 0.2 <= one.lived < 20
    assert found.endings[0].log[0] != found.endings[1].log[0]
    assert "gave up" in found.next
    said = pysup("why", "busy").stdout
    for words in ("exit code 1", "its port is taken", "EADDRINUSE", "3 times in the last day", "gave up", "ss -ltnp"):
        assert words in said
    (shown,) = json.loads(pysup("why", "busy@0", "--json").stdout)
    assert (shown["id"], shown["ends"][0]["code"], shown["daily"]) == ("busy@0", 1, 3)
    assert "ss -ltnp" in shown["remedy"]


def test_a_watchdog_and_a_signal_and_a_stop_are_told_apart(manager: Manager, pysup: Command) -> None:
    """By whom each was."""
    end(manager, apps.app("deaf", service={"WatchdogSec": ("100ms",)}, restart="no"))
    end(manager, apps.app("faulty", command=programs.shell("kill -SEGV $$"), restart="no"))
    manager.start(apps.app("idle"))
    manager.stop("idle")
    told = {one.instance.name.app: one for one in manager.why()}
    assert told["deaf"].endings[0].exited.by == "watchdog"
    assert "watchdog" in pysup("why", "deaf").stdout
    said = pysup("why", "faulty").stdout
    assert "signal SIGSEGV" in said
    assert cores.is_kept() or "apt install systemd-coredump" in said
    assert told["idle"].endings[0].asked.startswith("pysup stop by ")
    assert "as it was asked to" in pysup("why", "idle").stdout


def test_what_has_not_ended_is_said_to_have_not(manager: Manager, pysup: Command) -> None:
    """And what systemd would do."""
    manager.start(apps.app("fine"))
    said = pysup("why", "fine").stdout
    assert "It has not ended" in said
    assert "gives up after 16 starts in 60 s" in said


@pytest.mark.systemd
def test_a_core_dump_is_shown_with_its_stack(pysup: Command) -> None:
    """As systemd-coredump writes it; the core_pattern is the whole machine's, so that part is played."""
    with Manager(Scope.SYSTEM) as manager:
        end(manager, apps.app("faulty", command=programs.shell("kill -SEGV $$"), restart="no"))
        stack = "Stack trace of thread 7:\n#0  0x00007f boom (app + 0x1)\n#1  0x00007f main (app + 0x2)"
        journal.send(
            {
                "MESSAGE": f"Process 7 (sh) of user 0 dumped core.\n\n{stack}",
                "MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1",
                "COREDUMP_UNIT": "pysup-faulty@0.service",
                "COREDUMP_PID": "7",
                "COREDUMP_EXE": "/usr/bin/dash",
                "COREDUMP_SIGNAL_NAME": "SIGSEGV",
                "COREDUMP_FILENAME": "/var/lib/systemd/coredump/core.sh.zst",
            }
        )
        subprocess.run(["journalctl", "--sync"], check=True)
        for command in ("why", "describe"):
            said = pysup(command, "faulty").stdout
            assert "/var/lib/systemd/coredump/core.sh.zst  (coredumpctl info 7)" in said
            assert "#0  0x00007f boom (app + 0x1)" in said
        assert json.loads(pysup("why", "faulty", "--json").stdout)[0]["ends"][0]["core"]["pid"] == 7
        assert cores.find(Scope.SYSTEM, InstanceName("faulty", 0), around=time.time() - 3600) is None
        assert cores.find(Scope.USER, InstanceName("faulty", 0), around=time.time()) is None
        manager.delete("all")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"active_state": ActiveState.ACTIVATING, "sub_state": "auto-restart"}, "systemd starts it again after 2 s"),
        ({"active_state": ActiveState.ACTIVATING, "sub_state": "start"}, "systemd is starting it"),
        ({"active_state": ActiveState.FAILED}, "it leaves it so"),
        ({"active_state": ActiveState.INACTIVE}, "until somebody starts it"),
        ({"active_state": ActiveState.ACTIVE}, "if it ends, systemd starts it again, but gives up after 16"),
    ],
)
def test_what_comes_next_is_said(fields: dict[str, object], said: str) -> None:
    """By its state and its policy."""
    one = Instance(name=InstanceName("web", 0), scope=Scope.SYSTEM, **fields)  # type: ignore[arg-type]
    assert said in why.what_next(one, apps.app(restart_delay=2))
    if fields["active_state"] is ActiveState.ACTIVE:
        assert "it stays down" in why.what_next(one, apps.app(restart="no"))


def test_how_a_run_fared_with_its_memory_is_read_from_either_hierarchy(tmp_path: Path) -> None:
    """Its peak, its limit, and how often the kernel killed."""
    for number, (hierarchy, files) in enumerate(
        (
            (Hierarchy.V2, {"memory.peak": "900", "memory.max": "1000", "memory.events": "high 3\nmax 4\noom_kill 2"}),
            (
                Hierarchy.V1,
                {
                    "memory.max_usage_in_bytes": "900",
                    "memory.limit_in_bytes": "1000",
                    "memory.oom_control": "under_oom 0\noom_kill 2",
                },
            ),
        )
    ):
        place = tmp_path / str(number) / "web"
        place.mkdir(parents=True)
        for name, text in files.items():
            (place / name).write_text(text + "\n")
        mounts = {"" if hierarchy is Hierarchy.V2 else "memory": (str(place.parent), "/")}
        groups = Cgroups(hierarchy=hierarchy, mounts=mounts)
        assert groups.strained("/web") == Strained(peak=900, limit=1000, kills=2)
        if hierarchy is Hierarchy.V2:
            assert groups.hits("/web") == {"memory-high": 3, "memory-max": 4}
