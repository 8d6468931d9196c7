"""Sockets that systemd holds for an app, and reloads that lose no connection: on a real systemd, under load."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hammer
import programs
from clusters import pids, server
from pysup.errors import Conflict, SpecError, StartFailed
from pysup.health import Ready, ReadyWhen
from pysup.listen import parse
from pysup.reload import ReloadOptions
from pysup.sync import Manager


def test_instances_share_the_socket_that_systemd_holds(manager: Manager) -> None:
    """Each answers, and the port is the app's as long as it is started."""
    port = programs.free_port()
    status = manager.start(server("one", port))
    with hammer.load(port) as tally:
        tally.wait_for(300)
    assert tally.failures == []
    assert set(tally.answers) <= {f"one {pid}" for pid in pids(status)}


def test_ten_reloads_under_load_lose_no_request(manager: Manager) -> None:
    """Nor does one of them wait long."""
    port = programs.free_port()
    before = manager.start(server("one", port))
    with hammer.load(port, clients=16) as tally:
        for _ in range(10):
            tally.wait_for(20)
            (after,) = manager.reload("web")
        tally.wait_for(100)
    assert tally.failures == []
    assert tally.slowest < hammer.STALL
    assert not pids(before) & pids(after)


@pytest.mark.parametrize(
    ("running", "cpus", "at_once"), [(1, 8, 1), (2, 8, 1), (3, 8, 2), (4, 2, 2), (4, 1, 1), (16, 8, 4), (64, 8, 8)]
)
def test_usually_two_are_replaced_at_a_time_or_a_quarter(running: int, cpus: int, at_once: int) -> None:
    """No more than there are CPUs; each with a spare, and one by one where there is none that shares the sockets."""
    app = server("one", 8080)
    usual = ReloadOptions()
    assert usual.at_once(app, running, cpus) == at_once
    assert usual.spares(app, at_once) == at_once
    for alone in (replace(app, spread=True), replace(app, listen=(), port=8000)):
        assert usual.at_once(alone, running, cpus) == 1
    assert ReloadOptions(surge=False).at_once(app, running, cpus) == 1
    assert ReloadOptions(surge=False).spares(app, 1) == 0


def test_a_reload_takes_changed_code_and_changed_settings(manager: Manager, tmp_path: Path) -> None:
    """The file on disk as it is now; and a new spec, when one is given."""
    port, version = programs.free_port(), tmp_path / "version"
    tmp_path.chmod(0o755)
    version.write_text("old")
    app = server(str(version), port)
    manager.start(app)
    with hammer.load(port) as tally:
        version.write_text("new")
        manager.reload("web")
        after = manager.reload(replace(app, command=(*app.command[:-1], "changed")))[0]
        tally.wait_for(50, answer=f"changed {after.instances[0].pid}")
    assert tally.failures == []
    assert {answer.split()[0] for answer in tally.answers} >= {"new", "changed"}


def test_a_reload_may_add_and_remove_instances(manager: Manager) -> None:
    """All run the new settings, and nobody who came meanwhile was refused."""
    port = programs.free_port()
    app = server("one", port)
    manager.start(app)
    with hammer.load(port) as tally:
        tally.wait_for(20)
        for count, version in ((4, "two"), (1, "three")):
            new = replace(app, instances=count, command=(*app.command[:-1], version))
            (after,) = manager.reload(new)
            assert [str(one.name) for one in after.instances if one.is_up] == [f"web@{n}" for n in range(count)]
            tally.wait_for(20, answer=f"{version} {after.instances[-1].pid}")
    assert tally.failures == []


@pytest.mark.parametrize(
    ("broken", "when", "why"),
    [
        ("crash", "notify", "an exception that it does not catch"),
        ("mute", "notify", "not ready within 1.5 s: it did not say READY=1"),
        ("crash", "http", "an exception that it does not catch"),
        ("deaf", "http", "nobody accepts on its own socket"),
        ("500", "http", "answered 500, wanted 200 to 399"),
        ("deaf", "tcp", "nobody accepts on its own socket"),
    ],
)
def test_a_broken_version_touches_nothing(manager: Manager, broken: str, when: str, why: str) -> None:
    """One that ends at once, one that is never ready, one that says 500: same processes, nothing lost, the reason told.

    That its siblings, on the same socket, would have answered well does not help it.
    """
    port = programs.free_port()
    ready = Ready(when=ReadyWhen(when), port=port, url=f"http://127.0.0.1:{port}/health", timeout=5)
    app = server("one", port, ready=ready)
    before = manager.start(app)
    with hammer.load(port) as tally:
        with pytest.raises(StartFailed, match="nothing else was touched") as caught:
            manager.reload(replace(app, command=(*app.command[:-1], broken), ready=replace(ready, timeout=1.5)))
        tally.wait_for(50)
    after = manager.get("web")
    assert (pids(after), after.spec) == (pids(before), app)
    assert tally.failures == []
    assert why in caught.value.message
    if broken == "crash":
        assert caught.value.log == ("version crash cannot start",)
    elif broken != "mute":
        assert "not ready: " in caught.value.log[-1]


def test_a_version_that_fails_later_stops_the_reload_and_puts_the_settings_back(manager: Manager) -> None:
    """Without a spare, the first instance is the proof; it gets the old settings again."""
    port = programs.free_port()
    app = server("one", port)
    before = manager.start(app)
    with hammer.load(port) as tally:
        with pytest.raises(StartFailed, match="old settings are back"):
            manager.reload(
                replace(app, command=(*app.command[:-1], "crash")), options=ReloadOptions(surge=False, rollback=True)
            )
        tally.wait_for(50)
    after = manager.get("web")
    assert after.spec == app
    assert all(one.is_up for one in after.instances)
    assert after.instances[1].pid == before.instances[1].pid
    assert tally.failures == []


def test_scaling_under_load_loses_nothing(manager: Manager) -> None:
    """2 to 8 to 2."""
    port = programs.free_port()
    manager.start(server("one", port))
    with hammer.load(port) as tally:
        for count in (8, 2):
            manager.scale("web", count)
            tally.wait_for(50)
    assert tally.failures == []


def test_a_stopped_app_is_not_started_by_the_next_connection(manager: Manager) -> None:
    """Its socket is closed with it, also when its instances are stopped one by one."""
    port = programs.free_port()
    manager.start(server("one", port))
    for selectors in ("web", ["web@0", "web@1"]):
        manager.start("web")
        manager.stop(selectors)
        with hammer.load(port, clients=1) as tally:
            tally.wait_for(3)
        assert not tally.answers
        assert not any(one.is_up for one in manager.list()[0].instances)


def test_each_instance_has_a_socket_of_its_own_when_spread(manager: Manager) -> None:
    """The kernel deals the connections out, evenly: they come within 20 % of each other."""
    port = programs.free_port()
    status = manager.start(server("one", port, spread=True))
    with hammer.load(port) as tally:
        tally.wait_for(3000)
    assert tally.failures == []
    shares = [tally.answers[f"one {pid}"] for pid in pids(status)]
    assert min(shares) > 0.8 * max(shares)
    with hammer.load(port) as tally:
        for _ in range(3):
            (after,) = manager.reload("web")
        tally.wait_for(100)
    assert tally.failures == []
    assert tally.slowest < hammer.STALL
    assert not pids(status) & pids(after)


def test_a_unix_socket_has_the_mode_that_was_asked_for(manager: Manager, tmp_path: Path) -> None:
    """And goes away with the app."""
    path = tmp_path / "web.sock"
    listen = parse(f"{path},mode=0600")
    manager.start(server("one", 80, listen=(listen,)))
    assert path.stat().st_mode & 0o777 == 0o600
    with hammer.load(str(path)) as tally:
        tally.wait_for(20)
    assert tally.failures == []
    manager.stop("web")
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["http", "70000", "1.2.3.4", "a.sock", "/x,mode=9", "8080,what=1", "8080,mode=0600", "a b=8080"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(SpecError):
        parse(text)


def test_a_second_reload_at_the_same_time_is_refused(manager: Manager) -> None:
    """It says that one is under way."""
    port = programs.free_port()
    manager.start(server("one", port))
    with manager._store.claim("web", "reload"), pytest.raises(Conflict, match="reload"):
        manager.reload("web")


def test_what_a_killed_reload_left_is_finished_by_the_next(manager: Manager) -> None:
    """The spare of the first goes, and all instances are new."""
    port = programs.free_port()
    before = manager.start(server("one", port))
    script = (
        "import os, signal, sys; from pysup import starting; from pysup.sync import Manager\n"
        "from pysup.unit import Scope\n"
        "starting.survive_alone = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Manager(Scope(sys.argv[1])).reload('web')"
    )
    done = subprocess.run([sys.executable, "-c", script, manager.scope.value], check=False)
    assert done.returncode == -signal.SIGKILL
    assert manager._store.has_spare("web")
    (after,) = manager.reload("web")
    assert not manager._store.has_spare("web")
    assert not pids(before) & pids(after)


def test_doctor_finds_an_instance_without_its_descriptor(manager: Manager) -> None:
    """Whoever overrides the units can bring that about; it runs, and nobody can reach it."""
    manager.start(server("one", programs.free_port()))
    assert [check for check in manager.doctor() if check.name == "web"] == []
    folder = manager._store.runtime / "pysup-web@1.service.d"
    folder.mkdir()
    (folder / "override.conf").write_text(
        "[Service]\nType=exec\nExecStart=\nExecStart=env -u LISTEN_FDS sleep infinity\n"
    )
    subprocess.run(["systemctl", f"--{manager.scope.value}", "daemon-reload"], check=True)
    manager.restart("web@1")
    (found,) = [check for check in manager.doctor() if "listening socket" in check.message]
    (folder / "override.conf").unlink()
    folder.rmdir()
    assert "pysup-web@1.service without a listening socket" in found.message
    assert "pysup start web" in found.remedy
