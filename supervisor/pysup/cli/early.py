"""``pysup list`` without other options, for speed: systemd answers while that is imported which its answers are for.

``Manager.list`` does the same one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pysup import local, states
from pysup.host import ground

if TYPE_CHECKING:
    from pysup.unit import AppStatus


def table() -> None:
    """``pysup list``."""
    apps = _all()
    from pysup.cli import instances

    instances.show(apps)


def json() -> None:
    """``pysup list --json``."""
    apps = _all()
    from pysup.cli import instances

    instances.show_json(apps)


def _all() -> list[AppStatus]:
    scope = ground.default_scope()
    with local.connect_to_ask(scope) as bus:
        units = bus.converse(states.loaded(states.OURS), meanwhile=_imports())
        from pysup import status

        return bus.converse(status.everything(local.store(scope), scope, units))


def _imports() -> Iterator[None]:
    """Import what comes next, a step for each of systemd's answers."""
    import pysup.app

    yield
    import pysup.cli.instances
    import pysup.status
    import pysup.store  # noqa: F401 (as the others: so that it is there)

    yield
