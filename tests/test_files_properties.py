"""Files of apps, whatever is in them: from file to App to unit files and back, and apply over anything."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import apps as written
from pysup import names, parse
from pysup.app import App, KillMode, Placement, Ready, ReadyWhen, Restart
from pysup.bus.call import Call
from pysup.files import appkeys, document, kinds
from pysup.files import change as changes
from pysup.files.apply import Applier
from pysup.files.change import Action
from pysup.files.look import look
from pysup.listen import Listen
from pysup.render import render
from pysup.store import Store
from pysup.testing import FakeSystemd, fake_manager
from pysup.unit import Scope

MEMORY = "/dev/shm"  # what is synced there costs nothing


def plain(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Text as a file holds it: what begins a variable is written with another $."""
    return text.map(lambda one: one.replace("${", "$${"))


values = plain(st.one_of(written.nasty, written.words))
spans = st.one_of(
    st.integers(1, 99), st.floats(0.01, 99).map(lambda one: round(one, 3)), st.sampled_from(["5s", "2min"])
)
sizes = st.one_of(st.integers(2**20, 2**40), st.sampled_from(["300M", "1.5G"]))
lines = plain(written.lines)
paths = plain(written.paths.filter(lambda path: "~" not in path))
several = st.lists(written.names, max_size=2)

LIMITS: dict[str, st.SearchStrategy[Any]] = {
    "memory_max": sizes,
    "memory_swap_max": st.sampled_from([0, "1G"]),
    "cpu_quota": st.sampled_from(["150%", 1.5]),
    "cpu_weight": st.sampled_from([50, "60"]),
    "io_write_max": st.sampled_from(["/srv:50M", ["/dev/vda 1000", "/srv 5k"]]),
    "cpus": st.sampled_from(["0-3,8", [1, 5], 2]),
}

KEYS: Mapping[str, st.SearchStrategy[Any]] = {
    "interpreter": st.sampled_from(["none", ["/bin/sh", "-e"]]),
    "namespace": written.names,
    "description": lines,
    "cwd": st.just("/usr"),
    "instances": st.sampled_from([1, 3, "2", "max", -1, "per-core"]),
    "placement": st.sampled_from([one.value for one in Placement]),
    "reserve": st.sampled_from([0, "1", "0,2-3", [1, 5]]),
    "reserve_for": st.sampled_from(["", "redis-server.service"]),
    "physical": st.booleans(),
    "port": st.integers(1, 60000),
    "listen": st.sampled_from([8080, "http=127.0.0.1:9000,backlog=5", [{"address": "/run/x.sock", "mode": "0660"}]]),
    "instance_var": written.env_names,
    "increment": st.dictionaries(st.just("WORKER"), st.integers(0, 99)),
    "env": st.dictionaries(written.env_names, st.one_of(values, st.integers(), st.booleans()), max_size=3),
    "env_files": st.lists(paths, max_size=2),
    "secrets": st.just({"key": "credential:/etc/key"}),
    "user": st.just("nobody"),
    "group": st.just("nogroup"),
    "isolate": st.sampled_from(["basic", "off", {"level": "strict", "writable": "data"}, {"network": "loopback"}]),
    "autostart": st.booleans(),
    "restart": st.sampled_from([one.value for one in Restart if one is not Restart.NO]),
    "restart_delay": spans,
    "restart_limit": st.integers(0, 99),
    "restart_window": spans,
    "stop_exit_codes": st.one_of(st.integers(0, 255), st.lists(st.integers(0, 255), max_size=3)),
    "stop_signal": st.sampled_from(["int", 9, "SIGTERM"]),
    "stop_timeout": spans,
    "kill_mode": st.sampled_from([one.value for one in KillMode]),
    "schedule": st.sampled_from(["0 3 * * *", "0", {"when": "daily", "zone": "UTC", "random_delay": "1min"}]),
    "watch": st.sampled_from([{}, {"paths": "src", "ignore": ["*.tmp"], "delay": 0.5}]),
    "memory_restart": sizes,
    "stdin": st.booleans(),
    "limits": st.fixed_dictionaries({}, optional={**LIMITS, "numa_policy": st.just("local"), "nofile": st.integers(1)}),
    "instance_limits": st.dictionaries(
        st.sampled_from(["0", "7"]), st.fixed_dictionaries({}, optional=LIMITS), max_size=2
    ),
    "total": st.fixed_dictionaries({}, optional=LIMITS),
    "nice": st.integers(-20, 19),
    "ready": st.sampled_from(["notify", "exec", 2, "tcp:80", {"when": "2s", "timeout": "9s"}, {"timeout": 5}]),
    "log": st.fixed_dictionaries({}, optional={"output": paths, "rate_limit": st.integers(0, 9)}),
    "wants": several,
    "after": st.one_of(written.names, several),
    "requires": st.just("redis-server.service"),
    "unit": st.dictionaries(st.just("OnFailure"), lines, max_size=1),
    "service": st.dictionaries(st.just("LimitCORE"), st.one_of(st.integers(0, 9), st.lists(lines, max_size=2))),
}
EXCEPT = {"secret_env", "command", "spread", "restart_delay_max", "watchdog", "on_demand", "idle_timeout"}
"""Keys that need others; the test of every key has them."""

tables = st.fixed_dictionaries(
    {"command": st.lists(values, max_size=4).map(lambda words: ["/bin/sleep", *words])}, optional=KEYS
)  # type: ignore[arg-type]


def test_the_strategy_has_every_key() -> None:
    """A new field of App belongs here, too."""
    assert set(appkeys.table()) - set(KEYS) <= EXCEPT


@given(table=tables)
def test_from_a_file_to_unit_files_and_back(table: dict[str, Any]) -> None:
    """The App that is read from the unit files is the one that the file said."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        file = Path(folder, "pysup.json")
        file.write_text(json.dumps({"apps": {"web": table}}))
        try:
            (app,) = document.load(str(file), scope=Scope.SYSTEM).apps
        except document.Malformed:  # keys that do not go together
            assume(False)
        store = Store(Path(folder, "run"), Path(folder, "etc"), Path(folder, "lock"), "multi-user.target")
        with store.lock("web"):
            store.write("web", render(app, written.MACHINE, str(store.runtime)).files, saved=False)
        assert store.get("web").app == app


class Killed(BaseException):
    """The end of a process."""


class Mortal(FakeSystemd):
    """A systemd whose caller dies before a call; ``ran`` is the command that each instance was started with."""

    def __init__(self, *directories: Path) -> None:
        super().__init__(*directories)
        self.left: int | None = None
        self.ran: dict[str, str] = {}

    async def call(self, call: Call) -> tuple[object, ...]:
        """Answer, unless it is over."""
        if self.left is not None:
            if not self.left:
                raise Killed
            self.left -= 1
        return await super().call(call)

    def _run(self, unit: Any, **values: object) -> None:
        super()._run(unit, **values)
        self.ran[unit.name] = self._command(unit.name)

    def stale(self) -> list[str]:
        """The running instances that were started with another command than their template has."""
        up = [name for name, unit in self._units.items() if unit.is_active and names.parse_instance(name)]
        return [name for name in up if self.ran[name] != self._command(name)]


class Machine:
    """A machine with a fake systemd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "run", folder / "etc", folder / "lock", "multi-user.target")
        self.systemd = Mortal(self.store.saved, self.store.runtime)

    def plan(self, apps: Sequence[App]) -> list[changes.Change]:
        """What is to be done."""
        named = [app.name for app in apps]
        seen = asyncio.run(self.systemd.converse(look(self.store, named)))
        return changes.plan(apps, seen, origin=ORIGIN, named=named, prune=True)

    def apply(self, apps: Sequence[App], *, kill_after: int | None = None) -> bool:
        """Apply, and be killed before the call of that number; whether it came to its end."""

        async def applied() -> None:
            manager = fake_manager(self.folder, self.systemd)
            outcome = await Applier(manager, self.store, lambda _: None, 5).run(plan)
            assert not outcome.failed, outcome.failed

        plan = self.plan(apps)
        self.systemd.break_connection()  # its event is the last loop's
        self.systemd.left = kill_after
        try:
            asyncio.run(asyncio.wait_for(applied(), 60))
        except Killed:
            return False
        finally:
            self.systemd.left = None
        return True

    def files(self) -> dict[str, str]:
        """All unit files."""
        found = (file for file in self.store.runtime.rglob("pysup-*") if file.is_file())
        return {file.name: file.read_text().replace(str(self.folder), "") for file in found}


ORIGIN = "/srv/pysup.toml"

programs = st.builds(
    App,
    name=st.just("x"),
    command=st.sampled_from([("/bin/sleep", "1"), ("/bin/sleep", "2")]),
    instances=st.integers(1, 3),
    listen=st.sampled_from([(), (), (Listen(address="8080"),)]),
    ready=st.just(Ready(when=ReadyWhen.NOTIFY)),
    origin=st.just(ORIGIN),
)


@st.composite
def files_of_apps(draw: st.DrawFn) -> list[App]:
    """What a file may say."""
    return [replace(draw(programs), name=name) for name in draw(st.lists(st.sampled_from("abc"), unique=True))]


@settings(max_examples=20)
@given(first=files_of_apps(), second=files_of_apps(), kill_after=st.integers(0, 40))
def test_apply_over_anything_is_apply_alone(first: list[App], second: list[App], kill_after: int) -> None:
    """Also when it was killed before: same files, nothing old runs, and nothing is left to be done."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as one, tempfile.TemporaryDirectory(dir=MEMORY) as other:
        machine, clean = Machine(Path(one)), Machine(Path(other))
        machine.apply(first)
        if not machine.apply(second, kill_after=kill_after):
            machine.apply(second)
        clean.apply(second)
        assert machine.files() == clean.files()
        assert machine.systemd.stale() == []
        assert {change.action for change in machine.plan(second)} <= {Action.NONE}


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("2min", 120)])
def test_times_are_read_as_on_the_command_line(text: str, seconds: float) -> None:
    """The one place that reads them is ``parse``."""
    kind = appkeys.table()["stop_timeout"]
    assert kind.read(text, kinds.Spot("x", "/")) == parse.span(text, "x") == seconds
