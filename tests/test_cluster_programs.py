"""Programs as they are, started by pysup on a socket that systemd holds: asked apart, and killed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import apps
import hammer
import node_apps
import programs
from pysup import parse
from pysup.app import App
from pysup.health import Watchdog, WatchdogWhen
from pysup.listen import Listen
from pysup.sync import Manager

TESTS = str(Path(__file__).parent)
BIN = Path(sys.executable).parent


@pytest.fixture
def manager() -> Iterator[Manager]:
    """The machine's; what a test started in it is deleted after."""
    with Manager() as made:
        yield made
        made.delete("all")


def listening(port: int, command: tuple[str, ...], **fields: object) -> App:
    """Two instances that share a port."""
    return apps.app(command=command, instances=2, listen=(Listen(address=str(port)),), **fields)


def node(program: str, port: int) -> App:
    """A Node program that knows PORT only; it is ready once it listens, which the preload tells."""
    command = (shutil.which("node") or "node", str(node_apps.program(program)))
    return listening(port, command, env={"PORT": str(port)}, ready=parse.ready("notify", timeout=20))


def gunicorn(port: int) -> App:
    """gunicorn finds its sockets, and tells when it is ready, by itself."""
    command = (str(BIN / "gunicorn"), "--chdir", TESTS, "--workers", "1", "web_programs:wsgi")
    return listening(port, command, ready=parse.ready("notify", timeout=20))


@pytest.mark.systemd
@pytest.mark.parametrize("kind", ["http.cjs", "cluster.cjs", "gunicorn"])
def test_each_instance_is_asked_on_a_socket_of_its_own(manager: Manager, kind: str) -> None:
    """Unmodified programs answer there, too, through start, reload and scale; a watch over them finds nothing wrong."""
    port = programs.free_port()
    url = f"http://127.0.0.1:{port}/"
    watchdog = Watchdog(when=WatchdogWhen.HTTP, url=url, interval=0.1, failures=1)
    app = gunicorn(port) if kind == "gunicorn" else node(kind, port)
    manager.start(replace(app, ready=parse.ready(f"{url} 200", timeout=20), watchdog=watchdog))
    with hammer.load(port) as tally:
        tally.wait_for(50)
        manager.reload("web")
        after = manager.scale("web", 3)
        tally.wait_for(200)
    # What a cluster's primary drains is its workers' business.
    assert tally.failures == [] or kind == "cluster.cjs"
    assert [(one.state, one.restarts) for one in after.instances] == [("active", 0)] * 3
    asked = [manager.list()[0].instances[number].pid for number in range(3)]
    assert asked == [one.pid for one in after.instances]


@pytest.mark.systemd
def test_kill_9_of_an_instance_costs_only_what_it_was_answering(manager: Manager) -> None:
    """No connection is refused, and the other instance goes on."""
    port = programs.free_port()
    manager.start(node("http.cjs", port))
    with hammer.load(port, clients=16) as tally:
        for number in (0, 1, 0, 1):
            tally.wait_for(100)
            manager.send_signal(f"web@{number}", "KILL")
        tally.wait_for(200)
    assert not [failure for failure in tally.failures if "Refused" in failure]
    assert len(tally.failures) <= 4 * 16
