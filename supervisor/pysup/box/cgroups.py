"""A box's own cgroup in every hierarchy of the machine: make it, enter it, show it inside, remove it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pysup.box import kernel, mounts
from pysup.box.mounts import Hierarchy
from pysup.errors import BoxError

_MOUNT_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_REMOVE_SECONDS = 10.0
_ENTERED = "entered"
_USED_BY_SYSTEMD = frozenset(("cpu", "cpuset", "io", "memory", "pids"))


def discover() -> list[Hierarchy]:
    """The hierarchies of this machine; BoxError when systemd would have none to keep its units in."""
    found = mounts.hierarchies(mounts.current())
    if not any(tree.is_systemds for tree in found):
        raise BoxError(
            "no cgroup hierarchy that systemd can use is mounted (cgroup2, or cgroup v1 with name=systemd)",
            hint="Try: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    return found


def create(name: str, trees: Sequence[Hierarchy]) -> None:
    """Make the box's cgroup in each of *trees*, with the controllers that its parent can give."""
    for tree in trees:
        if tree.is_v2:
            _hand_down_controllers(tree.where)
        group = _group(tree, name)
        group.mkdir()
        if "cpuset" in tree.controllers:
            _copy_cpuset(tree.where, group)
        if tree.is_systemds:
            (group / _ENTERED).mkdir()


def enter(name: str, trees: Sequence[Hierarchy]) -> None:
    """Move this process into the box's cgroups."""
    for tree in trees:
        (_group(tree, name) / "cgroup.procs").write_text("0")


def of_entered(name: str) -> list[Path]:
    """The cgroups, beside systemd's own units, for commands that are run in a box from outside.

    They cannot stay in their caller's: systemd 257's logind refuses who is outside of its cgroup namespace (EUNATCH).
    """
    return [_group(tree, name) / _ENTERED for tree in discover() if tree.is_systemds]


def remove(name: str, trees: Sequence[Hierarchy]) -> None:
    """Kill what is in the box's cgroups and remove them; fine when there are none."""
    for tree in trees:
        group = _group(tree, name)
        kill(group)
        for folder, _folders, _files in os.walk(group, topdown=False):
            _remove_empty(Path(folder))


def kill(group: Path) -> None:
    """SIGKILL every process in *group* and below, and wait until they are dead."""
    while pids := _processes(group):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_dead(pid)


def wait_dead(pid: int) -> None:
    """Wait until a process of the box is dead, if it is not yet."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        if not poller.poll(_REMOVE_SECONDS * 1000):
            raise BoxError(f"process {pid} of the box does not die", hint=f"Look at: ps -o stat,wchan,args {pid}")
    finally:
        os.close(fd)


def mount_inside(trees: Sequence[Hierarchy], where: Path = Path("/sys/fs/cgroup")) -> None:
    """Mount *trees* below *where* in the layout that systemd expects, seen from this process's cgroup namespace."""
    if all(tree.is_v2 for tree in trees):
        kernel.mount("cgroup2", where, "cgroup2", _MOUNT_FLAGS)
        return
    kernel.mount("tmpfs", where, "tmpfs", _MOUNT_FLAGS, "mode=755")
    for tree in trees:
        _mount_beside_v1(tree, where)


def _mount_beside_v1(tree: Hierarchy, where: Path) -> None:
    if tree.is_v2:
        (where / "unified").mkdir()
        kernel.mount("cgroup2", where / "unified", "cgroup2", _MOUNT_FLAGS)
        return
    options = ",".join(tree.controllers)
    folder = where / options.removeprefix("name=")
    folder.mkdir()
    kernel.mount("cgroup", folder, "cgroup", _MOUNT_FLAGS, f"none,{options}" if "name=" in options else options)
    if len(tree.controllers) > 1:
        for controller in tree.controllers:
            (where / controller).symlink_to(folder.name)


def _group(tree: Hierarchy, name: str) -> Path:
    return tree.where / f"pysup-box-{name}"


def _hand_down_controllers(parent: Path) -> None:
    for controller in _USED_BY_SYSTEMD.intersection((parent / "cgroup.controllers").read_text().split()):
        # Refused where processes sit in the parent itself (a container's top); the box then does without.
        with contextlib.suppress(OSError):
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def _copy_cpuset(parent: Path, group: Path) -> None:
    # A v1 cpuset starts empty and takes no process before it has CPUs and memory nodes.
    for file in ("cpuset.cpus", "cpuset.mems"):
        (group / file).write_text((parent / file).read_text())
    (group / "cgroup.clone_children").write_text("1")


def _processes(group: Path) -> set[int]:
    pids: set[int] = set()
    for folder, _folders, _files in os.walk(group):
        with contextlib.suppress(OSError):
            pids.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return pids


def _remove_empty(group: Path) -> None:
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError as exc:
            # The kernel takes a dead task off its cgroup a moment after its parent has heard of the death,
            # and v1 has nothing to wait on for that.
            if exc.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.002)
