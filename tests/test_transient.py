"""Jobs: the library's run, and ``pysup run``, against a real systemd as root and as an ordinary user."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysup.app import Limits
from pysup.errors import Conflict, SpecError
from pysup.host import ground
from pysup.manager import Manager
from pysup.sync import Manager as SyncManager
from pysup.transient import RunOptions, RunResult, command_line
from pysup.unit import Scope
from running import OnTerminal, Running

pytestmark = pytest.mark.usefixtures("scope")

Command = Callable[..., subprocess.CompletedProcess[str]]

NASTY = ("$HOME", "${HOME}", "$$", "%h", "%%", "a  b", "", "\t\n", "\\", "'", '"', "é", "--", "-x", "$")


def systemctl(*words: str) -> str:
    """What systemctl says of the manager of whoever runs the test."""
    scope = "--user" if os.getuid() else "--system"
    return subprocess.run(["systemctl", scope, *words], capture_output=True, text=True, check=False).stdout


def run(*argv: str, **options: Any) -> RunResult:
    """Run a job and capture its output."""
    with SyncManager() as manager:
        return manager.run(argv, options=RunOptions(capture=True, **options))


def shell(script: str, **options: Any) -> RunResult:
    """Run a script as a job."""
    return run("sh", "-c", script, **options)


def test_words_arrive_byte_for_byte() -> None:
    """systemd expands nothing in them."""
    assert run("printf", "%s\\n", *NASTY).output == "".join(f"{word}\n" for word in NASTY).encode()


def test_input_output_and_errors_are_the_callers(tmp_path: Path) -> None:
    """Any bytes, in and out, and the streams apart."""
    data = bytes(range(256)) * 1000
    found = shell("cat; echo wrong >&2", input=data)
    assert found.output == data
    assert found.error == b"wrong\n"
    assert shell("pwd", cwd=str(tmp_path)).output.decode().strip() == str(tmp_path)
    assert shell("pwd").output.decode().strip() == str(Path.cwd())


@pytest.mark.parametrize(
    ("script", "code", "number", "returncode"),
    [
        ("true", 0, None, 0),
        ("exit 3", 3, None, 3),
        ("exit 255", 255, None, 255),
        ("kill -TERM $$", None, signal.SIGTERM, 143),
        ("kill -INT $$", None, signal.SIGINT, 130),
        ("kill -HUP $$", None, signal.SIGHUP, 129),
        ("kill -KILL $$", None, signal.SIGKILL, 137),
    ],
)
def test_exits_are_exact(script: str, code: int | None, number: int | None, returncode: int) -> None:
    """Also those by signals that systemd takes for a good end; and nothing is left of the unit."""
    found = shell(script)
    assert (found.code, found.signal, found.returncode) == (code, number, returncode)
    assert found.unit not in systemctl("list-units", "--all", "pysup-run-*")


def test_what_takes_too_long_is_stopped() -> None:
    """By systemd, so it holds even if pysup is killed meanwhile."""
    found = shell("sleep 1000", timeout=0.3)
    assert found.result == "timeout"
    assert found.returncode == 124


def test_limits_hold() -> None:
    """The same ones that apps can have."""
    assert shell("ulimit -n; nice", limits=Limits(nofile=77), nice=7).output == b"77\n7\n"


@pytest.mark.systemd
def test_memory_beyond_the_limit_is_not_to_be_had() -> None:
    """The kernel kills it; the machine has the controller in both versions."""
    if os.getuid() == 0:
        found = run("python3", "-c", "x = b'x' * 200_000_000", limits=Limits(memory_max=30 << 20))
        assert found.returncode == 137


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"env": {"A B": "x"}}, id="env name"),
        pytest.param({"env": {"A": "x\0"}}, id="env value"),
        pytest.param({"name": "../x"}, id="name"),
        pytest.param({"cwd": "relative"}, id="cwd"),
        pytest.param({"nice": 99}, id="nice"),
        pytest.param({"timeout": -1.0}, id="timeout"),
        pytest.param({"pty": True}, id="pty"),
    ],
)
def test_impossible_options_are_refused(wanted: dict[str, Any]) -> None:
    """Before anything is done."""
    with pytest.raises(SpecError):
        RunOptions(capture=True, **wanted)


def test_impossible_commands_are_refused(tmp_path: Path) -> None:
    """With what is wrong."""
    for argv, options, message in (
        (("nosuchprogram",), {}, "not on PATH"),
        (("./nosuchprogram",), {}, "not there"),
        ((), {}, "must be a list"),
        (("true",), {"cwd": f"{tmp_path}/nope"}, "not a directory"),
        (("true",), {"user": "nobody" if os.getuid() else "nosuchuser"}, "user"),
    ):
        with pytest.raises(SpecError, match=message):
            run(*argv, **options)  # type: ignore[arg-type]


def test_two_jobs_cannot_have_one_name() -> None:
    """A name that is free again can be taken again."""
    with Running("run", "--name", "once", "--", "sh", "-c", "echo up; cat") as command:
        command.expect("up")
        with pytest.raises(Conflict, match="pysup-run-once"):
            shell("true", name="once")
        assert command.process.stdin
        command.process.stdin.close()
        assert command.ended() == 0
    assert shell("exit 4", name="once").code == 4
    assert shell("true", name="once").code == 0


def test_values_of_the_environment_are_exact_and_unseen(scope: Scope) -> None:
    """Neither arguments, nor properties, nor files show them to others; afterwards no file is left."""
    secret = "s3cret $HOME \"%h\" 'x' \\ é\nsecond line"
    assert shell('printf %s "$KEY"', env={"KEY": secret}).output.decode() == secret
    with Running("run", "-e", "KEY=s3cr3t-value", "--name", "keeper", "--", "sh", "-c", "echo up $KEY; cat") as command:
        command.expect("up s3cr3t-value")
        assert "s3cr3t-value" not in systemctl("show", "pysup-run-keeper.service")
        assert "s3cr3t-value" not in systemctl("cat", "pysup-run-keeper.service")
        (file,) = ground.lock_dir(scope).glob("pysup-run-keeper.env")
        assert file.stat().st_mode & 0o777 == 0o600
        if scope is Scope.SYSTEM:
            assert "s3cr3t-value" not in seen_by_nobody(file, command.process.pid)
        assert command.process.stdin
        command.process.stdin.close()
        assert command.ended() == 0
    assert not list(ground.lock_dir(scope).glob("*.env"))


def seen_by_nobody(file: Path, ours: int) -> str:
    """What another user finds: properties, the file, all command lines and environments but that of our own start."""
    script = f"""systemctl show --all pysup-run-keeper.service; cat {file}
        for process in /proc/[0-9]*; do [ "$process" = /proc/{ours} ] || cat $process/cmdline $process/environ; done"""
    found = subprocess.run(["sh", "-c", script], capture_output=True, user="nobody", env={"PATH": os.environ["PATH"]})
    assert b"MainPID" in found.stdout
    return found.stdout.decode(errors="replace")


def test_files_of_dead_jobs_are_swept_away(scope: Scope) -> None:
    """A pysup that was killed cannot take its file away; the next one does."""
    folder = ground.lock_dir(scope)
    folder.mkdir(exist_ok=True)
    left = folder / "pysup-run-dead.env"
    left.write_text("KEY=x")
    shell("true", env={"A": "b"})
    assert not left.exists()


@pytest.mark.parametrize("turns", [1, 3, 10, 30, 100])
async def test_cancelling_stops_the_job(turns: int) -> None:
    """And waits until it has ended, however far it had come: it may not be there yet, or just be starting."""
    async with Manager() as manager:
        options = RunOptions(name="long", capture=True, env={"A": "b"})
        job = asyncio.create_task(manager.run(["sleep", "1000"], options=options))
        for _ in range(turns):
            await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert await manager.run(["true"], options=options) == RunResult(unit="pysup-run-long.service", code=0)
    assert "pysup-run-long" not in systemctl("list-units", "--all")


def test_versions_that_can_be_told_to_expand_are_told() -> None:
    """systemd-run 254 has an option for what older ones do anyway."""
    usual = {"scope": Scope.USER, "unit": "pysup-run-x.service", "env_file": ""}
    new = command_line(["/bin/echo", "$A"], RunOptions(cwd="/"), version=254, **usual)  # type: ignore[arg-type]
    old = command_line(["/bin/echo", "$A"], RunOptions(cwd="/"), version=253, **usual)  # type: ignore[arg-type]
    assert set(new) - set(old) == {"--expand-environment=yes"}
    assert new[-2:] == ["/bin/echo", "$$A"]


def test_the_command_hands_everything_through(pysup: Command) -> None:
    """Streams and exit code; options behind the first word are the command's."""
    found = pysup("run", "--", "sh", "-c", "cat; echo wrong >&2; exit 7", input="in\n", check=False)
    assert (found.stdout, found.stderr, found.returncode) == ("in\n", "wrong\n", 7)
    assert pysup("run", "printf", "%s ", "--name", "--", "-e").stdout == "--name -- -e "
    assert pysup("run", "sh", "-c", "kill -9 $$", check=False).returncode == 137


def test_the_command_tells_what_a_code_alone_does_not(pysup: Command, tmp_path: Path) -> None:
    """That its time was up, or that it never ran."""
    late = pysup("run", "--timeout", "300ms", "sleep", "1000", check=False)
    assert late.returncode == 124
    assert "sleep was stopped after 300ms" in late.stderr
    script = tmp_path / "script"
    script.write_text("#!/nosuch/interpreter\n")
    script.chmod(0o755)
    never = pysup("run", str(script), check=False)
    assert never.returncode == 203
    assert "could not be executed" in never.stderr
    missing = pysup("run", "nosuchprogram", check=False)
    assert missing.returncode == 2
    assert "not on PATH" in missing.stderr


def test_the_environment_is_clean(pysup: Command) -> None:
    """But for what was asked for."""
    found = pysup("run", "--pass-env", "MINE", "-e", "B=2", "env", env={"MINE": "yes", "OTHER": "no"}).stdout.split(
        "\n"
    )
    assert {"MINE=yes", "B=2", f"USER={os.environ['USER']}", f"HOME={os.environ['HOME']}"} <= set(found)
    assert "OTHER=no" not in found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_stop_the_job_with_all_that_it_started(number: int, code: int) -> None:
    """Ctrl-C above all."""
    with Running("run", "--name", "tree", "--", "sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait") as command:
        command.expect("up")
        assert "pysup-run-tree" in systemctl("list-units")
        assert command.interrupt(number) == code
        assert command.complaints() == ""
    assert "pysup-run-tree" not in systemctl("list-units", "--all")


def test_a_terminal_of_its_own() -> None:
    """With our size; keys reach it, Ctrl-C too, and its exit code comes back."""
    with OnTerminal("run", "--pty", "--", "bash", "-c", "tty; stty size; read x; echo got $x; exit 5") as command:
        command.expect("/dev/pts/\\d+")
        command.expect("30 100")
        command.type("hello\r")
        command.expect("got hello")
        assert command.ended() == 5
    script = "trap 'echo stopped; exit 9' INT; echo up; while :; do sleep 0.1; done"
    with OnTerminal("run", "--pty", "--", "sh", "-c", script) as command:
        command.expect("up")
        command.type("\x03")
        command.expect("stopped")
        assert command.ended() == 9


def test_a_terminal_shows_what_comes_in_the_last_moment() -> None:
    """However much; but for one run in 160 on a busy machine, where systemd-run ends before the kernel has it all."""
    found = []
    while b"20000" not in found and len(found) < 3:
        with OnTerminal("run", "-t", "--", "sh", "-c", "seq 1 20000") as command:
            found.append(command.rest().split()[-1])
    assert found[-1] == b"20000"


def test_no_terminal_without_one(pysup: Command) -> None:
    """It would wait for an end of input that cannot come."""
    found = pysup("run", "--pty", "--", "cat", check=False)
    assert found.returncode == 2
    assert "stdin is none" in found.stderr
