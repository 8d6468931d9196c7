"""Keep what instances use in a ring file: copied beside the units, and run there by a timer; the standard library only.

    python3 -I -B pysup-history.py --system|--user FILE SLOTS

The file has a head and SLOTS records of one size, so it never grows: a record for each instance and each run of this,
the oldest overwritten by the newest. Where to go on stands in the head. A record that was only half written does not
fit its checksum, and is none. Whoever reads it need not wait for who writes.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

MAGIC = b"PYSUPRNG"
VERSION = 1
HEAD = struct.Struct("<8sIIQ40x")  # magic, version, slots, the slot that comes next
BODY = struct.Struct("<dQdQII")  # when, whose, CPU seconds, bytes of memory, tasks, restarts
CHECK = struct.Struct("<I")
SIZE = BODY.size + CHECK.size + 4  # 48: a multiple of 8
UNKNOWN = (1 << 64) - 1

_PROPERTIES = ("Id", "ActiveState", "NRestarts", "CPUUsageNSec", "MemoryCurrent", "TasksCurrent", "ControlGroup")
_TREES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Record(NamedTuple):
    """One instance at one time. ``key`` is whose it is; CPU in seconds, memory in bytes, -1 and None if not known."""

    at: float
    key: int
    cpu: float
    memory: int | None
    tasks: int
    restarts: int


def key(instance: str) -> int:
    """What stands for ``web@0``."""
    return int.from_bytes(hashlib.blake2b(instance.encode(), digest_size=8).digest(), "little")


def pack(record: Record) -> bytes:
    """A record as the file has it."""
    memory = UNKNOWN if record.memory is None else min(record.memory, UNKNOWN - 1)
    body = BODY.pack(record.at, record.key, record.cpu, memory, _small(record.tasks), _small(record.restarts))
    return body + CHECK.pack(zlib.crc32(body)) + bytes(4)


def unpack(data: bytes) -> Record | None:
    """The record, or None for an empty slot, half a record, and anything else."""
    body = data[: BODY.size]
    if len(data) != SIZE or CHECK.unpack_from(data, BODY.size)[0] != zlib.crc32(body) or not any(body):
        return None
    at, whose, cpu, memory, tasks, restarts = BODY.unpack(body)
    if not (0 < at < 1e11 and -1 <= cpu < 1e15):  # also when it is not a number
        return None
    return Record(at, whose, cpu, None if memory == UNKNOWN else memory, tasks, restarts)


def write(path: str, slots: int, records: Iterable[Record]) -> None:
    """Put records in the place of the oldest; a file that is not one of ours, or of another size, is begun anew."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        size = HEAD.size + slots * SIZE
        place = following(os.pread(fd, HEAD.size, 0), slots)
        if place is None or os.fstat(fd).st_size != size:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, size)
            place = 0
        for record in records:
            os.pwrite(fd, pack(record), HEAD.size + place * SIZE)
            place = (place + 1) % slots
        os.pwrite(fd, HEAD.pack(MAGIC, VERSION, slots, place), 0)
    finally:
        os.close(fd)


def following(head: bytes, slots: int) -> int | None:
    """The slot that comes next; None if that is no head of a file with so many."""
    if len(head) != HEAD.size:
        return None
    magic, version, found, place = HEAD.unpack(head)
    return int(place) if (magic, version, found) == (MAGIC, VERSION, slots) and place < slots else None


def sample(manager: str) -> Iterator[Record]:
    """All instances that run."""
    command = ["systemctl", manager, "show", "pysup-*@*.service", *(f"--property={name}" for name in _PROPERTIES)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, stdin=subprocess.DEVNULL)
    now = time.time()
    for block in done.stdout.decode(errors="replace").split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = unit.get("Id", "").removeprefix("pysup-").removesuffix(".service")
        if unit.get("ActiveState") in ("active", "activating", "reloading") and name.rpartition("@")[2].isdigit():
            yield _record(now, name, unit)


def _record(now: float, name: str, unit: Mapping[str, str]) -> Record:
    cpu, memory, tasks = (_count(unit.get(one, "")) for one in ("CPUUsageNSec", "MemoryCurrent", "TasksCurrent"))
    seconds = -1.0 if cpu is None else cpu / 1e9
    if cpu is None or memory is None or tasks is None:  # nobody counts: a user's manager on cgroup v1
        used, held, threads = _processes(unit.get("ControlGroup", ""))
        seconds = used if cpu is None else seconds
        memory = held if memory is None else memory
        tasks = threads if tasks is None else tasks
    return Record(now, key(name), seconds, memory, tasks, _count(unit.get("NRestarts", "")) or 0)


def _processes(group: str) -> tuple[float, int | None, int]:
    """CPU seconds, bytes and threads of the processes of a control group: proc_pid_stat(5)."""
    fields = []
    for tree in _TREES:
        try:
            with open(f"{tree}{group}/cgroup.procs") as file:
                pids = file.read().split()
        except OSError:
            continue
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields.append(file.read().rpartition(")")[2].split())
            except OSError:
                continue
        break
    if not fields:
        return -1.0, None, 0
    ticks = sum(int(number) for one in fields for number in one[11:15])
    return ticks / _TICKS, sum(int(one[21]) for one in fields) * _PAGE, sum(int(one[17]) for one in fields)


def _count(text: str) -> int | None:
    # 2^64-1 is what systemd says where nobody counts; newer ones say [not set].
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _small(number: int) -> int:
    return max(0, min(number, (1 << 32) - 1))


def main() -> None:
    """One look."""
    manager, path, slots = sys.argv[1:4]
    write(path, int(slots), list(sample(manager)))


if __name__ == "__main__":
    main()
