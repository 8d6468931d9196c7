"""What the first process of a box does before it becomes systemd: namespaces, mounts, devices, rights."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pysup.box import cgroups, kernel
from pysup.box.furnish import furnish
from pysup.box.mounts import Hierarchy
from pysup.box.state import Share

_OLD = Path("/run/.host")  # where the machine's own root is while the box's is being made
_NOTIFY = Path("/run/pysup-box.notify")
_BINARIES = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC

# name: (mode, major, minor), see devices.txt in the kernel's documentation
_DEVICES = {
    "null": (0o666, 1, 3),
    "zero": (0o666, 1, 5),
    "full": (0o666, 1, 7),
    "random": (0o666, 1, 8),
    "urandom": (0o666, 1, 9),
    "tty": (0o666, 5, 0),
}
_OPTIONAL_DEVICES = {"fuse": (0o666, 10, 229), "net/tun": (0o666, 10, 200)}
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}

# What belongs to the machine and not to a box; numbers from linux/capability.h.
FORBIDDEN = {"sys_module": 16, "sys_rawio": 17, "sys_time": 25, "syslog": 34, "wake_alarm": 35, "audit_read": 37}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the first process of a box needs to know."""

    name: str
    machine_id: str
    root: Path
    notify: Path
    console: int
    trees: Sequence[Hierarchy]
    shares: Sequence[Share]
    is_first_boot: bool


def become(plan: Plan, go: int) -> NoReturn:
    """Become the systemd of a box; called in a fresh child, the first of a new PID namespace.

    *go* is a pipe that the parent writes to: if it ends instead, the parent died before the kernel was told to care.
    """
    kernel.die_with_parent(signal.SIGKILL)
    console = os.ttyname(plan.console)  # cannot be found out once /dev is another
    if not os.read(go, 1):
        os._exit(1)
    cgroups.enter(plan.name, plan.trees)
    kernel.unshare(
        kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNET | kernel.CLONE_NEWCGROUP
    )
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    socket.sethostname(plan.name)
    _pivot(plan.root)
    if plan.is_first_boot:
        furnish(plan.name, plan.machine_id)
    _mount_kernel_views(plan.trees)
    _mount_devices(console)
    _mount_run_and_tmp(plan.notify)
    for share in plan.shares:
        _mount_share(share)
    kernel.detach(_OLD)
    _OLD.rmdir()
    # As on a machine: what systemd mounts for a service in a namespace of its own (credentials) must be seen by it.
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
    _drop_rights()
    _exec_systemd(plan)


def _pivot(root: Path) -> None:
    kernel.mount("tmpfs", root / "run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    old = root / _OLD.relative_to("/")
    old.mkdir()
    kernel.pivot_root(root, old)
    os.chdir("/")


def _mount_kernel_views(trees: Sequence[Hierarchy]) -> None:
    kernel.mount("proc", "/proc", "proc", _SAFE)
    for switches in filter(os.path.exists, ("/proc/sys", "/proc/sysrq-trigger")):
        kernel.bind(switches, switches, read_only=True)
    with contextlib.suppress(FileNotFoundError):  # these settings are each network namespace's own
        kernel.bind(_OLD / "proc/sys/net", "/proc/sys/net")
    _give_own_boot_id()
    kernel.mount("sysfs", "/sys", "sysfs", _SAFE | kernel.MS_RDONLY)
    cgroups.mount_inside(trees)


def _give_own_boot_id() -> None:
    # The kernel's is the machine's; with one for each boot of the box, journalctl --boot can tell them apart.
    file = Path("/run/boot-id")
    file.write_text(f"{uuid.uuid4()}\n")
    kernel.bind(file, "/proc/sys/kernel/random/boot_id", read_only=True)
    file.unlink()


def _mount_devices(console: str) -> None:
    # Nodes of its own: what a box does to their owners and modes is not done to the machine's.
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=755,size=4m")
    present = {name: node for name, node in _OPTIONAL_DEVICES.items() if (_OLD / "dev" / name).exists()}
    for name, node in (_DEVICES | present).items():
        _make_device(Path("/dev", name), *node)
    for name, target in _DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    for folder in ("pts", "shm", "mqueue"):
        Path("/dev", folder).mkdir()
    kernel.mount(
        "devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, "newinstance,ptmxmode=666,mode=620,gid=5"
    )
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")  # noqa: S108 - its own
    Path("/dev/console").touch(0o600)
    kernel.bind(f"{_OLD}{console}", "/dev/console")


def _make_device(path: Path, mode: int, major: int, minor: int) -> None:
    path.parent.mkdir(exist_ok=True)
    try:
        os.mknod(path, stat.S_IFCHR | mode, os.makedev(major, minor))
        path.chmod(mode)
    except PermissionError:  # a container that may not make device nodes has them already
        path.touch()
        kernel.bind(f"{_OLD}{path}", path)


def _mount_run_and_tmp(notify: Path) -> None:
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")  # noqa: S108 - the box's own
    _NOTIFY.touch()
    kernel.bind(_OLD / notify.relative_to("/"), _NOTIFY)


def _mount_share(share: Share) -> None:
    source = _OLD / share.host.relative_to("/")
    if source.is_dir():
        share.inside.mkdir(parents=True, exist_ok=True)
    else:
        share.inside.parent.mkdir(parents=True, exist_ok=True)
        share.inside.touch()
    kernel.bind(source, share.inside, read_only=not share.writable)


def _drop_rights() -> None:
    for number in FORBIDDEN.values():
        kernel.drop_capability(number)


def _exec_systemd(plan: Plan) -> NoReturn:
    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for fd in (0, 1, 2):
        os.dup2(plan.console, fd)
    environment = {
        "NOTIFY_SOCKET": str(_NOTIFY),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM": "dumb",
        "container": "pysup-box",
        "container_uuid": plan.machine_id,
    }
    binary = next(path for path in _BINARIES if Path(path).exists())
    os.execve(binary, [binary, "--system", "systemd.show_status=yes"], environment)  # noqa: S606 - no shell is meant
