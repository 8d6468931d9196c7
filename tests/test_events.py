"""What happens to apps, live and as history: on a real systemd and journald, and whatever the journal may hold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import apps
import programs
import running
from pysup import chronicle, deeds, parse
from pysup.brakes import Specs
from pysup.cli import eventlines
from pysup.events import (
    Asked,
    Deleted,
    Event,
    Exited,
    Failed,
    HookRan,
    InstanceEvent,
    Limited,
    LimitHit,
    Reloaded,
    Reloading,
    Restarting,
    Saved,
    Scaled,
    SecretRemoved,
    SecretSet,
    Started,
    Starting,
    Stopped,
    Stopping,
    Unsaved,
)
from pysup.history import Wanted
from pysup.journal import words
from pysup.journal.record import FIELDS, Record
from pysup.manager import Manager
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.strain import Strain
from pysup.sync import Manager as BlockingManager
from pysup.unit import Scope

NAME = InstanceName("web", 0)


@pytest.fixture
async def manager(scope: Scope) -> AsyncIterator[Manager]:
    """A manager, cleaned up after."""
    async with Manager(scope) as made:
        yield made
        await made.delete("all")


async def until(events: AsyncIterator[Event], done: Callable[[list[Event]], bool]) -> list[Event]:
    """The events up to one with which it is done."""
    seen: list[Event] = []
    try:
        async with asyncio.timeout(30):
            while not (seen and done(seen)):
                seen.append(await anext(events))
    except TimeoutError:
        pytest.fail(f"it did not come; told was {seen}", pytrace=False)
    return seen


def systemctl(scope: Scope, *arguments: str) -> None:
    subprocess.run(["systemctl", f"--{scope.value}", *arguments], check=True, capture_output=True)


# One row for each of the table's: the app that brings it about, and what must be told of it.
LIVES = {
    "fails": apps.app("fails", command=programs.shell("exit 3"), restart_limit=2, restart_delay=0.01),
    "ends": apps.app("ends", command=programs.shell("exit 0"), restart="on-failure"),
    "faults": apps.app("faults", command=programs.shell("kill -SEGV $$"), restart="no"),
    "sleeps": apps.app("sleeps", service={"WatchdogSec": ("100ms",)}, restart="no"),
    "reloads": apps.app("reloads", service={"ExecReload": ("/bin/true",)}),
    "stubborn": apps.app(
        "stubborn", command=programs.shell("trap : TERM; while :; do sleep 0.05; done"), stop_timeout=0.2
    ),
}
ROWS = [
    ("reloads", Starting, {}),
    ("reloads", Started, {}),
    ("fails", Exited, {"code": 3, "signal": None, "result": "exit-code", "by": "itself"}),
    ("ends", Exited, {"result": "success", "by": "itself", "asked": False}),
    ("ends", Stopped, {}),
    ("faults", Exited, {"signal": 11, "by": "itself"}),
    ("faults", Failed, {"gave_up": False}),
    ("fails", Restarting, {"number": 2}),
    ("fails", Failed, {"gave_up": True}),
    ("sleeps", Exited, {"signal": 6, "result": "watchdog", "by": "watchdog"}),
    ("sleeps", Failed, {"result": "watchdog"}),
    ("reloads", Reloading, {}),
    ("reloads", Stopping, {}),
    ("reloads", Exited, {"result": "success", "asked": True, "by": "systemd"}),
    ("reloads", Stopped, {}),
    ("stubborn", Exited, {"signal": 9, "result": "timeout", "by": "systemd"}),
    ("stubborn", Failed, {"result": "timeout"}),
]
_TOLD: dict[Scope, tuple[list[Event], list[Event]]] = {}


async def _lives(scope: Scope) -> tuple[list[Event], list[Event]]:
    """All lives, once for each scope: what was told live, and what history tells."""
    if scope not in _TOLD:
        began = time.time()
        async with Manager(scope) as manager:
            try:
                async with manager.watch() as events:
                    for app in LIVES.values():
                        await manager.start(app, wait=False)
                    over = {"fails", "ends", "faults", "sleeps"}
                    seen = await until(
                        events, lambda told: over <= {e.app for e in told if isinstance(e, (Failed, Stopped))}
                    )
                    systemctl(scope, "reload", "pysup-reloads@0.service")
                    await manager.stop(["reloads", "stubborn"])
                    over = {"reloads", "stubborn"}
                    seen += await until(
                        events, lambda told: over <= {e.app for e in told if isinstance(e, (Failed, Stopped))}
                    )
                _TOLD[scope] = seen, await manager.events(since=began)
            finally:
                await manager.delete("all")
    return _TOLD[scope]


def _are(events: list[Event], app: str, kind: type, fields: dict[str, object]) -> bool:
    return any(
        isinstance(event, kind)
        and isinstance(event, InstanceEvent)
        and event.app == app
        and fields.items() <= {name: getattr(event, name) for name in fields}.items()
        for event in events
    )


@pytest.mark.parametrize(("app", "kind", "fields"), ROWS)
async def test_each_row_of_the_table_is_what_systemd_says(
    scope: Scope, app: str, kind: type, fields: dict[str, object]
) -> None:
    """In the journal, and live; systemd may pass over a beginning so quickly that it is not told live."""
    live, history = await _lives(scope)
    is_silent = scope is Scope.USER and app == "ends"  # a user's manager says nothing of a good end that it leaves so
    assert is_silent or _are(history, app, kind, fields), [event for event in history if event.app == app]  # type: ignore[union-attr]
    assert kind is Starting or _are(live, app, kind, fields), [event for event in live if event.app == app]  # type: ignore[union-attr]


async def test_history_and_live_tell_the_same_exits_and_restarts(scope: Scope) -> None:
    """In the same order for each instance, with the same invocations; only live knows PIDs."""
    live, history = await _lives(scope)

    def ends(events: list[Event], app: str) -> list[tuple[type, object, object]]:
        kinds = (Exited, Restarting, Failed)
        return [
            (type(e), getattr(e, "result", None), getattr(e, "number", None))
            for e in events
            if isinstance(e, kinds) and e.app == app
        ]

    for app in LIVES.keys() - ({"ends"} if scope is Scope.USER else set()):
        assert ends(live, app) == ends(history, app)
    assert all(event.pid for event in live if isinstance(event, Exited))
    told = {event.invocation_id for event in live if isinstance(event, Exited) and event.app != "ends"}
    assert told == {event.invocation_id for event in history if isinstance(event, Exited) and event.app != "ends"}


def test_every_id_of_the_table_was_seen_or_needs_what_this_machine_lacks() -> None:
    """Ids are systemd's own: its catalog has them all, but for that of systemd-oomd, which came later."""
    catalog = subprocess.run(["journalctl", "--list-catalog"], capture_output=True, text=True, check=True).stdout
    there = {line.split(" ")[0] for line in catalog.splitlines()} | {"d989611b15e44c9dbf31e3c81256e4ed"}
    assert {*chronicle.TABLE, *chronicle.REASONS} <= there


async def test_what_pysup_does_is_told_and_remembered(manager: Manager) -> None:
    """By whom, too."""
    began = time.time()
    async with manager.watch() as events:
        await manager.start(apps.app())
        await manager.scale("web", 2)
        await manager.save("web")
        await manager.unsave("web")
        await manager.reload("web")
        await manager.restart("web@1")
        await manager.limit("web@1", ["nofile=500"])
        await manager.set_secret("web", "key", b"hunter2", restart=False)
        await manager.remove_secret("web", "key", restart=False)
        await manager.delete("web")
        seen = await until(events, lambda told: isinstance(told[-1], Deleted))
    expected = [Asked, Scaled, Saved, Unsaved, Reloaded, Asked, Limited, SecretSet, SecretRemoved, Deleted]
    live = [event for event in seen if not isinstance(event, InstanceEvent)]
    assert [type(event) for event in live] == expected
    past = [event for event in await manager.events(since=began) if not isinstance(event, InstanceEvent)]
    assert past == live
    assert {event.by for event in live} == {"root" if manager.scope is Scope.SYSTEM else os.environ["USER"]}  # type: ignore[union-attr]
    assert [(e.before, e.count) for e in live if isinstance(e, Scaled)] == [(1, 2)]
    assert [(e.verb, e.instances) for e in live if isinstance(e, Asked)] == [("start", ()), ("restart", (1,))]
    assert [e.instances for e in live if isinstance(e, Limited)] == [(1,)]
    assert {e.secret for e in live if isinstance(e, (SecretSet, SecretRemoved))} == {"key"}


async def test_what_happened_before_is_joined_to_what_happens_without_a_gap(manager: Manager) -> None:
    """An app that ends again and again while the watch begins: each restart once, in order."""
    began = time.time()
    await manager.start(apps.app(command=programs.shell("sleep 0.05; exit 1"), restart_limit=0), wait=False)
    async with manager.watch() as before:
        await until(before, lambda told: sum(isinstance(event, Restarting) for event in told) == 3)
    for _ in range(3):
        async with manager.watch(since=began) as events:
            seen = await until(events, lambda told: sum(isinstance(event, Restarting) for event in told) == 8)
        told = [event.number for event in seen if isinstance(event, Restarting)]
        assert told == list(range(1, 9))


async def test_what_happened_before_has_the_process_of_a_run_that_goes_on(manager: Manager) -> None:
    """That of a run that has ended is known to nobody."""
    began = time.time()
    await manager.start(apps.app())
    await manager.restart("web")
    status = await manager.get("web")
    async with manager.watch(since=began) as events:
        seen = await until(events, lambda told: sum(isinstance(event, Started) for event in told) == 2)
    assert [event.pid for event in seen if isinstance(event, Started)] == [0, status.instances[0].pid]


async def test_a_restart_by_a_companion_is_told_with_its_reason(manager: Manager) -> None:
    """Such as that its time has come; nobody's name stands there."""
    async with manager.watch() as events:
        await manager.start(apps.app(schedule=parse.schedule("* * * * * *")), wait=False)
        seen = await until(events, lambda told: isinstance(told[-1], Asked) and bool(told[-1].why))
    asked = seen[-1]
    assert isinstance(asked, Asked)
    assert (asked.verb, asked.instances, asked.by) == ("restart", (0,), "")
    assert asked.why.startswith("it is time")


@pytest.mark.systemd
def test_forged_entries_are_ignored() -> None:
    """Somebody else may write anything into the journal, but not as root; and root is not systemd."""
    began = time.time()
    forged = [
        deeds.encode(Deleted(app="web", at=0, by="root"), Scope.SYSTEM),
        {
            "MESSAGE": "pysup-web@0.service: Main process exited, code=exited, status=1/FAILURE",
            "MESSAGE_ID": "98e322203f7a4ed290d09fe03c09fe15",
            "UNIT": NAME.unit,
            "EXIT_CODE": "exited",
            "EXIT_STATUS": "1",
            "SYSLOG_IDENTIFIER": "systemd",
        },
    ]
    script = (
        "import socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "sock.sendto(sys.stdin.buffer.read(), '/run/systemd/journal/socket')\n"
    )
    for user in ("nobody", "root"):
        for fields in forged:
            entry = "".join(f"{key}={value}\n" for key, value in fields.items()).encode()
            subprocess.run([sys.executable, "-c", script], input=entry, user=user, check=True)
    subprocess.run(["journalctl", "--sync"], check=True)
    with BlockingManager(Scope.SYSTEM) as manager:
        assert [type(event) for event in manager.events(since=began)] == [Deleted]  # root's own


@pytest.mark.systemd
async def test_a_journald_that_goes_away_and_comes_back_is_followed() -> None:
    """What pysup does after that is told as before."""
    async with Manager(Scope.SYSTEM) as manager:
        await manager.start(apps.app())
        async with manager.watch() as events:
            await asyncio.to_thread(systemctl, Scope.SYSTEM, "restart", "systemd-journald.service")
            await manager.delete("web")
            await until(events, lambda told: isinstance(told[-1], Deleted))


@pytest.mark.systemd
@pytest.mark.contract
async def test_a_daemon_reload_tells_nothing_twice() -> None:
    """systemd forgets all units and has them again."""
    async with Manager(Scope.SYSTEM) as manager:
        await manager.start(apps.app("broken", command=programs.shell("exit 1"), restart="no"), wait=False)
        await manager.start(apps.app())
        async with manager.watch() as events:
            await asyncio.to_thread(systemctl, Scope.SYSTEM, "daemon-reload")
            await manager.send_signal("web", "KILL")
            seen = await until(events, lambda told: isinstance(told[-1], Started))
        await manager.delete("all")
    # The executor of a newer systemd takes its time: where that is slow, it is seen to be starting.
    assert [type(event) for event in seen if not isinstance(event, Starting)] == [Exited, Restarting, Started]


# Makes a process for each line that it reads, if it may.
_FORKS = """
import os, sys
for line in open(os.open(sys.argv[1], os.O_RDWR)):
    try:
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    except OSError:
        pass
"""


@pytest.mark.systemd
def test_limits_that_are_hit_are_counted(tmp_path: Path) -> None:
    """Processes that could not be made; the first look tells nothing."""
    fifo = tmp_path / "orders"
    os.mkfifo(fifo)
    with BlockingManager(Scope.SYSTEM) as manager:
        app = apps.app(command=(*programs.PYTHON, _FORKS, str(fifo)), limits=apps.Limits(tasks_max=1))
        one = manager.start(app, wait=False) and manager.get("web").instances[0]
        state = UnitState(unit=one.name.unit, pid=one.pid, control_group=one.control_group, invocation_id="a")
        strain, found = Strain(), list[LimitHit]()
        assert [*strain.look([(NAME, state)])] == []
        deadline = time.monotonic() + 30
        with fifo.open("w") as orders:
            while not found and time.monotonic() < deadline:
                orders.write("\n")
                orders.flush()
                found = [*strain.look([(NAME, state)])]
        assert Specs(manager._store).is_limited("web")
        manager.delete("web")
    assert [(event.name, event.limit) for event in found] == [(NAME, "tasks")]


def test_the_command_tells_what_happened(scope: Scope, pysup: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """As lines, and as JSON, with the same fields for every event; what comes while it follows; and it ends."""
    with running.Running("events", "--since", "now", "--json") as live:
        with BlockingManager(scope) as manager:
            pysup("start", "/bin/sleep", "--name", "told", "--", "infinity")
            first = json.loads(live.expect(r'\{"event": "started".*\n'))
            pid = manager.get("told").instances[0].pid
            assert (first["id"], first["pid"], first["unit"]) == ("told@0", pid, "pysup-told@0.service")
            os.kill(pid, signal.SIGKILL)
            end = json.loads(live.expect(r'\{"event": "exited".*\n'))
            assert (end["signal"], end["by"], end["pid"]) == (9, "somebody", pid)
            live.expect('"restarting"')
        pysup("delete", "told")
        live.expect('"deleted"')
        assert live.interrupt() == 130
    said = pysup("events", "--no-follow", "--since", "2min").stdout
    assert "told@0           exited     signal SIGKILL, sent by somebody" in said
    assert "told             deleted    by " in said
    objects = [json.loads(line) for line in pysup("events", "--no-follow", "--json").stdout.splitlines()]
    common = {"event", "time", "at", "id", "name", "instance", "unit", "pid", "invocation_id"}
    assert all(common <= one.keys() for one in objects)
    assert pysup("events", "nobody-knows", check=False).returncode == 1


def test_it_ends_when_nobody_reads_any_more(scope: Scope) -> None:
    """Though nothing happens that it could fail to write."""
    with running.Running("events", f"--{scope.value}", "--since", "now") as following:
        assert following.process.stdout
        following.process.stdout.close()
        assert following.ended() == 1


def record(**fields: object) -> Record:
    """An entry of systemd's about web@0."""
    usual = {"_UID": "0", "_PID": "1", "UNIT": NAME.unit, "INVOCATION_ID": "a" * 32, "SYSLOG_IDENTIFIER": "systemd"}
    return Record("cursor", 5_000_000, {**usual, **fields})


def story(*entries: Record) -> list[Event]:
    """What entries tell."""
    said = [word for one in entries if (word := words.to_word(one, Scope.SYSTEM, 0))]
    return [*chronicle.tell(said, now=100.0)]


def test_who_was_killed_for_want_of_memory_is_told_so() -> None:
    """This machine's control groups do not tell systemd; these are its words where they do."""
    oom = record(MESSAGE_ID="fe6faa94e7774663a0da52717891d8ef", MESSAGE="A process of this unit has been killed")
    end = record(
        MESSAGE_ID="98e322203f7a4ed290d09fe03c09fe15", EXIT_CODE="killed", EXIT_STATUS="9", COMMAND="ExecStart"
    )
    (exited,) = story(oom, end)
    assert isinstance(exited, Exited)
    assert (exited.result, exited.by, exited.signal) == ("oom-kill", "kernel", 9)


def test_ends_of_helpers_are_not_the_ends_of_instances() -> None:
    """Such as a ready condition's."""
    helper = record(
        MESSAGE_ID="98e322203f7a4ed290d09fe03c09fe15", EXIT_CODE="exited", EXIT_STATUS="1", COMMAND="ExecStartPost"
    )
    assert story(helper) == []


values = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30),
    st.lists(st.integers(0, 255), max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(["", "0", "1", "9" * 40, "exited", "killed", "dumped", "x" * 100_000, NAME.unit, "system", "web"]),
    st.sampled_from([*chronicle.TABLE, *chronicle.REASONS, deeds.MESSAGE_ID]),
)
fields = st.dictionaries(
    st.sampled_from([name for name in FIELDS if name != "SYSLOG_IDENTIFIER"]),
    values,
    max_size=12,
)


@given(st.lists(fields, max_size=12))
def test_whatever_the_journal_holds_is_read(entries: list[dict[str, object]]) -> None:
    """Binary values, values given twice, huge ones, missing ones: no error, and only events that can be printed."""
    records = [record(**one) for one in entries]
    told = [*story(*records), *(deed for one in records if (deed := words.to_deed(one, Scope.SYSTEM, 0)))]
    for event in told:
        json.dumps(eventlines.as_object(event))
        assert eventlines.line(event).isprintable()


DEEDS = [
    Asked(app="web", at=5.0, by="ada", verb="stop", instances=(0, 2)),
    Reloaded(app="web", at=5.0, by="ada"),
    Scaled(app="web", at=5.0, by="ada", before=1, count=4),
    Limited(app="web", at=5.0, by="ada"),
    Limited(app="web", at=5.0, by="ada", instances=(1,)),
    SecretSet(app="web", at=5.0, by="ada", secret="db-password"),
    SecretRemoved(app="web", at=5.0, by="ada", secret="db-password"),
    Saved(app="web", at=5.0),
    Unsaved(app="web", at=5.0),
    Deleted(app="web", at=5.0),
    HookRan(app="web", at=5.0, hook="on_failure", instance=1, problem="exit code 1"),
]


@pytest.mark.parametrize("event", DEEDS)
def test_deeds_come_back_from_the_journal_as_they_were(event: Event) -> None:
    """In their own scope only."""
    entry = record(**deeds.encode(event, Scope.SYSTEM))  # type: ignore[arg-type]
    assert words.to_deed(entry, Scope.SYSTEM, 0) == event
    assert words.to_deed(entry, Scope.USER, 0) is None
    assert words.to_deed(entry, Scope.SYSTEM, 1000) is None


def test_those_who_were_chosen_are_wanted() -> None:
    """Whole apps, or instances; an app's own events for either."""
    chosen = Wanted(scope=Scope.SYSTEM, uid=0, apps=frozenset({"api"}), instances=frozenset({NAME}))
    assert [chosen.has(InstanceName(*one)) for one in (("api", 7), ("web", 0), ("web", 1))] == [True, True, False]
    assert [chosen.has_app(app) for app in ("api", "web", "other")] == [True, True, False]
