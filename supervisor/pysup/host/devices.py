"""Block devices: whether systemd finds one beneath a path, as limits of I/O need."""

from __future__ import annotations

import os
import stat

from pysup.host import files


def objection(path: str) -> str:
    """Why systemd finds no block device for *path*; nothing if it does, or may.

    It takes a device itself, else the one that a file is on. Files of btrfs do not tell theirs, and yet it finds it: so
    a file system counts as one without a device only if the kernel says so (``lookup_block_device`` of systemd).
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as exc:
        return exc.strerror or str(exc)
    try:
        found = os.fstat(fd)
        if stat.S_ISCHR(found.st_mode):
            return "it is a character device"
        if stat.S_ISBLK(found.st_mode) or os.major(found.st_dev):
            return ""
        kind = file_system(_text("self/mountinfo"), _text(f"self/fdinfo/{fd}"))
    finally:
        os.close(fd)
    return f"its file system, {kind}, is on no block device" if is_deviceless(kind, _text("filesystems")) else ""


def file_system(mounts: str, fdinfo: str) -> str:
    """The type of the file system that an open file is on; nothing if it is not among the *mounts*."""
    mount = next((line.split()[1] for line in fdinfo.splitlines() if line.startswith("mnt_id:")), "")
    lines = (line.partition(" - ") for line in mounts.splitlines())
    return next((rest.split()[0] for first, _, rest in lines if first.split()[:1] == [mount]), "")


def is_deviceless(kind: str, known: str) -> bool:
    """Whether file systems of this type are on no block device, by /proc/filesystems.

    An automount that nobody has entered yet stands for another one, which may be.
    """
    return kind != "autofs" and f"nodev\t{kind.partition('.')[0]}" in known.splitlines()  # fuse.sshfs is fuse


def _text(name: str) -> str:
    return (files.read(f"/proc/{name}") or b"").decode(errors="replace")
