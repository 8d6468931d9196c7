"""A bus with a small systemd behind it that executes nothing: it loads units from files, does jobs, changes states."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pysup import names, unitfile
from pysup.bus import systemd1
from pysup.bus.call import (
    MANAGER,
    MANAGER_PATH,
    NO_SUCH_UNIT,
    PROPERTIES,
    Call,
    Conversation,
    Reply,
    Signal,
    T,
    Variant,
    carry,
)
from pysup.bus.connection import wait
from pysup.bus.protocol import Listened
from pysup.errors import BusError, PysupError
from pysup.machine import Machine
from pysup.manager import Manager
from pysup.store import Store
from pysup.unit import BOOT_TARGET, Scope

FAILS = "/bin/false"
VERSION = "257.1"

_SERVICE = {"MainPID", "NRestarts", "Result", "ExecMainPID", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestamp"}


@dataclass(slots=True)
class _Unit:
    """A loaded unit: its properties."""

    name: str
    values: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = {"LoadState": "loaded", "Result": "success", "MainPID": 0, "NRestarts": 0, **self.values}
        self.be("inactive", "dead")

    def be(self, active: str, sub: str, **values: object) -> None:
        """Come into a state."""
        now = time.time_ns() // 1000
        self.values.update(ActiveState=active, SubState=sub, **values)
        self.values.update(StateChangeTimestamp=now, StateChangeTimestampMonotonic=time.monotonic_ns() // 1000)

    @property
    def is_active(self) -> bool:
        return self.values["ActiveState"] == "active"


class FakeSystemd(Listened):
    """One systemd manager and its bus. Programs named ``/bin/false`` fail at once, all others run until stopped."""

    def __init__(self, *directories: Path) -> None:
        self._directories = directories
        self._units: dict[str, _Unit] = {}
        super().__init__()
        self._pids = itertools.count(1000)
        self._jobs = itertools.count(1)
        self._over = asyncio.Event()
        self.reloads = 0

    def crash(self, instance: str, *, code: int | None = None, signal: int | None = None) -> None:
        """End the main process of a running instance (``web@0``); systemd starts it again."""
        unit = self._units[f"{names.PREFIX}{instance}.service"]
        self._exit(unit, code=code, signal=signal)
        unit.be("activating", "auto-restart", MainPID=0)
        self._changed(unit)
        count = unit.values["NRestarts"]
        self._run(unit, NRestarts=count + 1 if isinstance(count, int) else 1)

    def break_connection(self) -> None:
        """Have the bus go away, as when dbus-daemon is restarted; the next connection works."""
        over, self._over = self._over, asyncio.Event()
        over.set()

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeSystemd]:
        """What ``Manager(connect=…)`` takes."""
        yield self

    async def call(self, call: Call) -> tuple[object, ...]:
        """Answer a call."""
        handler: Callable[..., tuple[object, ...]] | None = getattr(self, f"_on_{call.member}", None)
        if handler is None:
            raise BusError(f"the fake knows no {call.member}", name="org.freedesktop.DBus.Error.UnknownMethod")
        return handler(*call.args) if call.interface == MANAGER else handler(call.path, *call.args)

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        """Answer calls in their order."""
        replies: list[Reply] = []
        for call in calls:
            try:
                replies.append(await self.call(call))
            except PysupError as exc:
                replies.append(exc)
        return replies

    async def converse(self, conversation: Conversation[T]) -> T:
        """Carry a conversation to its end."""
        return await carry(conversation, self.calls)

    async def match(self, rule: str) -> None:
        """Every signal is handed on anyway."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as *condition* holds, which is asked again after every signal."""
        await wait(self, condition)

    async def ended(self) -> None:
        """Return once the connection has been broken."""
        await self._over.wait()

    async def close(self) -> None:
        """Nothing to close."""

    def _on_Subscribe(self) -> tuple[object, ...]:  # noqa: N802 (named after the method that it answers)
        return ()

    def _on_Reload(self) -> tuple[object, ...]:  # noqa: N802
        self.reloads += 1
        return ()

    def _on_ListUnitsByPatterns(self, _: object, patterns: Sequence[str]) -> tuple[object, ...]:  # noqa: N802
        found = [unit for unit in self._units.values() if any(fnmatch.fnmatchcase(unit.name, one) for one in patterns)]
        return ([_row(unit) for unit in found],)

    def _on_LoadUnit(self, name: str) -> tuple[object, ...]:  # noqa: N802
        if self._find(name) is None:
            self._units[name] = _Unit(name, {"LoadState": "not-found"})
            self._units[name].values["LoadState"] = "not-found"
        return (systemd1.unit_path(name),)

    def _on_StartUnit(self, name: str, _: str) -> tuple[object, ...]:  # noqa: N802
        unit = self._get(name)
        started = [*(self._get(one) for one in self._wanted(name)), unit]
        for one in (*self._sockets(started), *started):
            if not one.is_active:
                self._run(one)
        return self._job(name)

    def _on_RestartUnit(self, name: str, mode: str) -> tuple[object, ...]:  # noqa: N802
        self._stop(self._get(name))
        return self._on_StartUnit(name, mode)

    def _on_StopUnit(self, name: str, _: str) -> tuple[object, ...]:  # noqa: N802
        parts = [one for one in self._units if one.endswith(".socket") and name in self._named(one, "PartOf")]
        for one in [*parts, name, *self._wanted(name)]:
            if one in self._units:
                self._stop(self._units[one])
        return self._job(name)

    def _on_ResetFailedUnit(self, name: str) -> tuple[object, ...]:  # noqa: N802
        unit = self._get(name)
        unit.values.update(NRestarts=0, Result="success")
        if unit.values["ActiveState"] == "failed":
            unit.be("inactive", "dead")
        return ()

    def _on_KillUnit(self, name: str, _: str, signal: int) -> tuple[object, ...]:  # noqa: N802
        self.crash(name.removeprefix(names.PREFIX).removesuffix(".service"), signal=signal)
        return ()

    def _on_SetUnitProperties(  # noqa: N802
        self, name: str, _: bool, properties: Sequence[tuple[str, Variant]]
    ) -> tuple[object, ...]:
        self._get(name).values.update((property_, variant.value) for property_, variant in properties)
        return ()

    def _on_Get(self, path: str, _: str, name: str) -> tuple[object, ...]:  # noqa: N802
        if path == MANAGER_PATH:
            return ({"Version": VERSION, "DefaultTasksMax": 4915}[name],)
        return (self._get(systemd1.unit_name(path)).values.get(name, 0),)

    def _on_GetAll(self, path: str, _: str) -> tuple[object, ...]:  # noqa: N802
        return (dict(self._get(systemd1.unit_name(path)).values),)

    def _job(self, name: str) -> tuple[object, ...]:
        number = next(self._jobs)
        path = f"{MANAGER_PATH}/job/{number}"
        asyncio.get_running_loop().call_soon(
            self._emit, "JobRemoved", MANAGER_PATH, MANAGER, number, path, name, "done"
        )
        return (path,)

    def _run(self, unit: _Unit, **values: object) -> None:
        if FAILS in self._command(unit.name):
            self._exit(unit, code=1)
            unit.be("failed", "failed", Result="exit-code", MainPID=0)
        elif unit.name.endswith(".socket"):
            unit.be("active", "listening")
        else:
            unit.be("active", "running", MainPID=next(self._pids), ExecMainCode=0, **values)
        self._changed(unit)

    def _stop(self, unit: _Unit) -> None:
        if unit.is_active:
            unit.be("deactivating", "stop-sigterm")
            self._changed(unit)
        unit.be("inactive", "dead", MainPID=0)
        self._changed(unit)

    def _exit(self, unit: _Unit, *, code: int | None = None, signal: int | None = None) -> None:
        unit.values.update(
            ExecMainPID=unit.values["MainPID"],
            ExecMainCode=1 if signal is None else 2,
            ExecMainStatus=signal if signal is not None else code or 0,
            ExecMainExitTimestamp=time.time_ns() // 1000,
        )

    def _changed(self, unit: _Unit) -> None:
        path = systemd1.unit_path(unit.name)
        service = {name: value for name, value in unit.values.items() if name in _SERVICE}
        self._emit("PropertiesChanged", path, PROPERTIES, systemd1.SERVICE, service, [])
        rest = {name: value for name, value in unit.values.items() if name not in _SERVICE}
        self._emit("PropertiesChanged", path, PROPERTIES, systemd1.UNIT, rest, [])

    def _emit(self, member: str, path: str, interface: str, *args: object) -> None:
        self._tell(Signal(member, path, interface, args))

    def _get(self, name: str) -> _Unit:
        unit = self._find(name)
        if unit is None:
            raise BusError(f"Unit {name} not found.", name=NO_SUCH_UNIT)
        return unit

    def _find(self, name: str) -> _Unit | None:
        if name not in self._units and (name.endswith(".slice") or self._text(name)):
            self._units[name] = _Unit(name)
        return self._units.get(name)

    def _text(self, name: str) -> str:
        instance = names.parse_instance(name)
        file = names.template_unit(instance.app) if instance else name
        return next((path.read_text() for path in (one / file for one in self._directories) if path.is_file()), "")

    def _wanted(self, name: str) -> list[str]:
        return self._named(name, "Wants") if name.endswith(".target") else []

    def _sockets(self, units: Sequence[_Unit]) -> list[_Unit]:
        """Those that the units share, or have to themselves; not those on which they are asked."""
        found = dict.fromkeys(one for unit in units for one in self._named(unit.name, "Requires"))
        return [unit for unit in map(self._find, found) if unit and unit.name.endswith(".socket")]

    def _named(self, name: str, key: str) -> list[str]:
        own = (path / f"{name}.d/instance.conf" for path in self._directories)
        texts = [self._text(name), *(file.read_text() for file in own if file.is_file())]
        return [line.value for text in texts for line in unitfile.parse(text) if line.key == key]

    def _command(self, name: str) -> str:
        return next((line.value for line in unitfile.parse(self._text(name)) if line.key == "ExecStart"), "")


def _row(unit: _Unit) -> tuple[object, ...]:
    values = unit.values
    path = systemd1.unit_path(unit.name)
    return (unit.name, "", values["LoadState"], values["ActiveState"], values["SubState"], "", path, 0, "", "/")


def fake_manager(directory: Path, systemd: FakeSystemd | None = None) -> Manager:
    """A Manager whose units and secrets are below *directory* and whose systemd is a fake.

    Secrets are kept as they are, and nobody is handed them.
    """
    target = BOOT_TARGET[Scope.SYSTEM]
    store = Store(directory / "run", directory / "etc", directory / "lock", target, vault=directory / "secrets")
    systemd = systemd or FakeSystemd(store.saved, store.runtime)
    machine = Machine(scope=Scope.SYSTEM, cpus=(0, 1), cores=((0,), (1,)))
    return Manager(Scope.SYSTEM, connect=systemd.connect, store=store, machine=machine)
