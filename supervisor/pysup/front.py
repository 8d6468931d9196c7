"""Front: the balancers before an app, told what changes: who is served now, and who shall have nothing left to do.

HAProxy is told by its runtime API, nginx by a new configuration and a graceful reload. The file of a balancer ends up
with all instances in it, so that it is right when the balancer is started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pysup import balancers, haproxy, jobs, names, states
from pysup.app import App, ReadyWhen
from pysup.balance import Balance, Program
from pysup.balancers.haproxy import SOCKET, server
from pysup.bus import systemd1
from pysup.bus.connection import Bus
from pysup.converge import before, configuration
from pysup.errors import JobFailed, StartFailed
from pysup.host import ground, processes
from pysup.render import File
from pysup.store import Store
from pysup.unit import ActiveState, Scope

_PAUSE = 0.02
_RELOADED = 10.0
_LISTENS = 5.0


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
            for address in balancers.addresses(one.balance, app, [number]).values():
                if not await _connects(address, app.ready.timeout):
                    raise StartFailed(
                        f"app {app.name!r}: the new instance runs, but nothing listens on {address}"
                        f" after {app.ready.timeout:g} s",
                        hint="It must listen on the PORT of its environment.",
                    )

    def _balancers(self) -> list[_Balancer]:
        return [
            _Balancer(self, one.app, one.app.balance)
            for one in before(self.store, self.app)
            if one.app and one.app.balance
        ]


@dataclass(frozen=True, slots=True)
class _Balancer:
    """One balancer that is told something."""

    front: Front
    app: App
    balance: Balance

    async def tell(self, places: Mapping[int, str], patience: float) -> None:
        """Have the instances at these addresses served, by their numbers, and no others."""
        text, before = await asyncio.to_thread(self._write, places)
        unit = names.instance_unit(self.app.name, 0)
        found = (await self.front.bus.converse(states.loaded([unit]))).get(unit)
        if found is None or found.active_state is not ActiveState.ACTIVE:
            return  # it reads its file when it starts
        behind = self.front.store.get(self.balance.app).require()
        if self._is_told_by_api and behind.port is not None:
            await self._set_states(places, patience)
        elif before is not None:
            workers = processes.children(await self._server() if self.balance.include else found.pid)
            await reload(self.front.bus, self.app.name)
            if balancers.servers(before) - balancers.servers(text):  # somebody shall have nothing left to do
                await _ended(workers, patience)

    @property
    def _is_told_by_api(self) -> bool:
        return self.balance.program is Program.HAPROXY and not self.balance.include

    async def _server(self) -> int:
        """The main process of the machine's own server; 0 if it does not run."""
        unit = f"{self.balance.program}.service"
        found = (await self.front.bus.converse(states.loaded([unit]))).get(unit)
        return found.pid if found else 0

    def _write(self, places: Mapping[int, str]) -> tuple[str, str | None]:
        """Write the configuration: its text, and the other one that it was, if it was.

        That of a HAProxy has all instances: its API tells it who is served.
        """
        store, balance = self.front.store, self.balance
        with store.lock(self.app.name):
            if not self._is_told_by_api:
                text = balancers.config(self.app, places, places)
            else:
                behind = store.get(balance.app)
                text = configuration(self.app, behind.require(), behind.numbers, room=max(places) + 1)
            return text, store.replace(self.app.name, names.balancer_file(self.app.name), File(text))

    async def _set_states(self, places: Mapping[int, str], patience: float) -> None:
        """Have HAProxy's servers do what they shall, by its runtime API; reloads it if it has too few of them."""
        root = ground.volatile_dir(self.front.scope)
        folder = names.runtime_directory(self.app.name, "0", dynamic=self.app.isolate.dynamic_user)
        socket, backend = root / folder / SOCKET, self.balance.backend
        wanted = {server(self.balance, number): address for number, address in places.items()}
        try:
            there = await haproxy.servers(socket, backend)
            if not wanted.keys() <= there.keys():
                await reload(self.front.bus, self.app.name)
                there = await _grown(socket, backend, wanted)
            for name in wanted:
                port = int(wanted[name].rpartition(":")[2])
                if there[name].port != port:
                    await haproxy.move(socket, backend, name, there[name].host, port)
                if not there[name].serves:
                    await haproxy.change(socket, backend, name, "ready")
            leaving = [name for name, state in there.items() if state.serves and name not in wanted]
            for name in leaving:
                await haproxy.change(socket, backend, name, "maint")
            await _finished(socket, backend, leaving, patience)
        except (OSError, TimeoutError) as exc:
            raise JobFailed(
                f"HAProxy of {self.app.name!r} does not answer at {socket}: {exc or 'in time'}",
                hint=f"pysup logs {self.app.name} shows what it says; pysup restart {self.app.name} starts it anew.",
            ) from exc


async def expect_listening(app: App) -> None:
    """Return when the machine's server listens for a balancer that is a part of it; raises JobFailed if it does not."""
    assert app.balance  # noqa: S101 (that is what was started)
    address = balancers.reachable(app.balance.binds[0])
    if not await _connects(address, _LISTENS):
        program = app.balance.program.value
        reads = f"reads {app.balance.include}" + (
            ": EXTRAOPTS in /etc/default/haproxy" if app.balance.program is Program.HAPROXY else ""
        )
        raise JobFailed(
            f"{app.balance.include} is in place, but {program} does not listen on {address}",
            hint=f"See that it runs (systemctl status {program}) and {reads}. pysup restart {app.name} tries again.",
        )


async def reload(bus: Bus, balancer: str) -> None:
    """Have a balancer take up its configuration; raises JobFailed, and then it goes on with the old one."""
    unit = names.instance_unit(balancer, 0)
    results = await jobs.perform(bus, [systemd1.reload_unit(unit)])
    if results.get(unit) != "done":
        raise JobFailed(
            f"{balancer} did not take its new configuration, and goes on with the old one",
            results=[(unit, results.get(unit, "lost"))],
            hint=f"pysup logs {balancer} shows why.",
        )


async def _grown(socket: Path, backend: str, wanted: Collection[str]) -> dict[str, haproxy.ServerState]:
    """The servers of a HAProxy that was told to reload, when it has done so: nothing but its answers tells that."""
    async with asyncio.timeout(_RELOADED):
        while True:
            with contextlib.suppress(OSError):
                there = await haproxy.servers(socket, backend)
                if set(wanted) <= there.keys():
                    return there
            await asyncio.sleep(_PAUSE)


async def _finished(socket: Path, backend: str, leaving: Collection[str], patience: float) -> None:
    """Wait until these servers have nothing to do: HAProxy 2.6 has no command that waits."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while leaving:
                busy = await haproxy.sessions(socket, backend)
                leaving = [name for name in leaving if busy.get(name)]
                await asyncio.sleep(_PAUSE if leaving else 0)


async def _ended(pids: Iterable[int], patience: float) -> None:
    """Wait until these processes have ended: workers of nginx do when they have finished what they had."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    descriptor = os.pidfd_open(pid)
                    stack.callback(os.close, descriptor)
                    ended = asyncio.Event()
                    loop.add_reader(descriptor, ended.set)
                    stack.callback(loop.remove_reader, descriptor)
                    await ended.wait()


async def _connects(address: str, patience: float) -> bool:
    """Whether somebody listens there before *patience* seconds are over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while True:
                with contextlib.suppress(OSError):
                    await _open(address)
                    return True
                await asyncio.sleep(_PAUSE)
    return False


async def _open(address: str) -> None:
    host, _, port = address.rpartition(":")
    if address.startswith("/"):
        _, writer = await asyncio.open_unix_connection(address)
    else:
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.close()
