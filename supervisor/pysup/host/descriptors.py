"""Open file descriptors of processes, which no control group counts; /proc tells their own user and root only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from pysup.host import files


class Descriptors(NamedTuple):
    """Those of several processes together, None where /proc does not tell.

    ``most`` is how many the process has that has the most, ``limit`` how many that one may have (``LimitNOFILE=``): the
    limit is each process's own.
    """

    open: int | None = None
    most: int | None = None
    limit: int | None = None
    sockets: int | None = None


def count(pids: Iterable[int], *, proc: str = "/proc", sockets: bool = False) -> Descriptors:
    """The open files of processes; ``sockets`` counts those among them, which costs a look at each."""
    found = [(total, pid) for pid in pids if (total := _open(f"{proc}/{pid}/fd")) is not None]
    if not found:
        return Descriptors()
    most, greediest = max(found)
    return Descriptors(
        open=sum(total for total, _ in found),
        most=most,
        limit=_limit(greediest, proc),
        sockets=sum(_sockets(f"{proc}/{pid}/fd") for _, pid in found) if sockets else None,
    )


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


def _sockets(directory: str) -> int:
    def is_socket(name: str) -> bool:
        try:
            return os.readlink(f"{directory}/{name}").startswith("socket:")  # noqa: PTH115 (as above)
        except OSError:  # closed since
            return False

    try:
        return sum(map(is_socket, os.listdir(directory)))  # noqa: PTH208
    except OSError:
        return 0
