"""The system calls that make namespaces and mounts and that Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str | Path, target: str | Path, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, or what *flags* say; the OSError names the target."""
    args = (os.fsencode(source), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), os.fsencode(data))
    _check(_libc.mount(*args), target)


def bind(source: str | Path, target: str | Path, *, read_only: bool = False) -> None:
    """Make *source* (a file or folder, without what is mounted below it) visible at *target* as well."""
    mount(source, target, flags=MS_BIND)
    if read_only:
        mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def detach(target: str | Path) -> None:
    """Take a mount, and all that is mounted below it, out of this namespace at once."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), target)


def pivot_root(new: str | Path, old: str | Path) -> None:
    """Make *new* the root of this mount namespace; the former root is then at *old*."""
    _check(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), new)


def unshare(namespaces: int) -> None:
    """Leave the given namespaces (``CLONE_NEW…``) for fresh ones."""
    _check(_libc.unshare(namespaces), "unshare")


def rejoin_pid_namespace() -> None:
    """Undo ``unshare(CLONE_NEWPID)`` for the children to come; without this none can be made once the init is gone."""
    fd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, CLONE_NEWPID), "setns")
    finally:
        os.close(fd)


def die_with_parent(signal: int) -> None:
    """Have the kernel send *signal* to this process when the thread that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, *_longs(signal, 0, 0, 0)), "prctl")


def drop_capability(number: int) -> None:
    """Take a capability from this process's bounding set, for good and for all its children."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, *_longs(number, 0, 0, 0)), "prctl")


def _longs(*values: int) -> list[ctypes.c_ulong]:
    return [ctypes.c_ulong(value) for value in values]


def _check(result: int, what: str | Path) -> None:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(what))
