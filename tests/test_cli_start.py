"""``pysup start``: from words to a Request, from a Request to an App."""

from __future__ import annotations

import os
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from pysup import local
from pysup.app import PER_CORE, App, KillMode, Limits, Log, Placement, Restart
from pysup.cli import start, wanted
from pysup.cli.frame import WithArguments
from pysup.cli.request import Request
from pysup.cli.requesting import takes_request
from pysup.errors import SpecError
from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
from pysup.host import cpus
from pysup.isolate import Isolation, Level
from pysup.limits import NumaPolicy
from pysup.selector import Known
from pysup.unit import Scope

COUNT = len(cpus.allowed())


def request(*words: str) -> Request:
    """What the words are taken for."""
    caught: list[Request] = []
    one = typer.Typer(rich_markup_mode=None)
    one.command(cls=WithArguments)(takes_request()(lambda found: caught.append(found)))
    get_command(one).main(list(words), prog_name="start", standalone_mode=False)
    return caught[0]


def app(*words: str, scope: Scope = Scope.USER) -> App:
    """The new app that the words ask for."""
    found = request(*words)
    return wanted.new_app(found, wanted.find(found, found.targets[0]), scope)[0]


def refused(*words: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        app(*words)
    return caught.value


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A script in the current directory."""
    file = tmp_path / "web.sh"
    file.write_text("#!/bin/sh\nsleep 1\n")
    file.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return "web.sh"


def test_every_field_of_an_app_has_an_option() -> None:
    """An App can say nothing that the command cannot; but for what ``pysup balance`` and ``pysup limit APP@N`` do."""
    options = {field.name for field in fields(Request)}
    nested = {"limits": Limits, "log": Log, "isolate": Isolation}
    wants = {field.name for field in fields(App)} - {
        "command",
        "placement",
        "origin",
        "balance",
        "instance_limits",
        *nested,
    }
    wants |= {field.name for field in (*fields(Limits), *fields(Isolation))} | {
        f"log_{field.name}" for field in fields(Log)
    }
    assert wants - options == set()


def test_words_behind_two_dashes_are_the_programs() -> None:
    """Also those that look like options of ours."""
    assert app("/bin/sleep", "-n", "x", "--", "-n", "--name", "--").command == ("/bin/sleep", "-n", "--name", "--")


def test_a_plain_script_gets_defaults(script: str) -> None:
    """Nothing but its place and a clean environment."""
    found = app(script)
    assert (found.name, found.cwd, found.instances) == ("web", str(Path.cwd()), 1)
    assert set(found.env) <= {"PATH", "LANG"}


def test_every_option_reaches_its_field(script: str) -> None:
    """One line with them all."""
    Path("values.env").touch()
    words = (
        "--name api --namespace prod --description hello --uid nobody --gid nogroup --port 3000 -i 2"
        " --env-file values.env --restart on-failure --restart-delay 2s --restart-limit 3 --restart-window 5min"
        " --stop-exit-codes 0,3 --stop-signal int --stop-timeout 500ms --kill-mode mixed --memory-max 1.5G"
        " --memory-high 512M --memory-swap-max 0 --io-read-max /srv:5M --io-read-max /dev/vda:1k --io-write-max /srv:5"
        " --cpus 0-2 --cpu-affinity 1,0 --numa-policy bind --numa-nodes 0 --total memory=4G --total weight=50"
        " --cpu-quota 150% --cpu-weight 50 --io-weight 60 --tasks-max 70 --nofile 80 --nice -5"
        " --ready tcp --ready-timeout 9s --watchdog 'http://127.0.0.1:{port}/up 200,204' --watchdog-interval 3s"
        " --watchdog-timeout 500ms --watchdog-failures 5 --wants a,b --requires redis-server.service --after c"
        " --log-output out.log --log-error null --log-rate-limit 7"
        " --instance-var WORKER --increment ADMIN_PORT=9000 --restart-delay-max 5s --no-autostart"
        " --isolate strict --writable data --readable /home/x --device /dev/fuse --network loopback,10.0.0.0/8"
        " --bind-low-ports"
        " --unit OnFailure=x.service --service LimitCORE=0 --service Environment=A=1 --service Environment=B=2"
    )
    found = app(script, *shlex.split(words))
    here = str(Path.cwd())
    assert found == App(
        name="api",
        namespace="prod",
        description="hello",
        command=(f"{here}/web.sh",),
        cwd=here,
        user="nobody",
        group="nogroup",
        port=3000,
        instances=2,
        env=found.env,
        env_files=(f"{here}/values.env",),
        restart=Restart.ON_FAILURE,
        instance_var="WORKER",
        increment={"ADMIN_PORT": 9000},
        autostart=False,
        restart_delay=2,
        restart_delay_max=5,
        restart_limit=3,
        restart_window=300,
        stop_exit_codes=(0, 3),
        stop_signal="SIGINT",
        stop_timeout=0.5,
        kill_mode=KillMode.MIXED,
        limits=Limits(
            memory_max=3 * 2**29,
            memory_high=2**29,
            memory_swap_max=0,
            cpu_quota=1.5,
            cpu_weight=50,
            io_weight=60,
            io_read_max=("/dev/vda 1000", "/srv 5000000"),
            io_write_max=("/srv 5",),
            tasks_max=70,
            nofile=80,
            cpus=(0, 1, 2),
            cpu_affinity=(0, 1),
            numa_policy=NumaPolicy.BIND,
            numa_nodes=(0,),
        ),
        total=Limits(memory_max=2**32, cpu_weight=50, io_weight=50),
        nice=-5,
        ready=Ready(when=ReadyWhen.TCP, timeout=9),
        watchdog=Watchdog(
            when=WatchdogWhen.HTTP,
            url="http://127.0.0.1:{port}/up",
            statuses=(200, 204),
            interval=3,
            timeout=0.5,
            failures=5,
        ),
        wants=("a", "b"),
        requires=("redis-server.service",),
        after=("c",),
        log=Log(output=f"{here}/out.log", error="null", rate_limit=7),
        isolate=Isolation(
            level=Level.STRICT,
            writable=(f"{here}/data",),
            readable=("/home/x",),
            devices=("/dev/fuse",),
            network=("loopback", "10.0.0.0/8"),
            bind_low_ports=True,
        ),
        unit={"OnFailure": ("x.service",)},
        service={"LimitCORE": ("0",), "Environment": ("A=1", "B=2")},
    )


@pytest.mark.parametrize(
    ("words", "count"),
    [("-i 3", 3), ("-i max", COUNT), ("-i 0", COUNT), (f"-i -{COUNT + 5}", 1), ("-i -1", max(1, COUNT - 1))],
)
def test_instances_count_cpus(script: str, words: str, count: int) -> None:
    """max and 0 are one per CPU, -N so many fewer, and one at least."""
    found = app(script, *shlex.split(words))
    assert (found.instances, found.placement) == (count, Placement.NONE)


def test_per_core_pins_and_stays_pinned_when_scaled(script: str) -> None:
    """The placement is the app's, not only the number's."""
    found = app(script, "--per-core", "--reserve", "1", "--physical")
    assert (found.instances, found.placement, found.reserve, found.physical) == (PER_CORE, Placement.CORE, 1, True)
    assert app(script, "--per-core", "-i", "3").instances == 3
    assert app(script, "--per-core", "--reserve", "0,2-3").reserve == (0, 2, 3)


def test_the_environment_is_clean(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not asked for stays here; what was given by value counts more than what is passed on."""
    for name, value in {"SECRET": "x", "ZZZ_A": "1", "ZZZ_B": "2", "LANG": "C.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    found = app(script, "--pass-env", "ZZZ_*", "-e", "ZZZ_B=3", "-e", "EMPTY=", "-e", "EQ=a=b").env
    assert found == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "ZZZ_A": "1",
        "ZZZ_B": "3",
        "EMPTY": "",
        "EQ": "a=b",
    }


def test_the_machines_apps_get_a_home(script: str) -> None:
    """systemd gives them none, unless they have an account."""
    assert {"HOME", "USER"} <= set(app(script, scope=Scope.SYSTEM).env)
    assert not {"HOME", "USER"} & set(app(script, "--uid", "nobody", scope=Scope.SYSTEM).env)


def test_cwd_is_where_it_runs_and_where_it_may_be(script: str, tmp_path: Path) -> None:
    """The script is looked for here, and then there."""
    (tmp_path / "sub").mkdir()
    assert app(script, "--cwd", "sub").argv == (f"{tmp_path}/web.sh",)
    assert app(script, "--cwd", "sub").cwd == f"{tmp_path}/sub"
    (tmp_path / "sub" / "other.sh").write_text("#!/bin/sh\n")
    (tmp_path / "sub" / "other.sh").chmod(0o755)
    assert app("other.sh", "--cwd", "sub").argv == (f"{tmp_path}/sub/other.sh",)


BAD = [
    (("-i", "x"), "'x'"),
    (("-i", "99999"), "99999"),
    (("--port", "70000"), "70000"),
    (("--port", "65535", "-i", "2"), "65536"),
    (("--name", "../x"), "../x"),
    (("--name", "a b"), "a b"),
    (("--name", "n" * 300), "300 characters"),
    (("--name", "-"), "'-'"),
    (("--name", "naïve"), "naïve"),
    (("--namespace", "a/b"), "a/b"),
    (("-e", "novalue"), "novalue"),
    (("-e", "1A=x"), "1A"),
    (("--pass-env", "PYSUP_NOT_THERE"), "PYSUP_NOT_THERE"),
    (("--memory-max", "12Q"), "12Q"),
    (("--restart-delay", "soon"), "soon"),
    (("--cpu-quota", "lots"), "lots"),
    (("--stop-signal", "SIGNOTHING"), "SIGNOTHING"),
    (("--stop-exit-codes", "300"), "300"),
    (("--nice", "99"), "99"),
    (("--ready", "someday"), "someday"),
    (("--ready", "tcp"), "no port"),
    (("--ready", "tcp:1", "--wait-ready"), "two conditions"),
    (("--watchdog", "often"), "often"),
    (("--watchdog", "http://127.0.0.1:{port}/"), "no port"),
    (("--watchdog", "http://127.0.0.1:1/ ok"), "'ok'"),
    (("--watchdog", "30s", "--watchdog-failures", "0"), "watchdog.failures"),
    (("--watchdog-interval", "3s"), "--watchdog"),
    (("--service", "NoValue"), "NoValue"),
    (("--service", "A=b\nExecStart=/bin/evil"), "control characters"),
    (("--wants", "a b"), "a b"),
    (("--reserve", "1"), "--reserve"),
    (("--physical",), "--physical"),
    (("--reserve", "x", "--per-core"), "'x'"),
    (("--interpreter-args", "'open"), "'open"),
    (("--interpreter", "no-such-program"), "no-such-program"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words)[:30] for words, _ in BAD])
def test_bad_values_are_named(script: str, words: tuple[str, ...], said: str) -> None:
    """With what to write instead."""
    found = refused(script, *words)
    assert said in found.message
    assert found.hint


def known(**values: Any) -> App:
    return App(name="web", command=("/bin/sleep", "9"), env={"A": "1"}, **values)


def test_options_change_an_app_that_is_known() -> None:
    """What was not given stays."""
    before = known(limits=Limits(memory_max=5, nofile=6), ready=Ready(when=ReadyWhen.NOTIFY), nice=3)
    words = ("web", "--memory-max", "7", "-e", "B=2", "--ready-timeout", "4s", "-i", "2")
    after = wanted.changed_app(request(*words), before)
    assert after == replace(
        before,
        env={"A": "1", "B": "2"},
        limits=Limits(memory_max=7, nofile=6),
        ready=Ready(when=ReadyWhen.NOTIFY, timeout=4),
        instances=2,
    )


def test_a_watchdog_changes_bit_by_bit_and_goes() -> None:
    """What was not given of it stays; off takes it away."""
    before = known(watchdog=Watchdog(when=WatchdogWhen.TCP, port=80, failures=7))
    longer = wanted.changed_app(request("web", "--watchdog-interval", "1min"), before)
    assert longer.watchdog == replace(before.watchdog, interval=60)
    other = wanted.changed_app(request("web", "--watchdog", "tcp:81"), before)
    assert other.watchdog == Watchdog(when=WatchdogWhen.TCP, port=81, failures=7)
    assert wanted.changed_app(request("web", "--watchdog", "off"), before).watchdog is None


def test_pm2s_wait_ready_is_a_condition(script: str) -> None:
    """By its name there, and by ours."""
    assert app(script, "--wait-ready").ready == app(script, "--ready", "send").ready == Ready(when=ReadyWhen.SEND)


@pytest.mark.parametrize("words", [("--", "x"), ("--name", "b"), ("--interpreter", "node")])
def test_what_an_app_is_cannot_change(words: tuple[str, ...]) -> None:
    """Its command and its name."""
    with pytest.raises(SpecError, match="known already"):
        wanted.changed_app(request("web", *words), known())


APPS = {"web": Known((0, 1)), "api": Known((0,), "prod")}


@pytest.mark.parametrize(
    ("target", "means"),
    [
        ("web", True),
        ("web@1", True),
        ("web@9", True),  # so that it is said which instances there are
        ("we*", True),
        ("prod/", True),
        ("all", True),
        ("./web", False),
        ("/bin/web", False),
        ("dir/", False),
        ("x*", False),
        ("webx", False),
        ("node app.js", False),
    ],
)
def test_a_known_name_wins_over_a_file(target: str, means: bool) -> None:
    """But a path is a path."""
    assert start.is_selector(target, APPS) is means


def meaning(script: str, *words: str) -> list[start.Goal]:
    """What the target means where there is an app of the script's name."""
    known = {**APPS, script: Known((0,))}
    return start._meaning(request(script, *words), script, local.store(Scope.SYSTEM), known, Scope.SYSTEM)


def test_another_name_makes_another_app(script: str) -> None:
    """As the error says of a known app whose arguments are to be others."""
    (goal,) = meaning(script, "--name", "two", "--", "x")
    assert goal.app
    assert (goal.app.name, goal.app.command[1:]) == ("two", ("x",))


def test_only_an_unknown_target_may_have_been_a_known_one(script: str) -> None:
    """A bad value is not a name that was misspelt."""
    with pytest.raises(SpecError) as caught:
        meaning(script, "--name", "a b")
    assert "Did you mean" not in caught.value.hint
    known = {**APPS, "sleep": Known((0,))}
    for words in (("sleep 5", "--cwd", "/nowhere"), ("./web.sh", "--interpreter", "nowhere")):
        with pytest.raises(SpecError, match="nowhere") as caught:
            start._meaning(request(*words), words[0], local.store(Scope.SYSTEM), known, Scope.SYSTEM)
        assert "Did you mean the app" not in caught.value.hint
    with pytest.raises(SpecError, match="'wed'") as caught:
        start._meaning(request("wed"), "wed", local.store(Scope.SYSTEM), APPS, Scope.SYSTEM)
    assert caught.value.hint.startswith("Did you mean the app 'web'?")


@pytest.mark.systemd
def test_a_program_of_somebodys_runs_as_them_when_root_starts_it(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file's owner counts, then its directory's; --uid says otherwise."""

    def started(*words: str) -> tuple[App, str]:
        found = request(*words)
        return wanted.new_app(found, wanted.find(found, found.targets[0]), Scope.SYSTEM)

    assert started(script)[0].user == ""
    os.chown(script, 1, 1)
    app, note = started(script)
    assert app.user == "daemon"
    assert note == f"It runs as daemon, who owns {Path.cwd()}/web.sh. To have it run as root: --uid root."
    assert "HOME" not in app.env
    assert started(f"/bin/sh {script}")[0].user == "daemon"
    assert started(script, "--uid", "root")[0].user == "root"
    os.chown(script, 0, 0)
    os.chown(".", 1, 1)
    assert started("/bin/sleep", "--", "1")[0].user == "daemon"
    assert started(script, "--dynamic-user")[0].user == ""
