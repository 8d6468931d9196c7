"""Open file descriptors of processes, which no control group counts; /proc tells their own user and root only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from pysup.host import files


class Descriptors(NamedTuple):
    """Of several processes the one that has the most, None where /proc does not tell.

    ``limit`` is how many that one may have (``LimitNOFILE=``): the limit is each process's own.
    """

    most: int | None = None
    limit: int | None = None


def count(pids: Iterable[int], *, proc: str = "/proc") -> Descriptors:
    """The open files of processes."""
    found = [(total, pid) for pid in pids if (total := _open(f"{proc}/{pid}/fd")) is not None]
    if not found:
        return Descriptors()
    most, greediest = max(found)
    return Descriptors(most=most, limit=_limit(greediest, proc))


def _open(directory: str) -> int | None:
    try:
        # Since Linux 6.2 the directory's size is their number: proc_pid_fd(5). Before, and with none open, it is 0.
        return os.stat(directory).st_size or len(os.listdir(directory))  # noqa: PTH116, PTH208 (asked often)
    except OSError:
        return None


def _limit(pid: int, proc: str) -> int | None:
    _, _, row = (files.whole(f"{proc}/{pid}/limits") or b"").partition(b"\nMax open files ")
    soft = row.split(maxsplit=1)[:1]
    return int(soft[0]) if soft and soft[0].isdigit() else None
