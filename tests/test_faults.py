"""What goes wrong around pysup, on a real systemd: killed callers, damaged files, a lost bus, crash storms."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import apps
import grounds
import programs
from pysup import names
from pysup.errors import BusLost, Conflict, CorruptUnit, NotPermitted, StoreError
from pysup.events import Event, Lost, Restarting
from pysup.journal import Kind
from pysup.logs import LogOptions
from pysup.manager import Manager
from pysup.sync import Manager as BlockingManager
from pysup.unit import Scope

TESTS = str(Path(__file__).parent)


def systemctl(scope: Scope, *words: str) -> str:
    """What systemctl prints."""
    command = ["systemctl", f"--{scope.value}", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def blocking(scope: Scope) -> Iterator[BlockingManager]:
    """A manager for blocking code, cleaned up after."""
    with BlockingManager(scope) as manager:
        yield manager
        manager.delete("all")


@pytest.fixture
async def manager(scope: Scope) -> AsyncIterator[Manager]:
    """A manager, cleaned up after."""
    async with Manager(scope) as made:
        yield made
        await made.delete("all")


SLOW = apps.app(ready=apps.Ready(when=apps.ReadyWhen.SECONDS, seconds=2))


def wait_until_activating(manager: BlockingManager) -> None:
    """Return while the instance of ``SLOW`` is being started by somebody else."""
    deadline = time.monotonic() + 30
    while [one.state for app in manager.list() for one in app.instances] != ["activating"]:
        assert time.monotonic() < deadline


async def until(events: AsyncIterator[Event], kind: type[Event]) -> list[Event]:
    """The events up to the first of a kind."""
    seen: list[Event] = []
    async with asyncio.timeout(30):
        while not (seen and isinstance(seen[-1], kind)):
            seen.append(await anext(events))
    return seen


# Calls a method of a Manager, and dies right before the so-manieth of its changes to the unit directories.
_DOOMED = """
import itertools, os, signal, sys
sys.path[:0] = [{tests!r}]
import apps
from pysup.sync import Manager
from pysup.unit import Scope
left = itertools.count(-int(sys.argv[1]))
manager = Manager(Scope(sys.argv[2]))
place = str(manager._store.runtime)
def die(event, args):
    changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
    opens = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if (changes or opens) and place in str(args[0]) and next(left) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
{call}
"""


@pytest.mark.parametrize(
    ("call", "counts"),
    [("manager.start(apps.app(instances=2, port=9100))", {0, 2}), ("manager.scale('web', 3)", {2, 3})],
)
def test_a_caller_killed_at_any_moment_leaves_the_whole_old_or_the_whole_new(
    blocking: BlockingManager, call: str, counts: set[int]
) -> None:
    """And the next call goes on from there."""
    script = _DOOMED.format(tests=TESTS, call=call)
    for step in range(0, 40, 5):
        if counts != {0, 2}:
            blocking.start(apps.app(instances=2, port=9100), force=True)
        done = subprocess.run([sys.executable, "-c", script, str(step), blocking.scope.value], check=False)
        assert done.returncode in (0, -signal.SIGKILL)
        found = blocking.list()
        assert len(found[0].instances) in counts if found else 0 in counts
        status = blocking.start(apps.app(instances=2, port=9100), force=True)
        assert [one.state for one in status.instances] == ["active"] * 2
        blocking.delete("all")
        if done.returncode == 0:
            return


def test_two_starts_at_the_same_instant_make_one_app(blocking: BlockingManager) -> None:
    """Two processes; both succeed, with the same instances."""
    command = [grounds.PYSUP, "start", "/bin/sleep", f"--{blocking.scope.value}", "--name", "same", "-i", "2"]
    both = [subprocess.Popen([*command, "--", "infinity"], stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate() and process.returncode for process in both] == [0, 0]
    assert [len(one.instances) for one in blocking.list()] == [2]


def test_a_damaged_spec_is_listed_with_its_problem_and_can_be_deleted(blocking: BlockingManager) -> None:
    """The processes go on; what needs the spec says where it is damaged."""
    pid = blocking.start(apps.app()).instances[0].pid
    blocking.start(apps.app("other"))
    template = blocking._store.runtime / names.template_unit("web")
    template.write_text(template.read_text().replace("Format=1", "Format=one"))
    found = {one.name: one for one in blocking.list()}
    assert (found["web"].spec, found["web"].instances[0].pid) == (None, pid)
    assert "Format" in found["web"].problem
    assert found["other"].spec == apps.app("other")
    for call in (blocking.start, blocking.restart):
        with pytest.raises(CorruptUnit, match=r"pysup-web@\.service"):
            call("web")
    assert [one.state for one in blocking.stop("web")[0].instances] == ["inactive"]
    assert blocking.delete("web") == ["web"]


def test_a_hand_edited_unit_works_as_edited(blocking: BlockingManager) -> None:
    """A template changed by hand is known as such; systemctl edit's drop-ins count, and survive a change of the app."""
    blocking.start(apps.app())
    override = blocking._store.runtime / "pysup-web@.service.d" / "override.conf"
    override.parent.mkdir()
    override.write_text("[Service]\nEnvironment=EDITED=yes\n")
    systemctl(blocking.scope, "daemon-reload")
    pid = blocking.restart("web")[0].instances[0].pid
    assert b"EDITED=yes" in Path(f"/proc/{pid}/environ").read_bytes()
    assert blocking._store.foreign("web") == [override]
    pid = blocking.scale("web", 2).instances[1].pid
    assert b"EDITED=yes" in Path(f"/proc/{pid}/environ").read_bytes()
    override.unlink()
    override.parent.rmdir()


@pytest.mark.systemd_user
def test_an_ordinary_user_may_not_change_the_machines_units() -> None:
    """And is told what to do instead."""
    with BlockingManager(Scope.SYSTEM) as manager, pytest.raises(NotPermitted) as caught:
        manager.start(apps.app())
    assert "sudo" in caught.value.hint


@pytest.mark.systemd_user
def test_a_unit_directory_that_may_not_be_written_is_said() -> None:
    """With its path; nothing is started."""
    with BlockingManager() as manager:
        place = manager._store.runtime
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o500)
        try:
            with pytest.raises((NotPermitted, StoreError), match=str(place)):
                manager.start(apps.app())
            assert manager.list() == []
        finally:
            place.chmod(0o700)


@pytest.mark.systemd
async def test_a_bus_that_goes_away_is_told_and_no_restart_is_missed() -> None:
    """dbus-daemon is restarted while instances crash; the watch comes back by itself."""
    async with Manager() as manager:
        await manager.start(apps.app(restart_limit=0, restart_delay=0.02))
        async with manager.watch() as events:
            pid = (await manager.get("web")).instances[0].pid
            await asyncio.to_thread(systemctl, Scope.SYSTEM, "restart", "dbus.service")
            os.kill(pid, signal.SIGKILL)
            seen = await until(events, Restarting)
    async with Manager() as manager:
        await manager.delete("all")
    assert any(isinstance(event, Lost) for event in seen)
    assert [event.number for event in seen if isinstance(event, Restarting)] == [1]


async def test_a_daemon_reexec_in_between_loses_nothing(manager: Manager) -> None:
    """Neither a watch nor a start that waits for its job."""
    ready = apps.Ready(when=apps.ReadyWhen.SECONDS, seconds=2)
    await manager.start(apps.app(restart_delay=0.02))
    async with manager.watch() as events:
        starting = asyncio.create_task(manager.start(apps.app("slow", ready=ready)))
        await asyncio.to_thread(systemctl, manager.scope, "daemon-reexec")
        os.kill((await manager.get("web")).instances[0].pid, signal.SIGKILL)
        seen = await until(events, Restarting)
        assert [one.state for one in (await starting).instances] == ["active"]
    assert [event.number for event in seen if isinstance(event, Restarting)] == [1]


def test_a_daemon_reexec_while_blocking_code_waits_loses_nothing(blocking: BlockingManager) -> None:
    """It has no event loop, and hears from the bus that systemd is a new process."""
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(blocking.start, SLOW)
        wait_until_activating(blocking)
        systemctl(blocking.scope, "daemon-reexec")
        assert [one.state for one in starting.result(60).instances] == ["active"]


async def test_blocking_code_may_be_called_where_an_event_loop_runs(scope: Scope) -> None:
    """It holds the loop up, as any blocking code does, and half done is nothing."""
    with BlockingManager(scope) as manager:
        assert [one.state for one in manager.start(apps.app()).instances] == ["active"]
        assert [one.state for one in manager.reload("web")[0].instances] == ["active"]
        assert manager.delete("web") == ["web"]


@pytest.mark.systemd
def test_a_bus_that_goes_away_while_blocking_code_waits_is_told() -> None:
    """What was begun goes on."""
    with BlockingManager(Scope.SYSTEM) as manager, ThreadPoolExecutor(1) as pool:
        starting = pool.submit(manager.start, SLOW)
        wait_until_activating(manager)
        systemctl(Scope.SYSTEM, "restart", "dbus.service")
        with pytest.raises(BusLost, match="while systemd worked"):
            starting.result(60)
        assert [one.state for one in manager.start("web")[0].instances] == ["active"]
        manager.delete("all")


async def test_no_restart_goes_unseen_in_a_crash_storm(manager: Manager) -> None:
    """Twenty apps, each ending as fast as it can: as many restarts told as systemd says in the journal, in order."""
    told: dict[str, list[int]] = {f"storm-{number}": [] for number in range(20)}
    began = time.time()
    async with manager.watch() as events, asyncio.timeout(120):
        for name in told:
            storm = apps.app(name, command=programs.shell("exit 1"), restart_limit=0, restart_delay=0)
            await manager.start(storm, wait=False)
        while min(map(len, told.values())) < 50:
            _note(await anext(events), told)
        await manager.stop("all")
        said = await _restarts_in_journal(manager, began)
        while any(told[name][-1] < said[name] for name in told):
            _note(await anext(events), told)
    assert told == {name: list(range(1, said[name] + 1)) for name in told}


def _note(event: Event, told: dict[str, list[int]]) -> None:
    if isinstance(event, Restarting):
        told[event.name.app].append(event.number)


async def _restarts_in_journal(manager: Manager, since: float) -> dict[str, int]:
    """The last number of an automatic restart of each app, in systemd's own words."""
    numbers: dict[str, int] = {}
    options = LogOptions(lines=None, since=since, kinds=frozenset({Kind.SYSTEMD}), grep="restart counter is at")
    async for entry in manager.logs(options=options):
        numbers[entry.instance.app] = int(entry.message.rstrip(".").rpartition(" ")[2])
    return numbers


def test_more_than_a_bus_takes_at_once_is_started_and_stopped(blocking: BlockingManager) -> None:
    """300 instances: dbus-daemon allows 128 calls without a reply."""
    blocking.start(apps.app(instances=300), wait=False)
    status = blocking.start(apps.app(instances=300))
    assert sum(one.is_up for one in status.instances) == 300
    assert sum(one.is_up for one in blocking.list()[0].instances) == 300
    assert not any(one.is_up for one in blocking.stop("web")[0].instances)


def test_what_runs_as_something_else_is_left_alone(blocking: BlockingManager) -> None:
    """The refused start has changed neither files nor processes."""
    blocking.start(apps.app())
    before = {path: path.read_bytes() for path in blocking._store.files("web")}
    with pytest.raises(Conflict):
        blocking.start(apps.app(command=("/bin/sleep", "1000")))
    assert {path: path.read_bytes() for path in blocking._store.files("web")} == before


def test_one_damaged_app_does_not_leave_the_others_half_begun(blocking: BlockingManager) -> None:
    """restart all says which one it is, before anything is stopped."""
    pid = blocking.start(apps.app("a")).instances[0].pid
    blocking.start(apps.app("b"))
    template = blocking._store.runtime / names.template_unit("b")
    template.write_text(template.read_text().replace("Format=1", "Format=one"))
    with pytest.raises(CorruptUnit, match=r"pysup-b@"):
        blocking.restart("all")
    assert blocking.get("a").instances[0].pid == pid
