"""Metrics where control groups are v2, on systemd 257: what is counted there, what an app has of it, and history."""

from __future__ import annotations

import contextlib
import socket

import pytest

import apps
import programs
from pysup import local, parse
from pysup.app import Limits
from pysup.host.cgroups.reading import Source
from pysup.listen import Listen
from pysup.metrics import recorder, sampling
from pysup.sync import Manager
from pysup.unit import Scope

pytestmark = pytest.mark.vm

MEGABYTE = 1 << 20

# Writes a file to the disk, has a child killed for its memory, says that it is ready, and uses all CPU that it gets.
GREEDY = """
import os, socket, subprocess, sys, tempfile
with tempfile.TemporaryFile(dir="/var/tmp") as file:
    file.write(bytes(4 << 20)); file.flush(); os.fsync(file.fileno())
subprocess.run([sys.executable, "-I", "-c", "held = b'x' * (90 << 20)"])
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
while True: pass
"""


def test_all_that_the_kernel_counts_is_told(scope: Scope) -> None:
    """By the instance's control group and by the app's; IO of a user's own by its processes."""
    port = programs.free_port()
    app = apps.app(
        command=(*programs.PYTHON, GREEDY),
        limits=Limits(memory_max=48 * MEGABYTE, memory_high=48 * MEGABYTE, cpu_quota=0.8, tasks_max=50),
        listen=(Listen(address=str(port)),),
        ready=parse.ready("notify", timeout=120),
        service={"OOMPolicy": ("continue",), "IOAccounting": ("yes",), "MemorySwapMax": ("0",)},
    )
    with Manager(scope) as manager, contextlib.ExitStack() as clients:
        manager.start(app)
        for _ in range(3):
            clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        (found,) = sampling.take(local.store(scope), scope).apps
        manager.delete("web")
    (one,) = found.instances
    memory, tasks, cpu, io = one.reading.memory, one.reading.tasks, one.reading.cpu, one.reading.io
    assert {memory.source, tasks.source, cpu.source, found.reading.memory.source} == {Source.V2}
    assert (memory.max, memory.limit, memory.high) == (48 * MEGABYTE,) * 3
    assert MEGABYTE < (memory.current or 0) < 36 * MEGABYTE < (memory.peak or 0) <= 48 * MEGABYTE
    assert (memory.oom_kills, found.reading.memory.oom_kills) == (1, 1)
    assert (tasks.current, tasks.max) == (1, 50)
    assert 0 < (cpu.seconds or 0) <= (found.reading.cpu.seconds or 0)
    assert cpu.throttled_seconds
    assert io.source is (Source.V2 if scope is Scope.SYSTEM else Source.PROCESSES)
    assert (io.written_bytes or 0) >= 4 * MEGABYTE
    for pressure in one.reading.pressure:
        assert pressure
        assert pressure.some
    assert one.reading.descriptors.most
    assert found.queues[str(port)].waiting == 3
    assert found.queues[str(port)].limit >= 128


def test_history_has_what_systemd_counts(scope: Scope) -> None:
    """As the script finds it that the timer runs; what is not counted is written in another way than by systemd 252."""
    with Manager(scope) as manager:
        manager.start(apps.app())
        (found,) = recorder.sample(f"--{scope}")
        manager.delete("web")
    assert found.key == recorder.key("web@0")
    assert found.cpu >= 0
    assert found.memory
    assert (found.tasks, found.restarts) == (1, 0)
