"""The ring file of what instances used: read, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pysup.errors import NotPermitted
from pysup.metrics import recorder
from pysup.metrics.recorder import HEAD, SIZE, Record
from pysup.names import InstanceName


class Point(NamedTuple):
    """What an instance used at a time: CPUs since the point before (None at first), bytes, tasks."""

    at: float
    cpus: float | None
    memory: int | None
    tasks: int
    restarts: int


def read(path: Path) -> list[Record]:
    """All records, in order of time; none of a file that is not there, or is not one of ours.

    Raises NotPermitted if it is somebody else's.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as exc:
        raise NotPermitted(f"{path} may not be read", hint="Run as its owner, or with sudo.") from exc
    return records(data)


def records(data: bytes) -> list[Record]:
    """Those in the bytes of a file."""
    if len(data) < HEAD.size or HEAD.unpack_from(data)[:2] != (recorder.MAGIC, recorder.VERSION):
        return []
    found = (recorder.unpack(data[start : start + SIZE]) for start in range(HEAD.size, len(data), SIZE))
    return sorted((record for record in found if record), key=lambda record: record.at)


def series(
    found: Iterable[Record], instances: Iterable[InstanceName], since: float
) -> Mapping[InstanceName, list[Point]]:
    """Points from *since* on, by instance; of those that have any."""
    names = {recorder.key(str(name)): name for name in instances}
    points: dict[InstanceName, list[Point]] = {}
    before: dict[InstanceName, Record] = {}
    for record in found:
        name = names.get(record.key)
        if name is not None and record.at >= since:
            points.setdefault(name, []).append(_point(record, before.get(name)))
        if name is not None:
            before[name] = record
    return points


def _point(record: Record, before: Record | None) -> Point:
    cpus = None
    if before and record.cpu >= before.cpu >= 0 and record.at > before.at:  # it is less after a restart
        cpus = (record.cpu - before.cpu) / (record.at - before.at)
    return Point(record.at, cpus, record.memory, record.tasks, record.restarts)
