"""What an app's fields do to the processes of it, on a real systemd in both scopes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import apps
import programs
from pysup import parse
from pysup.app import KillMode, Limits, Log, Ready, ReadyWhen, Restart
from pysup.errors import StartFailed
from pysup.events import Event, Exited, Failed, Restarting, Started, Stopped
from pysup.explain import explain
from pysup.host import features
from pysup.journal import Kind
from pysup.logs import LogOptions
from pysup.sync import Manager


def until(events: Iterator[Event], *kinds: type[Event]) -> list[Event]:
    """The events up to the first of some kinds."""
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, kinds):
            break
    return seen


BEGAN = time.time()


@pytest.fixture(autouse=True)
def _begin() -> None:
    """Logs outlive apps: each test looks at its own only."""
    global BEGAN
    BEGAN = time.time()


def words(manager: Manager, kind: Kind = Kind.OUT) -> list[str]:
    """What apps have written since the test began."""
    options = LogOptions(kinds=frozenset({kind}), since=BEGAN)
    return [entry.message for entry in manager.logs(options=options)]


def test_a_killed_instance_is_back_at_once(manager: Manager) -> None:
    """Within the restart delay and what systemd needs."""
    started = manager.start(apps.app()).instances[0]
    with manager.watch() as events:
        os.kill(started.pid, signal.SIGKILL)
        seen = until(events, Started)
    crash = next(event for event in seen if isinstance(event, Exited))
    assert (crash.pid, crash.signal) == (started.pid, signal.SIGKILL)
    assert seen[-1].at - crash.at < 1


@pytest.mark.parametrize(
    ("fields", "end", "restarts"),
    [
        ({"restart": Restart.ALWAYS}, "exit 0", True),
        ({"restart": Restart.ALWAYS}, "exit 3", True),
        ({"restart": Restart.ON_FAILURE}, "exit 0", False),
        ({"restart": Restart.ON_FAILURE}, "exit 3", True),
        ({"restart": Restart.ON_ABNORMAL}, "exit 3", False),
        ({"restart": Restart.ON_ABNORMAL}, "kill -SEGV $$", True),
        ({"restart": Restart.NO}, "kill -SEGV $$", False),
        ({"restart": Restart.ALWAYS, "stop_exit_codes": (3, 4)}, "exit 3", False),
        ({"restart": Restart.ON_FAILURE, "stop_exit_codes": (3, 4)}, "exit 5", True),
    ],
)
def test_the_policy_decides_who_is_started_again(
    manager: Manager, fields: dict[str, object], end: str, restarts: bool
) -> None:
    """By exit code, by signal, or for good."""
    with manager.watch() as events:
        manager.start(apps.app(command=programs.shell(end), **fields), wait=False)
        seen = until(events, Restarting, Failed, Stopped)
    assert isinstance(seen[-1], Restarting) is restarts


def test_systemd_gives_up_at_the_limit_and_a_start_begins_anew(manager: Manager) -> None:
    """So many starts in the window, then failed, with systemd's reason; starting by hand is always possible."""
    app = apps.app(command=programs.shell("exit 1"), restart_limit=3, restart_delay=0.01)
    for _ in range(2):
        with manager.watch() as events:
            manager.start(app, wait=False)
            seen = until(events, Failed)
        assert [event.number for event in seen if isinstance(event, Restarting)] == [1, 2, 3]
        assert [event.result for event in seen if isinstance(event, Failed)] == ["start-limit-hit"]
        why = explain(manager.get("web").instances[0], app)
        assert why is not None
        assert "gave up; last: exit code 1" in why.what


def test_each_instance_knows_its_number_and_has_its_port(manager: Manager) -> None:
    """PYSUP_APP, PYSUP_INSTANCE, NODE_APP_INSTANCE and PORT, which is the base and the number."""
    script = 'echo "$PYSUP_APP $PYSUP_INSTANCE $NODE_APP_INSTANCE $PORT"; exec sleep infinity'
    status = manager.start(apps.app(command=programs.shell(script), instances=3, port=9001))
    assert [one.port for one in status.instances] == [9001, 9002, 9003]
    assert sorted(words(manager)) == [f"web {n} {n} {9001 + n}" for n in range(3)]


def test_one_instance_for_each_cpu_on_its_own_cpu(manager: Manager) -> None:
    """As many as the caller may run on."""
    cpus = sorted(os.sched_getaffinity(0))
    status = manager.start(apps.app(instances="per-core"))
    assert [one.cpus for one in status.instances] == [(cpu,) for cpu in cpus]
    assert [os.sched_getaffinity(one.pid) for one in status.instances] == [{cpu} for cpu in cpus]


def test_a_reserved_cpu_is_left_free(manager: Manager) -> None:
    """The first one."""
    cpus = sorted(os.sched_getaffinity(0))
    status = manager.start(apps.app(instances="per-core", reserve=1))
    assert [one.cpus for one in status.instances] == [(cpu,) for cpu in cpus[1:]]


def test_environment_files_are_read_and_values_of_the_app_win(manager: Manager, tmp_path: Path) -> None:
    """In the order in which they are named."""
    (tmp_path / "one.env").write_text("A=1\nB=1\nC=1\n")
    (tmp_path / "two.env").write_text("B=2\nC=2\n")
    files = (str(tmp_path / "one.env"), str(tmp_path / "two.env"))
    manager.start(
        apps.app(command=programs.shell('echo "$A $B $C"; exec sleep infinity'), env_files=files, env={"C": "3"})
    )
    assert words(manager) == ["1 2 3"]


def test_limits_are_in_force(manager: Manager) -> None:
    """As the kernel has them."""
    limits = Limits(nofile=512, tasks_max=50)
    pid = manager.start(apps.app(limits=limits, nice=5)).instances[0].pid
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (512, 512)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 5


@pytest.mark.systemd
def test_a_memory_limit_is_in_force() -> None:
    """A program that takes more is killed, and started again."""
    eater = (sys.executable, "-I", "-c", "x = bytearray(200 << 20)\nimport threading; threading.Event().wait()")
    with Manager() as manager, manager.watch() as events:
        manager.start(apps.app(command=eater, limits=Limits(memory_max=64 << 20)), wait=False)
        seen = until(events, Restarting)
        manager.delete("all")
    assert [event.signal for event in seen if isinstance(event, Exited)] == [signal.SIGKILL]


@pytest.mark.systemd
def test_an_app_runs_as_the_user_that_it_names() -> None:
    """With that user's group, home and name, and a file of environment that only root can read."""
    script = 'id -un; id -gn; echo "$HOME $SECRET"; exec sleep infinity'
    with Manager() as manager:
        status = manager.start(apps.app(command=programs.shell(script), user="games", env={"SECRET": "s3cr3t"}))
        said = words(manager)
        manager.delete("all")
    assert said == ["games", "games", "/usr/games s3cr3t"]
    assert status.instances[0].user == "games"


@pytest.mark.systemd
def test_values_of_the_environment_are_hidden_from_other_users() -> None:
    """In unit files, in what systemd tells, and in the file that holds them."""
    with Manager() as manager:
        manager.start(apps.app(env={"TOKEN": "s3cr3t-value"}))
        look = "systemctl show pysup-web@0.service; systemctl cat pysup-web@0.service; cat /run/systemd/system/pysup*"
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c", look]
        seen = subprocess.run(as_nobody, capture_output=True, text=True, check=False)
        manager.delete("all")
    assert "pysup-web.env" in seen.stdout
    assert "s3cr3t-value" not in seen.stdout + seen.stderr


@pytest.mark.parametrize(
    ("ready", "command"),
    [
        ("tcp", programs.server(delay=0.3)),
        ("http://127.0.0.1:{port}/", programs.server(delay=0.3)),
        ("http://127.0.0.1:{port}/health?x=%20 503", programs.server(503)),
        ("notify", programs.notifier()),
        ("500ms", apps.SLEEP),
    ],
)
def test_an_instance_is_active_only_once_it_is_ready(manager: Manager, ready: str, command: tuple[str, ...]) -> None:
    """Whatever the condition is."""
    port = programs.free_port()
    status = manager.start(apps.app(command=command, port=port, ready=parse.ready(ready, timeout=20)))
    assert [one.state for one in status.instances] == ["active"]


@pytest.mark.parametrize(
    ("ready", "command", "result"),
    [
        ("tcp", apps.SLEEP, "timeout"),
        ("http://127.0.0.1:{port}/", programs.server(500), "timeout"),
        ("notify", programs.notifier("never"), "timeout"),
        ("tcp", programs.shell("echo last words >&2; exit 7"), "exit-code"),
        ("5s", programs.shell("echo last words >&2; exit 7"), "exit-code"),
    ],
)
def test_an_instance_that_does_not_become_ready_fails_the_start(
    manager: Manager, ready: str, command: tuple[str, ...], result: str
) -> None:
    """With systemd's result; if the program has ended, without waiting for the time that it had."""
    port = programs.free_port()
    condition = parse.ready(ready, timeout=1.5 if result == "timeout" else 60)
    with pytest.raises(StartFailed) as caught:
        manager.start(apps.app(command=command, port=port, ready=condition, restart=Restart.NO))
    assert caught.value.results == (("pysup-web@0.service", result),)
    if result == "exit-code":
        assert "exit code 7" in str(caught.value)
        assert caught.value.log == ("last words",)


def test_stderr_is_told_from_stdout(manager: Manager) -> None:
    """In the journal, by priority."""
    manager.start(apps.app(command=programs.shell("echo out; echo err >&2; exec sleep infinity")))
    assert words(manager, Kind.ERR) == ["err"]
    assert words(manager) == ["out"]


def test_output_can_go_to_files(manager: Manager, tmp_path: Path) -> None:
    """One for each instance, appended to."""
    log = Log(output=str(tmp_path / "out-{instance}.log"), error=str(tmp_path / "err.log"))
    (tmp_path / "out-0.log").write_text("before\n")
    manager.start(apps.app(command=programs.shell("echo out; echo err >&2; exec sleep infinity"), log=log, instances=2))
    assert (tmp_path / "out-0.log").read_text() == "before\nout\n"
    assert (tmp_path / "out-1.log").read_text() == "out\n"
    assert (tmp_path / "err.log").read_text() == "err\nerr\n"


def test_a_stop_is_asked_for_with_the_signal_that_was_chosen(manager: Manager) -> None:
    """And waits for the program to end by itself."""
    script = "trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.05; done"
    manager.start(apps.app(command=programs.shell(script), stop_signal="INT"))
    (status,) = manager.stop("web")
    assert [(one.state, one.result) for one in status.instances] == [("inactive", "success")]
    assert words(manager) == ["up", "bye"]


def test_what_does_not_stop_in_time_is_killed(manager: Manager) -> None:
    """With everything that it started."""
    script = "trap '' TERM; sleep infinity & while :; do sleep 0.05; done"
    manager.start(apps.app(command=programs.shell(script), stop_timeout=0.3))
    with manager.watch() as events:
        (status,) = manager.stop("web")
        seen = until(events, Failed, Stopped)
    assert status.instances[0].result in ("timeout", "success")
    assert [event.signal for event in seen if isinstance(event, Exited)] == [signal.SIGKILL]


def test_double_forked_children_end_with_the_app(manager: Manager) -> None:
    """The control group knows them all; PM2 loses these."""
    script = "(setsid sh -c 'sleep infinity & echo child $!') ; exec sleep infinity"
    manager.start(apps.app(command=programs.shell(script)))
    child = int(words(manager)[0].removeprefix("child "))
    assert Path(f"/proc/{child}").exists()
    manager.stop("web")
    assert not Path(f"/proc/{child}").exists()


def test_only_the_main_process_is_asked_when_that_is_wanted(manager: Manager) -> None:
    """KillMode=mixed: the others are killed when it is gone."""
    script = "sh -c \"trap 'echo child asked' TERM; while :; do sleep 0.05; done\" & trap 'echo asked; exit' TERM; wait"
    manager.start(apps.app(command=programs.shell(script), kill_mode=KillMode.MIXED))
    manager.stop("web")
    assert words(manager) == ["asked"]


def test_what_an_app_requires_is_started_before_it(manager: Manager) -> None:
    """And an app that requires another starts it."""
    manager.start(apps.app("base", ready=Ready(when=ReadyWhen.SECONDS, seconds=0.3)))
    manager.stop("base")
    manager.start(apps.app("top", requires=("base",)))
    found = {one.name: one.instances[0] for one in manager.list()}
    assert [one.state for one in found.values()] == ["active", "active"]
    assert (found["base"].since or 0) < (found["top"].since or 0)


def test_extra_directives_are_handed_on(manager: Manager) -> None:
    """As they are, at the end of their sections."""
    app = apps.app(unit={"Documentation": "https://example.org/"}, service={"LimitCORE": "0", "UMask": "0077"})
    pid = manager.start(app).instances[0].pid
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text()
    assert manager.get("web").spec == app


def test_what_this_systemd_cannot_do_is_said_and_not_dropped_in_silence(manager: Manager) -> None:
    """As a note with the start that asked for it."""
    status = manager.start(apps.app(service={"RestartSteps": "5"}))
    version = features.parse_version(subprocess.check_output(["systemctl", "--version"], text=True)) or 0
    assert [note for note in status.notes if "RestartSteps" in note] == (
        [] if version >= 254 else ["RestartSteps does nothing here: every restart waits the same time"]
    )


def test_a_program_that_computes_for_a_while_before_it_fails_fails_its_start(manager: Manager) -> None:
    """As large ones do that load for a second, and any on a busy machine: what never comes to rest is not awaited."""
    code = "import time; end = time.monotonic() + {}\nwhile time.monotonic() < end: pass\nraise SystemExit(3)"
    with pytest.raises(StartFailed, match="exit code 3"):
        manager.start(apps.app(command=(*programs.PYTHON, code.format(1)), restart=Restart.NO))
    started = manager.start(apps.app("hog", command=(*programs.PYTHON, code.format(3600)), restart=Restart.NO))
    assert [one.is_up for one in started.instances] == [True]


def test_a_start_fails_with_the_first_failure_though_systemd_goes_on_trying(manager: Manager) -> None:
    """A program that never becomes ready and is started again and again, without a limit."""
    app = apps.app(
        command=programs.shell("sleep 0.1; exit 7"), ready=parse.ready("notify", timeout=60), restart_limit=0
    )
    with pytest.raises(StartFailed):
        manager.start(app)


def test_an_app_is_not_what_another_of_its_name_was_that_left_a_process(manager: Manager) -> None:
    """systemd keeps a unit loaded as long as one of its processes is there, and must be told of the new one."""
    left = manager.start(
        apps.app(command=programs.shell("sleep 1000 & exec sleep 1000"), kill_mode=KillMode.PROCESS)
    ).instances[0]
    (child,) = Path(f"/proc/{left.pid}/task/{left.pid}/children").read_text().split()
    try:
        manager.delete("web")
        pid = manager.start(apps.app(command=("/bin/sleep", "2000"))).instances[0].pid
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"/bin/sleep\x002000\x00"
    finally:
        os.kill(int(child), signal.SIGKILL)
