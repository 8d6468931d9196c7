"""What running processes may have and where they run, changed from outside."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Collection

from pysup.host.processes import PROC


def set_nofile(pid: int, count: int) -> bool:
    """Let a process have so many open files; False if it is not ours to allow. prlimit(2)."""
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, count))
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return True


def set_affinity(pid: int, cpus: Collection[int]) -> bool:
    """Have a process and its threads run on these CPUs; False if they may not. sched_setaffinity(2)."""
    try:
        for thread in os.listdir(f"{PROC}/{pid}/task"):  # noqa: PTH208 (names)
            with contextlib.suppress(ProcessLookupError):  # that one ended; the others are still to be moved
                os.sched_setaffinity(int(thread), cpus)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
