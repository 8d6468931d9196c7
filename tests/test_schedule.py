"""Times: what cron's way to write them is for systemd, restarts that a timer makes, and jobs."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import apps
import hammer
import programs
from clusters import SHARED
from pysup import cron, parse
from pysup.app import Ready, ReadyWhen, Restart
from pysup.errors import SpecError, StartFailed
from pysup.events import Asked, Event, Started, Stopped
from pysup.journal import Kind
from pysup.listen import Listen
from pysup.logs import LogOptions
from pysup.sync import Manager
from pysup.triggers import Schedule
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

EACH_SECOND = parse.schedule("* * * * * *")
NEVER_SOON = parse.schedule("0 3 29 2 *")


@pytest.mark.parametrize(
    ("text", "calendar"),
    [
        ("0 3 * * *", ["*-*-* 03:00:00"]),
        ("*/15 * * * *", ["*-*-* *:00/15:00"]),
        ("5/10 9-17 * * *", ["*-*-* 09..17:05/10:00"]),
        ("*/10 * * * * *", ["*-*-* *:*:00/10"]),
        ("30 0 3 * * *", ["*-*-* 03:00:30"]),
        ("0 0 1,15 * *", ["*-*-01,15 00:00:00"]),
        ("0 9 * * mon-fri", ["Mon..Fri *-*-* 09:00:00"]),
        ("0 9 * * 0,6", ["Sat..Sun *-*-* 09:00:00"]),
        ("0 9 * * 7", ["Sun *-*-* 09:00:00"]),
        ("0 9 * jan,JUL 1-5/2", ["Mon,Wed,Fri *-01,07-* 09:00:00"]),
        ("0 0 13 * 5", ["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
        ("0 0 */2 * 5", ["Fri *-*-01/2 00:00:00"]),
        ("@daily", ["*-*-* 00:00:00"]),
        ("Mon..Fri 03:00", ["Mon..Fri 03:00"]),
        ("hourly", ["hourly"]),
    ],
)
def test_cron_is_turned_into_calendar_events(text: str, calendar: list[str]) -> None:
    """A day of the month or a day of the week, as in cron; what is systemd's own is left as it is."""
    assert list(parse.schedule(text).calendar) == calendar


def test_a_time_zone_stands_in_each_event() -> None:
    """And in what is shown of the schedule."""
    found = parse.schedule("0 0 13 * 5", zone="Europe/Berlin")
    assert found.calendar == ("*-*-13 00:00:00 Europe/Berlin", "Fri *-*-* 00:00:00 Europe/Berlin")
    assert found.when == "0 0 13 * 5 Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("61 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("* * * * * * *", "wrong number of fields"),
        ("0 0 L * *", "L is not in crontab"),
        ("0 0 * * 1#2", "# is not in crontab"),
        ("0 0 15W * *", "W is not in crontab"),
        ("0 0 ? * *", r"\? is not in crontab"),
        ("@reboot", "@reboot"),
        ("*/0 * * * *", "bad minute"),
        ("", "empty"),
        ("a\nOnCalendar=b\nExecStart=/bin/evil c d e", "schedule is"),
    ],
)
def test_what_cron_cannot_mean_is_refused(text: str, problem: str) -> None:
    """With the field, and what to write instead."""
    with pytest.raises(SpecError, match=problem):
        parse.schedule(text)


_fields = [
    st.sampled_from(["0", "30", "*/20", "10-50/20"]),
    st.sampled_from(["*", "0", "*/7", "5,6,7,40", "3-59/9", "58/3"]),
    st.sampled_from(["*", "3", "9-17", "*/5", "22,23,0"]),
    st.sampled_from(["*", "1", "31", "*/2", "1,15-17"]),
    st.sampled_from(["*", "2", "JAN-MAR", "*/5"]),
    st.sampled_from(["*", "0", "7", "MON-FRI", "1,3,5", "*/2", "6-7"]),
]


@given(st.tuples(*_fields), st.datetimes(datetime(2023, 1, 1), datetime(2029, 1, 1)))
@settings(max_examples=25)
def test_systemd_means_the_same_times_as_cron(fields: tuple[str, ...], base: datetime) -> None:
    """The next five, by the library's reading of the expression and by systemd's of the events."""
    assume(fields[3] != "31" or fields[4] != "2")  # never comes, and cronsim says so
    text, start = " ".join(fields), base.replace(microsecond=0, tzinfo=UTC)
    ahead = CronSim(text, start)
    expected = [next(ahead) for _ in range(5)]
    found: set[datetime] = set()
    for event in cron.calendar(text):
        words = ["systemd-analyze", "calendar", "--iterations=5", f"--base-time={start:%F %T} UTC", f"{event} UTC"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, env={"TZ": "UTC"}).stdout
        times = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", said)
        found |= {datetime.fromisoformat(one).replace(tzinfo=UTC) for one in times}
    assert sorted(found)[:5] == expected


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"instances": 2}, "more than one instance"),
        ({"listen": (Listen(address="8080"),)}, "sockets"),
        ({"ready": Ready(when=ReadyWhen.NOTIFY)}, "ready"),
        ({"memory_restart": 1 << 20}, "memory_restart"),
    ],
)
def test_a_job_is_one_program_that_ends(fields: dict[str, object], problem: str) -> None:
    """What only programs that run all the time can have is refused."""
    with pytest.raises(SpecError, match=problem):
        apps.app(restart=Restart.NO, schedule=NEVER_SOON, **fields)


def test_missed_times_are_made_up_for_by_jobs_only() -> None:
    """An app that runs all the time has just been started by the boot."""
    caught_up = Schedule(when="daily", calendar=("daily",), catch_up=True)
    assert apps.app(restart=Restart.NO, schedule=caught_up).is_job
    with pytest.raises(SpecError, match="catch_up is for jobs"):
        apps.app(schedule=caught_up)


def started(events: Iterator[Event], count: int) -> list[Started]:
    """The next so many instances that come up."""
    seen = (event for event in events if isinstance(event, Started))
    return [next(seen) for _ in range(count)]


def starts(events: Iterator[Event], count: int) -> list[str]:
    """Their names."""
    return [str(event.name) for event in started(events, count)]


def words(manager: Manager, since: float, kind: Kind = Kind.SYSTEMD) -> list[str]:
    """What was said about apps, or by them."""
    return [one.message for one in manager.logs(options=LogOptions(lines=None, since=since, kinds=frozenset({kind})))]


def test_an_app_is_restarted_at_its_times_one_instance_after_the_other(manager: Manager) -> None:
    """Each once the one before it has lived half a second; the journal says why, among systemd's words."""
    began = time.time()
    with manager.watch() as events:
        manager.start(apps.app(instances=2, schedule=EACH_SECOND), wait=False)
        seen = started(events, 4)
    assert [str(one.name) for one in seen[2:]] == ["web@0", "web@1"]
    assert len({one.pid for one in seen}) == 4
    found = manager.get("web")
    said = words(manager, began)
    assert "pysup-web@1.service: restarting, because it is time: * * * * * *" in said
    assert found.last_run is not None
    asked = [one for one in manager.events("web", since=began) if isinstance(one, Asked) and one.why]
    reason = "it is time: * * * * * *"
    assert {(one.verb, one.instances, one.why) for one in asked} == {("restart", (n,), reason) for n in (0, 1)}


def test_what_was_stopped_is_not_started_by_its_schedule(manager: Manager) -> None:
    """Neither the app nor one instance of it; PM2 starts both."""
    manager.start(apps.app(instances=2, schedule=EACH_SECOND), wait=False)
    manager.stop("web@0")
    with manager.watch() as events:
        assert starts(events, 2) == ["web@1", "web@1"]
    (stopped,) = manager.stop("web")
    assert stopped.next_run is None
    assert [one.state for one in stopped.instances] == ["inactive", "inactive"]


def test_restarts_at_times_lose_no_request_where_instances_share_a_socket(manager: Manager) -> None:
    """As pysup reload, but without a spare, and without pysup."""
    port = programs.free_port()
    shared = apps.app(
        command=(*programs.PYTHON[:1], "-c", SHARED, "one"),
        listen=(Listen(address=f"127.0.0.1:{port}", name="http"),),
        instances=2,
        ready=Ready(when=ReadyWhen.NOTIFY, timeout=20),
        schedule=NEVER_SOON,
    )
    before = {one.pid for one in manager.start(shared).instances}
    with hammer.load(port) as tally:
        subprocess.run(["systemctl", f"--{manager.scope.value}", "start", "pysup-web-schedule.service"], check=True)
        tally.wait_for(100)
    assert tally.failures == []
    assert before.isdisjoint(one.pid for one in manager.get("web").instances)


def test_a_restart_that_fails_leaves_the_other_instances_alone(manager: Manager, tmp_path: Path) -> None:
    """It stops at the first that does not come up."""
    tmp_path.chmod(0o755)
    fine = tmp_path / "fine"
    fine.touch()
    command = programs.shell(f"[ -e {fine} ] || exit 1; exec sleep infinity")
    began = time.time()
    before = manager.start(apps.app(command=command, instances=2, schedule=NEVER_SOON, restart_limit=2))
    fine.unlink()
    scope = f"--{manager.scope.value}"
    run = subprocess.run(["systemctl", scope, "start", "pysup-web-schedule.service"], capture_output=True, check=False)
    after = manager.get("web")
    assert run.returncode == 1
    assert (after.instances[0].state, after.instances[1].pid) == ("failed", before.instances[1].pid)
    assert any("did not come up again" in line for line in words(manager, began))
    fine.touch()  # and at the next time what has failed is tried once more
    subprocess.run(["systemctl", scope, "start", "pysup-web-schedule.service"], check=True)
    assert [one.state for one in manager.get("web").instances] == ["active", "active"]


def test_a_job_runs_at_its_times_and_not_at_the_start(manager: Manager, tmp_path: Path) -> None:
    """PM2 runs it once at the start, too. Between its runs it waits, and how the last one ended is known."""
    job = apps.app("job", command=programs.shell("exit 3"), restart=Restart.NO, schedule=NEVER_SOON)
    began = time.time()
    status = manager.start(job)
    assert ([one.state for one in status.instances], status.last_run) == (["waiting"], None)
    assert status.next_run is not None
    assert status.next_run > time.time()
    assert words(manager, began) == []
    with manager.watch() as events:
        manager.start(apps.app("job", command=programs.shell("exit 0"), restart=Restart.NO, schedule=EACH_SECOND))
        next(one for one in events if isinstance(one, Stopped))
    (found,) = manager.list("job")
    assert found.instances[0].state in ("waiting", "activating")
    assert manager.stop("job")[0].instances[0].state == "inactive"


def test_a_job_is_run_now_when_it_is_named_as_an_instance_or_restarted(manager: Manager) -> None:
    """And waited for; how it ends is the command's end."""
    script = programs.shell("echo ran; sleep 0.3; [ -z $FAIL ] || exit 3")
    began = time.time()
    manager.start(apps.app("job", command=script, restart=Restart.NO, schedule=NEVER_SOON))
    manager.start("job@0")
    manager.restart("job")
    assert words(manager, began, Kind.OUT) == ["ran", "ran"]
    manager.start(apps.app("job", command=script, restart=Restart.NO, schedule=NEVER_SOON, env={"FAIL": "1"}))
    with pytest.raises(StartFailed, match="exit code 3"):
        manager.start("job@0")
    found = manager.get("job")
    assert found.instances[0].last_exit is not None
    assert (found.instances[0].last_exit.code, found.instances[0].state) == (3, "failed")


def test_runs_of_a_job_do_not_overlap(manager: Manager) -> None:
    """A time that comes while it runs is passed over."""
    began = time.time()
    script = programs.shell("echo begin; sleep 1.6; echo end")
    manager.start(apps.app("job", command=script, restart=Restart.NO, schedule=EACH_SECOND))
    lines = manager.logs("job", options=LogOptions(since=began, kinds=frozenset({Kind.OUT})), follow=True)
    assert [next(lines).message for _ in range(4)] == ["begin", "end", "begin", "end"]


def test_while_a_job_runs_its_next_time_is_not_said_to_be_none(manager: Manager, pysup: Command) -> None:
    """systemd does not know it until the run ends."""
    began = time.time()
    script = programs.shell("echo begin; exec sleep infinity")
    manager.start(apps.app("job", command=script, restart=Restart.NO, schedule=EACH_SECOND))
    lines = manager.logs("job", options=LogOptions(since=began, kinds=frozenset({Kind.OUT})), follow=True)
    assert next(lines).message == "begin"
    assert "known once this one has ended" in pysup("describe", "job").stdout


def test_the_command_knows_schedules(pysup: Command, scope: Scope) -> None:
    """Start, list, describe, change, save, take away; and what is wrong is exit code 2."""
    assert scope
    try:
        pysup("start", "sleep 1000", "-n", "web", "--schedule", "0 3 * * *", "--schedule-zone", "Europe/Berlin")
        pysup("start", "/bin/true", "-n", "job", "--schedule", "Mon..Fri 03:00", "--restart=no", "--schedule-catch-up")
        table = pysup("list").stdout
        assert re.search(r"(?m)^job +0 +waiting .* in \d+[dhms]", table)
        assert re.search(r"(?m)^web +0 +active .* in \d+h", table)
        pysup("save")
        said = pysup("describe", "all").stdout
        assert "restarted at  0 3 * * * Europe/Berlin (OnCalendar=*-*-* 03:00:00 Europe/Berlin)" in said
        assert "a missed run is made up for" in said
        assert "Persistent=yes" in pysup("cat", "job").stdout
        pysup("start", "job", "--schedule", "Sat 03:00")
        assert "Sat 03:00" in pysup("describe", "job").stdout
        for wrong in ("Someday 03:00", "2020-01-01 03:00"):
            bad = pysup("start", "job", "--schedule", wrong, check=False)
            assert (bad.returncode, "schedule" in bad.stderr) == (2, True)
        pysup("start", "web", "--schedule", "0", "--force")
        assert "restarted at" not in pysup("describe", "web").stdout
        timers = subprocess.run(
            ["systemctl", f"--{scope.value}", "list-timers", "pysup-*"], capture_output=True, text=True, check=True
        ).stdout
        assert "pysup-job-schedule.timer" in timers
        assert "pysup-web-schedule.timer" not in timers
    finally:
        pysup("delete", "all")
