"""What instances used and when they were restarted: from the ring, where that is kept, and from the journal."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pysup import history, local, status
from pysup.brakes import Specs
from pysup.events import Restarting
from pysup.host import ground
from pysup.metrics import recorder, ring, shipped
from pysup.metrics.ring import Point
from pysup.names import InstanceName
from pysup.selector import select
from pysup.store import Store
from pysup.unit import Scope
from pysup.unitfile import command_line

TIMER, SERVICE, SCRIPT = "pysup-history.timer", "pysup-history.service", "pysup-history.py"
FILES = (TIMER, SERVICE, SCRIPT, f"{SERVICE}.d/sandbox.conf")

_LEAST = 16  # instances for which there is room at least
_LARGEST = 64 << 20


class Timeline(NamedTuple):
    """Of each instance its points, and when it was restarted by systemd. ``is_kept`` when the ring is on."""

    since: float
    until: float
    points: Mapping[InstanceName, Sequence[Point]]
    restarts: Mapping[InstanceName, Sequence[float]]
    is_kept: bool


def place(scope: Scope) -> Path:
    """The ring file; for its owner only."""
    return ground.history_dir(scope).parent / "history.ring"


def read(store: Store, scope: Scope, selectors: str | Sequence[str], since: float) -> Timeline:
    """From *since* until now. Raises NotFound for what is not there, NotPermitted for what is somebody else's."""
    now = time.time()
    chosen = select(selectors, status.known(status.read(store)))
    names = [InstanceName(one.app, number) for one in chosen for number in one.numbers]
    wanted = history.wanted(scope, local.owner(scope), chosen)
    restarts: dict[InstanceName, list[float]] = {name: [] for name in names}
    for event in history.read(wanted, Specs(store), since=since, until=now):
        if isinstance(event, Restarting):
            restarts.setdefault(event.name, []).append(event.at)
    points = ring.series(ring.read(place(scope)), restarts, since)
    return Timeline(since, now, points, restarts, (store.saved / TIMER).exists())


def turn_on(store: Store, scope: Scope, *, every: float, keep: float) -> int:
    """Have the ring kept from now on; what it has is kept if its size stays. Returns the file's size in bytes."""
    ground.require_rights(scope)
    running = sum(len(one.numbers) for one in status.read(store).values())
    most = (_LARGEST - recorder.HEAD.size) // recorder.SIZE
    slots = min(most, math.ceil(keep / every) * max(_LEAST, 2 * running))
    file = place(scope)
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    script = f"{store.saved}/{SCRIPT}"
    words = (local.python(), "-I", "-B", script, f"--{scope.value}", str(file), str(slots))
    contents = (
        shipped.text(TIMER, every=f"{every:g}s"),
        shipped.text(SERVICE, command=command_line(words)),
        Path(recorder.__file__).read_text(encoding="utf-8"),
        shipped.sandbox(scope, writes=str(file.parent)),
    )
    shipped.turn_on(scope, dict(zip(FILES, contents, strict=True)), TIMER)
    return recorder.HEAD.size + slots * recorder.SIZE


def turn_off(scope: Scope) -> bool:
    """Keep it no more, and forget what was kept; whether it was on."""
    was_on = shipped.turn_off(scope, FILES)
    place(scope).unlink(missing_ok=True)
    return was_on
