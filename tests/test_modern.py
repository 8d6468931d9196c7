"""What only cgroup v2 and a systemd of today can show: limits that hold and are hit, ends for want of memory."""

from __future__ import annotations

import time

import pytest

import apps
import hammer
import programs
from pysup import parse
from pysup.app import Limits
from pysup.events import Exited, Failed, LimitHit
from pysup.listen import Listen
from pysup.sync import Manager
from pysup.unit import Scope

pytestmark = pytest.mark.vm

MEGABYTE = 1 << 20

# Takes as many megabytes as its argument says, and keeps them.
EATER = "import sys, threading; held = b'x' * (int(sys.argv[1]) << 20); threading.Event().wait()"

# Tries to make a process, again and again.
FORKS = """
import os, time
while True:
    try:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    except OSError:
        time.sleep(0.1)
"""

# Serves on the socket that it is given, and ends when it has answered what it has accepted.
SERVER = """
import http.server, os, signal, socket, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
server = Server(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
server.serve_forever(0.05)
server.server_close()
"""


def test_an_instance_that_the_kernel_killed_for_memory_is_told_so(manager: Manager) -> None:
    """As it happens, as history, and by why: with what it used at most."""
    command = (*programs.PYTHON, EATER, "160")
    app = apps.app("hog", command=command, limits=Limits(memory_max=80 * MEGABYTE), restart="no")
    with manager.watch() as events:
        manager.start(app, wait=False)
        live = next(one for one in events if isinstance(one, Exited))
    assert (live.result, live.by) == ("oom-kill", "kernel")
    deadline = time.monotonic() + 60
    while not ((endings := manager.why("hog")[0].endings) and endings[0].peak):  # journald has it a moment later
        assert time.monotonic() < deadline, endings
    ending = endings[0]
    assert (ending.exited.result, ending.exited.by) == ("oom-kill", "kernel")
    assert ending.meaning
    assert ending.meaning.what.startswith("the kernel killed it for want of memory")
    assert 64 * MEGABYTE < (ending.peak or 0) <= 80 * MEGABYTE


def test_limits_that_are_hit_are_told_while_somebody_watches(manager: Manager) -> None:
    """Soft memory, CPU and tasks, each of another app."""
    shared = {"restart": "no", "stop_timeout": 1.0}
    with manager.watch() as events:
        soft = Limits(memory_high=24 * MEGABYTE)
        manager.start(apps.app("soft", command=(*programs.PYTHON, EATER, "32"), limits=soft, **shared), wait=False)
        busy = programs.shell("while :; do :; done")
        manager.start(apps.app("busy", command=busy, limits=Limits(cpu_quota=0.05), **shared), wait=False)
        forks = (*programs.PYTHON, FORKS)
        manager.start(apps.app("forks", command=forks, limits=Limits(tasks_max=1), **shared), wait=False)
        wanted = {("soft", "memory-high"), ("busy", "cpu"), ("forks", "tasks")}
        for event in events:
            if isinstance(event, LimitHit):
                wanted -= {(event.app, event.limit)}
            if not wanted:
                break


def test_limits_are_in_force_and_use_is_counted(manager: Manager, scope: Scope) -> None:
    """By the kernel's own files of the instance's group; a user's manager is delegated cpu, memory and pids."""
    limits = Limits(
        memory_max=80 * MEGABYTE, memory_high=64 * MEGABYTE, tasks_max=9, cpu_quota=1.5, cpu_weight=50, io_weight=20
    )
    status = manager.start(apps.app(command=(*programs.PYTHON, EATER, "16"), limits=limits))
    (described,) = manager.describe("web")
    found = described.instances[0].limits
    assert (found.memory_max, found.memory_high) == (80 * MEGABYTE, 64 * MEGABYTE)
    assert (found.tasks_max, found.cpu_quota, found.cpu_weight) == (9, 1.5, 50)
    assert found.io_weight == (20 if scope is Scope.SYSTEM else None)
    use = manager.get("web").instances[0].usage
    assert use.source == "cgroup"
    assert use.tasks
    assert use.memory
    assert use.cpu_seconds
    assert status.instances[0].name == described.instances[0].instance.name


def test_a_crash_loop_is_braked(manager: Manager) -> None:
    """systemd gives it up after as many starts as it may have."""
    with manager.watch() as events:
        manager.start(apps.app("broken", command=programs.shell("exit 3"), restart_limit=3), wait=False)
        failed = next(one for one in events if isinstance(one, Failed))
    assert (failed.result, failed.gave_up) == ("start-limit-hit", True)
    assert manager.get("broken").instances[0].state == "failed"


def test_a_core_dump_is_found(manager: Manager) -> None:
    """systemd-coredump is installed there, and keeps it."""
    with manager.watch() as events:
        manager.start(apps.app("faulty", command=programs.shell("kill -SEGV $$"), restart="no"), wait=False)
        next(one for one in events if isinstance(one, Exited))
    (told,) = manager.why("faulty")
    assert told.endings[0].exited.dumped
    assert told.endings[0].exited.by == "itself"


def test_a_reload_behind_a_shared_socket_loses_no_request(manager: Manager) -> None:
    """Of two instances, with a few clients."""
    port = programs.free_port()
    ready = parse.ready("notify", timeout=60)
    app = apps.app(command=(*programs.PYTHON, SERVER), instances=2, listen=(Listen(address=str(port)),), ready=ready)
    before = manager.start(app)
    with hammer.load(port, clients=2) as tally:
        tally.wait_for(10)
        (after,) = manager.reload("web")
        tally.wait_for(10)
    assert tally.failures == []
    assert not {one.pid for one in before.instances} & {one.pid for one in after.instances}
