"""What the specs of apps say that events tell or need: the restart limit, and whether there are limits to be hit."""

from __future__ import annotations

from typing import NamedTuple

from pysup import names
from pysup.errors import PysupError
from pysup.events import NO_BRAKE, Brake
from pysup.host import files
from pysup.store import Store


class _Known(NamedTuple):
    stamp: tuple[int, ...]
    brake: Brake
    is_limited: bool


class Specs:
    """The specs, each read again only when its file has changed: in a storm they are asked for often."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}

    def brake(self, app: str) -> Brake:
        """How often the app may be started, and its delay; none for an app that is gone."""
        return self._of(app).brake

    def is_limited(self, app: str) -> bool:
        """Whether its instances can hit a limit of their own."""
        return self._of(app).is_limited

    def _of(self, app: str) -> _Known:
        file = names.template_unit(app)
        stamp = tuple(files.changed(f"{self._store.directory(saved=saved)}/{file}") for saved in (True, False))
        known = self._known.get(app)
        if known is None or known.stamp != stamp:
            known = self._known[app] = self._read(app, stamp)
        return known

    def _read(self, app: str, stamp: tuple[int, ...]) -> _Known:
        try:
            stored = self._store.find(app)
        except PysupError:  # it may not be read: events are told all the same
            stored = None
        if stored is None or stored.app is None:
            return _Known(stamp, NO_BRAKE, is_limited=False)
        spec = stored.app
        held = (spec.limits, *spec.instance_limits.values())
        limits = [limit for one in held for limit in (one.memory_max, one.memory_high, one.cpu_quota, one.tasks_max)]
        # With a shared socket there is no limit: docs/sockets.md.
        brake = Brake(0 if spec.listen else spec.restart_limit, spec.restart_delay, spec.restart.value)
        return _Known(stamp, brake, is_limited=any(limit is not None for limit in limits))
