"""Writing to the standard input of an instance, which systemd holds open as a FIFO."""

from __future__ import annotations

import errno
import os
import select

from pysup import names
from pysup.errors import Conflict, NotPermitted
from pysup.host import ground
from pysup.names import InstanceName
from pysup.unit import Scope

PATIENCE = 5.0
"""How many seconds a program that does not read is waited for, once its input is full."""


def write(scope: Scope, name: InstanceName, data: bytes) -> None:
    """Write to an instance. Raises Conflict if it has no such input, or does not read it; NotPermitted."""
    path = ground.lock_dir(scope) / names.stdin_file(name.app, name.number)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except PermissionError as exc:
        raise NotPermitted(f"{path} is for the app's user and root only", hint="Type sudo before the command.") from exc
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENXIO):
            raise
        raise Conflict(
            f"{name} has no standard input that could be written to",
            hint=f"It must run, and have one: pysup start {name.app} --stdin --force",
        ) from exc
    try:
        _write(descriptor, name, data)
    finally:
        os.close(descriptor)


def _write(descriptor: int, name: InstanceName, data: bytes) -> None:
    while data:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if not poll.poll(PATIENCE * 1000):
            raise Conflict(f"{name} does not read its input", hint="What it did not read is lost when it restarts.")
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            continue
