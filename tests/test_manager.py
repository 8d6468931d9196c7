"""What a Manager promises, on a real systemd as root and as an ordinary user, and on the fake."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import apps
import pysup.sync
from pysup import jobs
from pysup.bus.call import Call, Reply
from pysup.errors import Conflict, NotFound, SpecError, StartFailed
from pysup.events import Event, Exited, InstanceEvent, Lost, Restarting, Started, Stopped
from pysup.manager import Manager
from pysup.names import InstanceName
from pysup.testing import FakeSystemd, fake_manager
from pysup.unit import ActiveState, AppStatus, Scope

pytestmark = pytest.mark.contract

FAILING = ("/bin/false",)


@pytest.fixture(
    params=[
        pytest.param("fake"),
        pytest.param(Scope.SYSTEM, marks=pytest.mark.systemd),
        pytest.param(Scope.USER, marks=pytest.mark.systemd_user),
    ]
)
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Manager]:
    """A manager of each kind; what a test started in it is deleted after."""
    made = Manager(request.param) if request.param != "fake" else fake_manager(tmp_path)
    async with made:
        yield made
        await made.delete("all")


def pids(status: AppStatus) -> list[int]:
    """The main processes of an app."""
    return [one.pid for one in status.instances]


def states(status: AppStatus) -> list[str]:
    """The states of an app's instances."""
    return [one.state for one in status.instances]


async def until(events: AsyncIterator[Event], kind: type[Event], name: InstanceName) -> list[Event]:
    """The events up to the first of a kind for an instance."""
    seen = []
    async with asyncio.timeout(20):
        async for event in events:
            seen.append(event)
            if isinstance(event, kind) and isinstance(event, InstanceEvent) and event.name == name:
                return seen
    raise AssertionError(seen)


async def test_start_returns_when_every_instance_runs(manager: Manager) -> None:
    """Each with a process of its own."""
    status = await manager.start(apps.app(instances=3))
    assert states(status) == ["active"] * 3
    assert len(set(pids(status)) - {0}) == 3
    assert [str(one.name) for one in status.instances] == ["web@0", "web@1", "web@2"]


async def test_starting_the_same_again_changes_nothing(manager: Manager) -> None:
    """Same processes."""
    first = await manager.start(apps.app(instances=2))
    assert pids(await manager.start(apps.app(instances=2))) == pids(first)


async def test_another_app_of_that_name_is_a_conflict_until_forced(manager: Manager) -> None:
    """Nothing is touched by the refusal; force replaces."""
    first = await manager.start(apps.app())
    other = apps.app(command=("/bin/sleep", "1000"))
    with pytest.raises(Conflict, match="'web'"):
        await manager.start(other)
    assert pids(await manager.get("web")) == pids(first)
    forced = await manager.start(other, force=True)
    assert forced.spec == other
    assert pids(forced) != pids(first)


async def test_a_stopped_app_stays_known_and_starts_again(manager: Manager) -> None:
    """As it was."""
    await manager.start(apps.app(instances=2, env={"A": "b"}))
    (stopped,) = await manager.stop("web")
    assert states(stopped) == ["inactive"] * 2
    (started,) = await manager.start("web")
    assert states(started) == ["active"] * 2
    assert started.spec == apps.app(instances=2, env={"A": "b"})


async def test_one_instance_can_be_stopped_and_started(manager: Manager) -> None:
    """The others go on."""
    first = await manager.start(apps.app(instances=3))
    (status,) = await manager.stop("web@1")
    assert states(status) == ["inactive"]
    assert states(await manager.get("web")) == ["active", "inactive", "active"]
    await manager.start("web@1")
    found = await manager.get("web")
    assert states(found) == ["active"] * 3
    assert pids(found)[::2] == pids(first)[::2]


async def test_restart_gives_new_processes_and_starts_what_is_stopped(manager: Manager) -> None:
    """As PM2's users know it."""
    first = await manager.start(apps.app(instances=2))
    await manager.stop("web@0")
    (status,) = await manager.restart("web")
    assert states(status) == ["active"] * 2
    assert not set(pids(status)) & set(pids(first))


async def test_scaling_keeps_the_lowest_numbers_running(manager: Manager) -> None:
    """Down takes the highest, up refills; the ones that stay keep their processes."""
    first = await manager.start(apps.app(instances=2))
    more = await manager.scale("web", 4)
    assert pids(more)[:2] == pids(first)
    less = await manager.scale("web", 1)
    assert pids(less) == pids(first)[:1]
    assert len((await manager.list())[0].instances) == 1


async def test_scaling_to_none_is_refused(manager: Manager) -> None:
    """Stop is another word."""
    await manager.start(apps.app())
    with pytest.raises(SpecError, match="instances"):
        await manager.scale("web", 0)


async def test_delete_forgets(manager: Manager) -> None:
    """The name is free, and unknown."""
    await manager.start(apps.app(instances=2))
    assert await manager.delete("web") == ["web"]
    assert await manager.list() == []
    with pytest.raises(NotFound, match="'web'"):
        await manager.get("web")


async def test_secrets_are_kept_for_a_name_and_handed_over(manager: Manager) -> None:
    """Before there is an app, while it runs, with a variable; they go one by one, and the rest with the app."""
    kept = await manager.set_secret("web", "key", b"hunter2")
    assert (kept.name, kept.is_handed_over) == ("key", False)
    started = await manager.start(apps.app())
    assert started.spec
    assert list(started.spec.secrets) == ["key"]
    assert (await manager.set_secret("web", "key", b"hunter3", variable="KEY")).is_handed_over
    changed = await manager.get("web")
    assert changed.spec
    assert dict(changed.spec.secret_env) == {"KEY": "key"}
    assert pids(changed) != pids(started)
    await manager.set_secret("web", "other", b"hunter4", restart=False)
    assert [(one.name, one.variable) for one in manager.secrets("web")] == [("key", "KEY"), ("other", "")]
    assert await manager.remove_secret("web", "key")
    with pytest.raises(NotFound):
        await manager.remove_secret("web", "key")
    await manager.delete("web")
    with pytest.raises(NotFound):
        manager.secrets("web")


async def test_saving_restarts_nothing(manager: Manager) -> None:
    """Nor does taking it back."""
    first = await manager.start(apps.app(instances=2, env={"A": "b"}, port=9000))
    assert await manager.save() == ["web"]
    assert await manager.save() == []
    saved = await manager.get("web")
    assert (saved.saved, saved.spec, pids(saved)) == (True, first.spec, pids(first))
    assert await manager.unsave() == ["web"]
    found = await manager.get("web")
    assert (found.saved, found.spec, pids(found)) == (False, first.spec, pids(first))


async def test_a_saved_app_that_is_stopped_starts_as_it_was_changed(manager: Manager) -> None:
    """Where systemd still has the target loaded, it has the instances that this wants loaded, too, and is told."""
    await manager.start(apps.app(instances=2))
    await manager.save()
    await manager.stop("web")
    assert states(await manager.scale("web", 4)) == ["active"] * 4


async def test_a_program_that_fails_at_once_fails_the_start(manager: Manager) -> None:
    """With systemd's result, and the exit code in plain words."""
    with pytest.raises(StartFailed, match="exit code 1") as caught:
        await manager.start(apps.app("bad", command=FAILING))
    assert caught.value.results == (("pysup-bad@0.service", "exit-code"),)
    assert caught.value.hint


async def test_names_that_mean_nothing_are_errors(manager: Manager) -> None:
    """For every method that takes them."""
    await manager.start(apps.app())
    for call in (
        manager.start,
        manager.stop,
        manager.restart,
        manager.delete,
        manager.list,
        manager.save,
        manager.reset,
    ):
        with pytest.raises(NotFound, match="wbe"):
            await call("wbe")
    with pytest.raises(NotFound, match="nope"):
        await manager.scale("nope", 2)


async def test_a_required_unit_that_is_not_there_is_told_before_anything_is_written(manager: Manager) -> None:
    """By its name, and the app does not come to be."""
    with pytest.raises(NotFound, match="nowhere"):
        await manager.start(apps.app(requires=("nowhere.service",)))
    assert await manager.list() == []


async def test_a_wanted_app_that_is_not_there_is_a_note(manager: Manager) -> None:
    """The start works without it."""
    status = await manager.start(apps.app(wants=("cache",)))
    assert any("cache" in note for note in status.notes)
    assert states(status) == ["active"]


async def test_a_directive_that_systemd_does_not_know_is_a_note(manager: Manager) -> None:
    """It passes over it, and says so in its log only."""
    status = await manager.start(
        apps.app(service={"MemroyMax": "1G", "Nice": "1"}, unit={"Nice": "1", "After": "x.mount"})
    )
    assert [note.partition(" that ")[0] for note in status.notes] == [
        "Nice is no directive for [Unit]",
        "MemroyMax is no directive for [Service]",
    ]


async def test_what_cannot_be_executed_is_refused_before_anything_is_written(manager: Manager, tmp_path: Path) -> None:
    """Program, directory, account and env file are looked at first."""
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    for fields, said in (
        ({"command": ("/nowhere/x",)}, "'/nowhere/x' is not there"),
        ({"command": (str(plain),)}, "not executable"),
        ({"command": (str(tmp_path),)}, "not executable"),
        ({"cwd": "/nowhere"}, "cwd"),
        ({"env_files": ("/nowhere/env",)}, "env file"),
        ({"user": "nobody-of-that-name"}, "user"),
    ):
        with pytest.raises(SpecError, match=said):
            await manager.start(apps.app(**fields))
    assert await manager.list() == []


async def test_events_tell_a_life(manager: Manager) -> None:
    """Started, killed by a signal, restarted, stopped: in order."""
    name = InstanceName("web", 0)
    async with manager.watch() as events:
        await manager.start(apps.app())
        await until(events, Started, name)
        assert await manager.send_signal("web", "KILL") == [name]
        crash = await until(events, Started, name)
        await manager.stop("web")
        end = await until(events, Stopped, name)
    assert [event.signal for event in crash if isinstance(event, Exited)] == [signal.SIGKILL]
    assert [event.number for event in crash if isinstance(event, Restarting)] == [1]
    assert [event.number for event in end if isinstance(event, Restarting)] == []


async def test_events_of_other_apps_are_not_told(manager: Manager) -> None:
    """When one was asked for."""
    await manager.start(apps.app("one"))
    await manager.start(apps.app("two"))
    async with manager.watch("two") as events:
        await manager.stop("one")
        await manager.stop("two")
        seen = await until(events, Stopped, InstanceName("two", 0))
    assert {event.app for event in seen if not isinstance(event, Lost)} == {"two"}


async def test_a_signal_for_what_does_not_run_is_refused(manager: Manager) -> None:
    """And so is a signal that there is not."""
    await manager.start(apps.app())
    with pytest.raises(SpecError, match="SIGNOPE"):
        await manager.send_signal("web", "SIGNOPE")
    await manager.stop("web")
    with pytest.raises(Conflict, match="runs"):
        await manager.send_signal("web", "TERM")


async def test_reset_sets_counters_to_zero(manager: Manager) -> None:
    """Those of systemd's automatic restarts."""
    name = InstanceName("web", 0)
    await manager.start(apps.app())
    async with manager.watch() as events:
        await manager.send_signal("web", "KILL")
        await until(events, Started, name)
    assert [one.restarts for one in (await manager.get("web")).instances] == [1]
    assert await manager.reset("web") == [name]
    assert [one.restarts for one in (await manager.get("web")).instances] == [0]


async def test_instances_are_known_by_namespace(manager: Manager) -> None:
    """namespace/ means all of its apps."""
    await manager.start(apps.app("one", namespace="prod"))
    await manager.start(apps.app("two"))
    await manager.stop("prod/")
    assert {one.name: states(one) for one in await manager.list()} == {"one": ["inactive"], "two": ["active"]}


async def test_several_at_once_never_get_in_each_others_way(manager: Manager) -> None:
    """Starts of one app at the same instant, and of others beside it."""
    same = [manager.start(apps.app(instances=2)) for _ in range(4)]
    others = [manager.start(apps.app(f"other-{number}")) for number in range(3)]
    found = await asyncio.gather(*same, *others)
    assert {tuple(pids(status)) for status in found[:4]} == {tuple(pids(found[0]))}
    assert all(one.active_state is ActiveState.ACTIVE for status in found for one in status.instances)


async def test_a_broken_connection_is_told_and_nothing_after_it_is_missed(tmp_path: Path) -> None:
    """The watch comes back by itself; restarts in the gap follow from systemd's counter."""
    systemd = FakeSystemd(tmp_path / "etc", tmp_path / "run")
    async with fake_manager(tmp_path, systemd) as manager:
        await manager.start(apps.app())
        async with manager.watch() as events:
            systemd.break_connection()
            for _ in range(3):
                systemd.crash("web@0", signal=9)
            seen: list[Event] = []
            async with asyncio.timeout(10):
                while sum(isinstance(event, Restarting) for event in seen) < 3:
                    seen.append(await anext(events))
        assert [event.number for event in seen if isinstance(event, Restarting)] == [1, 2, 3]


async def test_what_a_target_has_stopped_is_not_stopped_once_more(tmp_path: Path) -> None:
    """systemd would load each from disk for that: half of the time that the stop of 1,000 took."""

    class Recording(FakeSystemd):
        stops = 0

        async def calls(self, calls: Sequence[Call]) -> list[Reply]:
            self.stops += sum(call.member == "StopUnit" for call in calls)
            return await super().calls(calls)

    systemd = Recording(tmp_path / "etc", tmp_path / "run")
    async with fake_manager(tmp_path, systemd) as manager:
        await manager.start(apps.app(instances=2 * jobs.AT_ONCE))
        (status,) = await manager.stop("web")
    assert not any(one.is_up for one in status.instances)
    assert systemd.stops == jobs.AT_ONCE


async def test_a_reader_that_is_too_slow_is_told_and_misses_no_restart(tmp_path: Path) -> None:
    """More events than the buffer holds."""
    systemd = FakeSystemd(tmp_path / "etc", tmp_path / "run")
    async with fake_manager(tmp_path, systemd) as manager:
        await manager.start(apps.app())
        watch = manager.watch()
        watch._watch._buffer = 5
        async with watch as events:
            for _ in range(40):
                systemd.crash("web@0", code=1)
            seen: list[Event] = []
            async with asyncio.timeout(10):
                while [event.number for event in seen if isinstance(event, Restarting)][-1:] != [40]:
                    seen.append(await anext(events))
        assert [event.number for event in seen if isinstance(event, Restarting)] == list(range(1, 41))
        assert sum(isinstance(event, Lost) for event in seen) == 1


def test_the_blocking_manager_has_the_same_methods() -> None:
    """Name by name and parameter by parameter; what the one is to the other is neither's."""
    ours = {name: inspect.signature(call) for name, call in _public(Manager).items() if name != "changing"}
    theirs = {name: inspect.signature(call) for name, call in _public(pysup.sync.Manager).items()}
    assert theirs.keys() - {"close"} == ours.keys()
    for name, signature in ours.items():
        assert list(theirs[name].parameters) == list(signature.parameters), name


def _public(kind: type) -> dict[str, object]:
    return {name: value for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}


@pytest.mark.systemd
def test_the_blocking_manager_does_the_same() -> None:
    """A whole life, without an event loop of the caller's."""
    with pysup.sync.Manager() as manager:
        status = manager.start(apps.app(instances=2))
        assert manager.list()[0].instances[0].pid == status.instances[0].pid
        with manager.watch() as events:
            os.kill(status.instances[1].pid, signal.SIGKILL)
            assert any(isinstance(event, Restarting) for event in (next(events) for _ in range(5)))
        assert manager.get("web").instances[1].restarts == 1
        assert manager.delete("all") == ["web"]
