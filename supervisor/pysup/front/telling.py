"""Telling one balancer what it is to know, and waiting until it has done so."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pysup import balancers, haproxy, jobs, names, states
from pysup.app import App
from pysup.balance import Balance, Program
from pysup.balancers.haproxy import SOCKET, server
from pysup.bus import systemd1
from pysup.bus.protocol import Bus
from pysup.converge import configuration
from pysup.errors import JobFailed
from pysup.host import ground, processes
from pysup.render import File
from pysup.store import Store
from pysup.unit import ActiveState, Scope

_PAUSE = 0.02
_RELOADED = 10.0
_LISTENS = 5.0


@dataclass(frozen=True, slots=True)
class Balancer:
    """One balancer: the *app* that it is, and what it balances."""

    bus: Bus
    store: Store
    scope: Scope
    app: App
    balance: Balance

    async def tell(self, places: Mapping[int, str], patience: float) -> None:
        """Have the instances at these addresses served, by their numbers, and no others."""
        text, before = await asyncio.to_thread(self._write, places)
        unit = names.instance_unit(self.app.name, 0)
        found = (await self.bus.converse(states.loaded([unit]))).get(unit)
        if found is None or found.active_state is not ActiveState.ACTIVE:
            return  # it reads its file when it starts
        behind = self.store.get(self.balance.app).require()
        if self._is_told_by_api and behind.port is not None:
            await self._set_states(places, patience)
        elif before is not None:
            workers = processes.children(await self._server() if self.balance.include else found.pid)
            await reload(self.bus, self.app.name)
            if balancers.servers(before) - balancers.servers(text):  # somebody shall have nothing left to do
                await _ended(workers, patience)

    @property
    def _is_told_by_api(self) -> bool:
        return self.balance.program is Program.HAPROXY and not self.balance.include

    async def _server(self) -> int:
        """The main process of the machine's own server; 0 if it does not run."""
        unit = f"{self.balance.program}.service"
        found = (await self.bus.converse(states.loaded([unit]))).get(unit)
        return found.pid if found else 0

    def _write(self, places: Mapping[int, str]) -> tuple[str, str | None]:
        """Write the configuration: its text, and the other one that it was, if it was.

        That of a HAProxy has all instances: its API tells it who is served.
        """
        store, balance = self.store, self.balance
        with store.lock(self.app.name):
            if not self._is_told_by_api:
                text = balancers.config(self.app, places, places)
            else:
                behind = store.get(balance.app)
                text = configuration(self.app, behind.require(), behind.numbers, room=max(places) + 1)
            return text, store.replace(self.app.name, names.balancer_file(self.app.name), File(text))

    async def _set_states(self, places: Mapping[int, str], patience: float) -> None:
        """Have HAProxy's servers do what they shall, by its runtime API; reloads it if it has too few of them."""
        root = ground.volatile_dir(self.scope)
        folder = names.runtime_directory(self.app.name, "0", dynamic=self.app.isolate.dynamic_user)
        socket, backend = root / folder / SOCKET, self.balance.backend
        wanted = {server(self.balance, number): address for number, address in places.items()}
        try:
            there = await haproxy.servers(socket, backend)
            if not wanted.keys() <= there.keys():
                await reload(self.bus, self.app.name)
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
    if not await connects(address, _LISTENS):
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


async def connects(address: str, patience: float) -> bool:
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
