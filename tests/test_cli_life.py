"""The command as people use it, against a real systemd, as root and as an ordinary user."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import grounds
from pysup.host import ground
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("scope")


@pytest.fixture
def run(pysup: Command, scope: Scope) -> Iterator[Callable[..., str]]:
    """The command's stdout when it exits as expected; what it started is deleted in the end."""

    def call(*words: str, code: int = 0, **options: Any) -> str:
        found = pysup(*words, check=False, **options)
        assert found.returncode == code, f"{words}: {found.returncode}\n{found.stdout}{found.stderr}"
        return found.stdout if code == 0 else found.stderr

    yield call
    if files(scope):
        call("delete", "all")


def listed(run: Callable[..., str]) -> dict[str, dict[str, Any]]:
    """The instances by their ids."""
    return {found["id"]: found for found in json.loads(run("list", "--json"))}


def files(scope: Scope) -> list[str]:
    """Whatever there is of ours in the unit directories."""
    found = []
    for directory in (ground.runtime_dir(scope), ground.saved_dir(scope)):
        with contextlib.suppress(FileNotFoundError):
            found += [entry.name for entry in directory.iterdir() if "pysup-" in entry.name]
    return found


def test_start_list_scale_stop_restart_delete(run: Callable[..., str], scope: Scope) -> None:
    """A life."""
    assert "There are no apps yet" in run("list")
    table = run("start", "sleep 1000", "-n", "web", "-i", "2", "--port", "4000")
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [["web", "0", "active"], ["web", "1", "active"]]
    found = listed(run)
    assert [one["port"] for one in found.values()] == [4000, 4001]
    assert {one["scope"] for one in found.values()} == {scope.value}
    first = found["web@0"]["pid"]
    run("scale", "web", "+2")
    assert list(listed(run)) == ["web@0", "web@1", "web@2", "web@3"]
    run("scale", "web", "-1")
    run("scale", "web", "2")
    found = listed(run)
    assert (list(found), found["web@0"]["pid"]) == (["web@0", "web@1"], first)
    run("stop", "web@1")
    assert [one["state"] for one in listed(run).values()] == ["active", "inactive"]
    run("start", "web")
    assert listed(run)["web@0"]["pid"] == first
    run("restart", "web@0")
    found = listed(run)
    assert found["web@0"]["pid"] != first
    assert {one["state"] for one in found.values()} == {"active"}
    assert run("delete", "web") == "Deleted web.\n"
    assert files(scope) == []


def test_a_quick_list_says_what_a_list_with_options_says(run: Callable[..., str]) -> None:
    """Also of more instances than systemd is asked about at once, and of apps whose sockets and timers matter."""
    run("start", "sleep 1000", "-n", "many", "-i", "40", "--no-wait")
    run("start", "sleep 1000", "-n", "lazy", "--listen", "127.0.0.1:4711", "--on-demand")
    run("start", "sleep 0", "-n", "job", "--schedule", "daily", "--restart", "no")
    changing = ("uptime", "cpu_percent", "memory", "cpu_seconds", "tasks", "pid", "state", "sub_state", "since")
    quick, other = (
        [{key: one[key] for key in one if key not in changing} for one in json.loads(run("list", *words, "--json"))]
        for words in ((), ("all",))
    )
    assert len(quick) == 42
    assert quick == other
    assert {one["name"]: one["state"] for one in json.loads(run("list", "--json")) if one["name"] != "many"} == {
        "lazy": "listening",
        "job": "waiting",
    }


def test_delete_all_of_nothing_is_no_failure(run: Callable[..., str]) -> None:
    """Scripts clean up without asking what there is."""
    assert run("delete", "all") == "There is nothing to delete.\n"


def test_a_start_that_fails_shows_its_last_lines(run: Callable[..., str], tmp_path: Path) -> None:
    """Exit code 1, why, what it said, what to do; and the others are started."""
    script = tmp_path / "broken.sh"
    script.write_text("#!/bin/sh\necho cannot find the flux >&2\nexit 3\n")
    script.chmod(0o755)
    tmp_path.chmod(0o755)
    errors = run("start", str(script), "sleep 1000", code=1)
    assert "app 'broken'" in errors
    assert "  | cannot find the flux" in errors
    found = listed(run)
    assert found["sleep@0"]["state"] == "active"
    assert found["broken@0"]["state"] != "active"


def test_a_program_that_ends_by_itself_is_told_of_run(run: Callable[..., str]) -> None:
    """It did what it should; only it is not an app."""
    said = run("start", "/bin/true", "--restart", "no", code=1)
    assert "ended by itself, with exit code 0" in said
    assert "pysup run" in said


def test_what_ends_well_again_and_again_is_told_so(run: Callable[..., str]) -> None:
    """Whichever state it is found in: systemd writes nothing down of a good end, and forgets it."""
    for _ in range(3):
        said = run("start", "/bin/true", "--restart-limit", "1000", code=1)
        assert "ended by itself" in said
        assert "A server must stay in the foreground" in said
        run("delete", "true")


def test_a_unit_that_systemd_refuses_has_not_ended_by_itself(run: Callable[..., str]) -> None:
    """An extra directive that does not go with the others."""
    said = run("start", "sleep 1000", "-n", "web", "--service", "Type=oneshot", code=1)
    assert "web@0: systemd refuses its unit: " in said
    assert "pysup cat web" in said


def test_no_wait_returns_before_it_is_ready(run: Callable[..., str]) -> None:
    """Whatever becomes of it."""
    run("start", "sleep 1000", "--ready", "tcp:1", "--ready-timeout", "10min", "--no-wait")
    assert listed(run)["sleep@0"]["state"] in ("inactive", "activating")


def test_waiting_ends_with_the_time_given(run: Callable[..., str]) -> None:
    """Exit code 1; the start goes on."""
    errors = run("start", "sleep 1000", "--ready", "tcp:1", "--ready-timeout", "60s", "--wait-timeout", "1s", code=1)
    assert "not done within 1 s" in errors


def test_what_never_gets_ready_is_told_at_its_first_failure(run: Callable[..., str]) -> None:
    """And not when systemd has given up trying again, which may be never."""
    words = ("--ready", "tcp:1", "--ready-timeout", "1s", "--restart-limit", "0")
    errors = run("start", "sleep 1000", *words, code=1)
    assert "it was not ready" in errors


def test_a_running_app_is_not_changed_without_force(run: Callable[..., str]) -> None:
    """Exit code 1; with --force it is another."""
    run("start", "sleep 1000", "-n", "web")
    before = listed(run)["web@0"]["pid"]
    assert "--force" in run("start", "web", "-i", "2", code=1)
    assert listed(run)["web@0"]["pid"] == before
    run("start", "web", "-i", "2", "--force")
    assert list(listed(run)) == ["web@0", "web@1"]
    run("start", "sleep 1000", "-n", "web", "-i", "2")  # just so already: nothing to do


def test_the_environment_is_what_was_asked_for(run: Callable[..., str], tmp_path: Path) -> None:
    """Nothing of the caller's but PATH and LANG."""
    tmp_path.chmod(0o777)
    seen = tmp_path / "seen"
    words = ("-e", "QUOTED=a 'b' \"c\" $d %e\n", "--pass-env", "PASSED", "--port", "77", "-n", "web")
    env = {"PASSED": "yes", "SECRET": "no"}
    run("start", f"/bin/sh -c 'env -0 >{seen}; exec sleep 1000'", *words, env=env)
    found = dict(pair.split("=", 1) for pair in seen.read_text().split("\0") if pair)
    assert found["QUOTED"] == "a 'b' \"c\" $d %e\n"
    assert (found["PASSED"], found["PORT"], found["PYSUP_INSTANCE"]) == ("yes", "77", "0")
    assert (found["PYSUP_APP"], found["NODE_APP_INSTANCE"]) == ("web", "0")
    assert "SECRET" not in found
    assert {"PATH", "HOME", "USER"} <= set(found)


BAD = [
    ("nope.js",),
    ("./not-executable",),
    ("/etc",),
    ("sleep 9", "--name", "../x"),
    ("sleep 9", "--name", "two words"),
    ("sleep 9", "--name", "n" * 300),
    ("sleep 9", "--name", "-"),
    ("sleep 9", "--name", "ñ"),
    ("sleep 9", "--port", "http"),
    ("sleep 9", "--port", "0"),
    ("sleep 9", "--uid", "nobody-here"),
    ("sleep 9", "--cwd", "/no/such/place"),
    ("sleep 9", "--env-file", "/no/such/file"),
    ("sleep 9", "--memory-max", "much"),
    ("sleep 9", "--name", "ok", "--service", "bad key=1"),
    ("sleep 9", "nope.js"),
    ("sleep 9", "sleep 8"),
    ("sleep 9", "sleep 8", "--name", "both"),
]


@pytest.mark.parametrize("words", BAD, ids=[" ".join(words)[:40] for words in BAD])
def test_bad_input_is_exit_code_2_and_nothing_is_written(
    run: Callable[..., str], scope: Scope, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Before anything is started, also when other targets are good."""
    (tmp_path / "not-executable").write_text("x")
    errors = run("start", *words, code=2, cwd=tmp_path)
    assert errors.startswith("pysup: ")
    assert len(errors.splitlines()) >= 2
    assert files(scope) == []


@pytest.mark.parametrize("command", ["stop", "restart", "delete", "list", "save", "unsave", "scale"])
def test_unknown_names_are_exit_code_1_with_a_suggestion(run: Callable[..., str], command: str) -> None:
    """The nearest one."""
    run("start", "sleep 1000", "-n", "web")
    more = ["2"] if command == "scale" else []
    errors = run(command, "wbe", *more, code=1)
    assert "'wbe'" in errors
    assert "Did you mean 'web'?" in errors


@pytest.mark.parametrize("count", ["0", "-5", "x", "1.5", "+", "99999"])
def test_impossible_scales_are_exit_code_2(run: Callable[..., str], count: str) -> None:
    """And change nothing."""
    run("start", "sleep 1000", "-n", "web", "--no-wait")
    run("scale", "web", count, code=2)
    assert list(listed(run)) == ["web@0"]


def test_saving_restarts_nothing(run: Callable[..., str]) -> None:
    """And can be taken back; startup says what there is."""
    run("start", "sleep 1000", "-n", "web")
    run("start", "sleep 1000", "-n", "other")
    before = {name: one["pid"] for name, one in listed(run).items()}
    assert run("save", "web") == "Saved: web\n"
    assert run("save", "web") == "There is nothing more to save.\n"
    said = run("startup")
    assert "come back: web\n" in said
    assert "Not saved: other." in said
    assert {name: one["saved"] for name, one in listed(run).items()} == {"other@0": False, "web@0": True}
    run("unsave")
    assert {one["saved"] for one in listed(run).values()} == {False}
    assert {name: one["pid"] for name, one in listed(run).items()} == before


def test_names_of_apps_are_completed(run: Callable[..., str]) -> None:
    """And the numbers of their instances."""
    run("start", "sleep 1000", "-n", "web", "-i", "2", "--no-wait")

    def completed(line: str) -> list[str]:
        count = str(len(line.split(" ")) - 1)
        return run(env={"_PYSUP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": count}).split()

    assert completed("pysup stop w") == ["web"]
    assert completed("pysup restart ") == ["web"]
    assert completed("pysup stop web@") == ["web@0", "web@1"]
    assert completed("pysup scale w") == ["web"]


def test_ctrl_c_is_exit_code_130(run: Callable[..., str], pysup: Command) -> None:
    """Without a traceback; the start goes on."""
    account = ("--uid", "root") if os.geteuid() == 0 else ()  # else a warning says whose program root runs
    words = ("start", "sleep 1000", "--ready", "tcp:1", "--ready-timeout", "60s", *account)
    env = {name: os.environ[name] for name in ("HOME", "XDG_RUNTIME_DIR") if name in os.environ}
    command = [str(grounds.PYSUP), *words]
    with subprocess.Popen(command, env=env | grounds.environment(), stderr=subprocess.PIPE, text=True) as process:
        while "sleep@0" not in listed(run) or listed(run)["sleep@0"]["state"] != "activating":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert process.stderr.read() == ""
    assert process.returncode == 130


def watching() -> tuple[int, int]:
    """``pysup list --watch`` on a terminal: its pid, and our end."""
    env = {name: os.environ[name] for name in ("HOME", "XDG_RUNTIME_DIR") if name in os.environ}
    pid, terminal = pty.fork()
    if not pid:
        os.execve(grounds.PYSUP, ["pysup", "list", "--watch"], env | grounds.environment(TERM="xterm"))
    return pid, terminal


def test_watch_draws_anew_and_gives_the_terminal_back(run: Callable[..., str]) -> None:
    """A crash shows at once; Ctrl-C ends it."""
    run("start", "sleep 1000", "-n", "web")
    first = listed(run)["web@0"]["pid"]
    pid, terminal = watching()
    seen = _until(terminal, rf"web .* {first} ")
    assert seen.startswith("\033[?1049h")
    os.kill(first, signal.SIGKILL)
    _until(terminal, r"web +0 +active +\d+ +\d+s +1 ")
    os.write(terminal, b"\x03")
    assert _until(terminal, None).endswith("\033[?25h\033[?1049l")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130


def test_watch_ends_with_a_signal(run: Callable[..., str]) -> None:
    """As by Ctrl-C: with the terminal given back, and nothing else on it."""
    run("start", "sleep 1000", "-n", "web")
    pid, terminal = watching()
    _until(terminal, r"web .* active ")
    os.kill(pid, signal.SIGTERM)
    rest = _until(terminal, None)
    assert rest.endswith("\033[?25h\033[?1049l")
    assert "Traceback" not in rest
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGTERM


def _until(terminal: int, pattern: str | None) -> str:
    """What is written there until the pattern has come, or the end."""
    seen, deadline = "", time.monotonic() + 20
    while pattern is None or not re.search(pattern, re.sub(r"\033\[\d*[a-zA-Z]", "", seen)):
        left = deadline - time.monotonic()
        assert left > 0, f"waited in vain for {pattern}: {seen[-300:]!r}"
        assert select.select([terminal], [], [], left)[0], f"nothing more came: {seen[-300:]!r}"
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        seen += data.decode()
    return seen


def test_the_scope_can_be_said_anywhere(run: Callable[..., str], scope: Scope) -> None:
    """Before the command or behind it."""
    run(f"--{scope.value}", "start", "sleep 1000", "-n", "web", "--no-wait")
    for words in ((f"--{scope.value}", "ls", "--json"), ("jlist", f"--{scope.value}")):
        assert [one["id"] for one in json.loads(run(*words))] == ["web@0"]
