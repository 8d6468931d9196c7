"""What could take a shared socket down and must not: crash loops, a manager that executes itself anew, kill -9."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import hammer
import programs
from clusters import pids, server
from pysup import names
from pysup.host import ground
from pysup.reload import ReloadOptions
from pysup.sync import Manager
from pysup.unit import Scope

PAUSE = threading.Event()
"""Never set: what is tested here is that time goes by."""


@pytest.fixture
def system() -> Iterator[Manager]:
    """The machine's."""
    with Manager(Scope.SYSTEM) as made:
        yield made
        made.delete("all")


@contextmanager
def ending(manager: Manager, *apps: str, command: str) -> Iterator[None]:
    """Instance 1 of some apps runs something that ends at once, by a drop-in of its own."""
    folders = [manager._store.runtime / f"pysup-{app}@1.service.d" for app in apps]
    for folder in folders:
        folder.mkdir()
        (folder / "override.conf").write_text(f"[Service]\nType=exec\nExecStart=\nExecStart={command}\n")
    try:
        yield
    finally:
        manager.stop([f"{app}@1" for app in apps])
        for folder in folders:
            (folder / "override.conf").unlink()
            folder.rmdir()


@pytest.mark.systemd
def test_siblings_that_crash_for_30_seconds_are_braked_and_reported_and_take_no_socket_down(system: Manager) -> None:
    """With load and without, with failures and with good ends; the other instance answers all the time."""
    ports = {name: programs.free_port() for name in ("loaded", "calm", "good")}
    for name, port in ports.items():
        system.start(server("one", port, name=name, instances=1))
    with (
        ending(system, "loaded", "calm", command="/bin/false"),
        ending(system, "good", command="/bin/true"),
        hammer.load(ports["loaded"]) as tally,
    ):
        for name in ports:
            system.scale(name, 2, wait=False)
        PAUSE.wait(30)
        tally.wait_for(50)
        shown = {app.name: app.instances for app in system.list()}
        checked = " ".join(f"{check.name} {check.message}" for check in system.doctor())
        for name, port in ports.items():
            with hammer.load(port, clients=2) as asked:
                asked.wait_for(20)
            assert asked.failures == []
            assert shown[name][0].is_up
            assert not shown[name][1].is_up
            assert shown[name][1].state == "auto-restart"
            assert f"{name}@1 it keeps ending" in checked
            # Unbraked, it would be more than a thousand; it is 3 at once, and then after 0.2, 0.4, 0.8 … 12.8 s.
            assert 6 <= shown[name][1].restarts <= 14
    assert tally.failures == []


def test_restarts_that_somebody_asked_for_are_not_braked(manager: Manager) -> None:
    """However short a life they end; what counts starts in vain knows that a job of systemd's did."""
    app = manager.start(server("one", programs.free_port(), instances=1))
    for _ in range(4):
        manager.restart("web")
    (one,) = manager.get("web").instances
    assert one.pid not in pids(app)
    runtime = ground.volatile_dir(manager.scope) / names.runtime_directory("web", "0", dynamic=False)
    assert (runtime / "failures").read_text() == "0\n"


def test_a_manager_that_executes_itself_anew_loses_no_request(manager: Manager) -> None:
    """The sockets and the instances go over to it."""
    port = programs.free_port()
    before = manager.start(server("one", port))
    with hammer.load(port, clients=16) as tally:
        for _ in range(3):
            tally.wait_for(100)
            subprocess.run(["systemctl", f"--{manager.scope.value}", "daemon-reexec"], check=True)
        tally.wait_for(100)
    assert tally.failures == []
    assert pids(manager.get("web")) == pids(before)
    manager.reload("web")


def test_kill_9_ten_times_costs_only_what_was_being_answered(manager: Manager) -> None:
    """No connection is refused, and nobody waits long: the other instance takes what the killed one cannot."""
    port = programs.free_port()
    manager.start(server("one", port))
    with hammer.load(port, clients=16) as tally:
        for number in range(10):
            tally.wait_for(50)
            manager.send_signal(f"web@{number % 2}", "KILL")
        tally.wait_for(100)
    assert not [failure for failure in tally.failures if "Refused" in failure]
    assert len(tally.failures) <= 10  # each instance answers one at a time
    assert tally.slowest < hammer.STALL


@pytest.mark.systemd
def test_ten_reloads_under_256_clients_fail_no_request(system: Manager) -> None:
    """Nor does one wait long, though the machine is busy with the clients."""
    port = programs.free_port()
    before = system.start(server("one", port))
    with hammer.load(port, clients=256) as tally:
        for _ in range(10):
            tally.wait_for(256)
            (after,) = system.reload("web")
        tally.wait_for(256)
    assert tally.failures == []
    assert tally.slowest < hammer.STALL
    assert not pids(before) & pids(after)


@pytest.mark.systemd
def test_replacing_half_at_a_time_fails_no_request(system: Manager) -> None:
    """As many spare instances help meanwhile as are replaced."""
    port = programs.free_port()
    before = system.start(server("one", port, instances=4))
    with hammer.load(port) as tally:
        (after,) = system.reload("web", options=ReloadOptions(parallel="50%"))
        tally.wait_for(100)
    assert tally.failures == []
    assert not pids(before) & pids(after)
    helped = {int(answer.split()[1]) for answer in tally.answers} - pids(before) - pids(after)
    assert len(helped) == 2
