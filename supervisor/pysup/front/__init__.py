"""Front: the balancers before an app, told what changes: who is served now, and who shall have nothing left to do.

HAProxy is told by its runtime API, nginx by a new configuration and a graceful reload. The file of a balancer ends up
with all instances in it, so that it is right when the balancer is started anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pysup import balancers, names
from pysup.app import App, ReadyWhen
from pysup.bus.protocol import Bus
from pysup.converge import before
from pysup.errors import StartFailed
from pysup.store import Store
from pysup.unit import Scope

if TYPE_CHECKING:
    from pysup.front.telling import Balancer


@dataclass(frozen=True, slots=True)
class Front:
    """All balancers of the app that is called *app*; maybe none, and then nothing is done."""

    bus: Bus
    store: Store
    scope: Scope
    app: str

    def check(self, app: App) -> None:
        """Raise SpecError if the app, as it is to be, could not be balanced any more."""
        for one in self._balancers():
            balancers.addresses(one.balance, app, ())

    async def leave(self, units: Iterable[str]) -> None:
        """Have instances that are about to stop get nothing more, and finish what they have; not if these are all."""
        stored = self.store.find(self.app)
        leaving = {name.number for name in map(names.parse_instance, units) if name}
        if stored and stored.app and leaving:
            rest = {number: stored.app for number in stored.numbers if number not in leaving}
            await self.serve(rest, stored.app.stop_timeout)

    async def serve(self, served: Mapping[int, App], patience: float) -> None:
        """Have these instances served, each as the app has it that it runs, and no others.

        Returns when the others have nothing left to do, or after *patience* seconds. Serving nobody is refused: what
        comes is then left to whoever is there yet.
        """
        if not served or any(app.port is None for app in served.values()):
            return  # who shares a socket takes its own leave
        for one in self._balancers():
            places: dict[int, str] = {}
            for number, app in sorted(served.items()):
                places |= balancers.addresses(one.balance, app, [number])
            await one.tell(places, patience)

    async def follow(self) -> None:
        """Have all instances served that the app has now."""
        for one in self._balancers():
            stored = self.store.find(self.app)
            if stored is None or stored.app is None:
                return
            await one.tell(balancers.addresses(one.balance, stored.app, stored.numbers), stored.app.stop_timeout)

    async def reach(self, number: int, app: App) -> None:
        """Return when the balancers could connect to an instance; raises StartFailed if they cannot in time.

        That is not asked where the app's own condition has told more.
        """
        if app.ready.when is not ReadyWhen.EXEC or app.port is None:
            return
        for one in self._balancers():
            from pysup.front.telling import connects  # as for the balancers

            for address in balancers.addresses(one.balance, app, [number]).values():
                if not await connects(address, app.ready.timeout):
                    raise StartFailed(
                        f"app {app.name!r}: the new instance runs, but nothing listens on {address}"
                        f" after {app.ready.timeout:g} s",
                        hint="It must listen on the PORT of its environment.",
                    )

    def _balancers(self) -> list[Balancer]:
        found = [(one.app, one.app.balance) for one in before(self.store, self.app) if one.app and one.app.balance]
        if not found:
            return []
        from pysup.front.telling import Balancer  # hardly any app has one, and asyncio takes its time to import

        return [Balancer(self.bus, self.store, self.scope, app, balance) for app, balance in found]
