"""``describe``, ``env``, ``pid``, ``signal``, ``reset`` and ``cat`` against a real systemd, in both scopes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pysup import local
from pysup.unit import Scope
from running import Running, started

pytestmark = pytest.mark.usefixtures("scope")

Command = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "hunter2 'quoted' $x"


def value(text: str, title: str) -> str:
    """What stands behind a title in the output of describe."""
    lines = [line.strip() for line in text.splitlines()]
    return next(line.removeprefix(title).strip() for line in lines if line.startswith(f"{title} "))


def wait_until_failed(pysup: Command, name: str) -> None:
    """Until systemd has given the app up; it says so in the journal."""
    with Running("logs", name, "-n", "all", "--grep", "start of the service|[Ss]tart request repeated") as command:
        command.expect("repeated too quickly")
    assert "failed" in pysup("list", name).stdout


def test_an_app_that_is_up(pysup: Command, tmp_path: Path) -> None:
    """Its spec, its instances, its files; names of its environment only."""
    with started(
        "sleep 1000", "-n", "web", "-i", "2", "--port", "4000", "-e", f"KEY={SECRET}", "--nofile", "99", "--cwd", "/"
    ):
        shown = pysup("describe", "web").stdout
        assert shown.startswith("web: 2 of 2 up\n")
        assert value(shown, "command").endswith("sleep 1000")
        assert "KEY" in value(shown, "env")
        assert SECRET not in shown
        assert value(shown, "limits") == "nofile 99"
        assert "no, gone after a reboot" in value(shown, "saved")
        assert "web@0: active since" in shown
        assert "web@1: active since" in shown
        assert "hunter2" in pysup("describe", "web", "--show-env").stdout
        one = pysup("describe", "web@1").stdout
        assert "web@0:" not in one
        assert value(one, "port") == "4001"
        assert value(one, "pid") == pysup("pid", "web@1").stdout.strip()
        assert "pysup-web@1.service" in value(one, "control group")


def test_json_has_all_of_it(pysup: Command) -> None:
    """Values of the environment are null unless asked for."""
    with started("sleep 1000", "-n", "web", "-e", f"KEY={SECRET}"):
        (found,) = json.loads(pysup("describe", "web", "--json").stdout)
        assert found["spec"]["env"]["KEY"] is None
        assert found["spec"]["command"][-1] == "1000"
        assert found["instances"][0]["state"] == "active"
        assert found["instances"][0]["why"] is None
        (found,) = json.loads(pysup("desc", "web", "--json", "--show-env").stdout)
        assert found["spec"]["env"]["KEY"] == SECRET


def test_an_app_that_failed(pysup: Command, tmp_path: Path) -> None:
    """Why, in plain words, what to try, and what it said."""
    tmp_path.chmod(0o755)
    script = tmp_path / "broken.py"
    script.write_text("import time; import nosuchmodule\n")
    with started("sleep 1000", "-n", "other"):
        start = pysup("start", str(script), "--restart-limit", "3", check=False)
        assert start.returncode == 1
        wait_until_failed(pysup, "broken")
        shown = pysup("describe", "broken").stdout
        assert shown.startswith("broken: 0 of 1 up\n")
        assert "broken@0: failed since" in shown
        assert value(shown, "last exit").startswith("exit code 1, ")
        assert "gave up" in value(shown, "why")
        assert "a Python module is missing" in value(shown, "why")
        assert "pip install" in value(shown, "try")
        assert "| ModuleNotFoundError: No module named 'nosuchmodule'" in shown
        (found,) = json.loads(pysup("describe", "broken", "--json").stdout)
        (one,) = found["instances"]
        assert one["state"] == "failed"
        assert one["last_exit"]["code"] == 1
        assert "gave up" in one["why"]
        assert one["log"][-1].startswith("ModuleNotFoundError")


def test_hands_of_others_are_seen(pysup: Command, scope: Scope) -> None:
    """A template that was changed, and a drop-in that somebody added."""
    with started("sleep 1000", "-n", "web"):
        store = local.store(scope)
        template = store.runtime / "pysup-web@.service"
        template.write_text(template.read_text().replace("[Service]\n", "[Service]\nTimeoutAbortSec=7s\n"))
        added = store.runtime / "pysup-web@.service.d" / "override.conf"
        added.parent.mkdir()
        added.write_text("[Service]\nNice=5\n")
        try:
            shown = pysup("describe", "web").stdout
            assert f"{added}  (not pysup's: somebody added it)" in shown
            assert "changed by hand" in shown
            assert "daemon-reload" in shown
            assert str(added) in pysup("cat", "web").stdout
        finally:
            added.unlink()
            added.parent.rmdir()


def test_env_is_that_of_the_process(pysup: Command, tmp_path: Path) -> None:
    """And of what the next start gives it, when there is none."""
    tmp_path.chmod(0o755)
    file = tmp_path / "more.env"
    file.write_text("FROM_FILE=yes\n")
    with started("sleep 1000", "-n", "web", "-i", "2", "-p", "4000", "-e", "KEY=a\033b\nc", "--env-file", str(file)):
        shown = pysup("env", "web@1").stdout.splitlines()
        assert {"KEY=a\\x1bb\\nc", "PORT=4001", "NODE_APP_INSTANCE=1", "FROM_FILE=yes", "PYSUP_APP=web"} <= set(shown)
        found = json.loads(pysup("env", "web", "--json").stdout)
        assert found["web@0"]["KEY"] == "a\033b\nc"
        assert found["web@0"]["PORT"] == "4000"
        assert "KEY=a\033b\nc" in pysup("env", "web@0", "-0").stdout.split("\0")
        pysup("stop", "web")
        stopped = json.loads(pysup("env", "web@1", "--json").stdout)["web@1"]
        assert stopped["KEY"] == "a\033b\nc"
        assert stopped["PORT"] == "4001"


def test_pids_are_of_what_runs(pysup: Command) -> None:
    """One a line; nothing, and no error, when nothing does."""
    assert pysup("pid").stdout == ""
    with started("sleep 1000", "-n", "web", "-i", "2"):
        pids = pysup("pid", "web").stdout.split()
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        assert pysup("pid").stdout.split() == pids
        pysup("stop", "web@0")
        assert pysup("pid", "web").stdout.split() == pids[1:]
    assert pysup("pid", "web", check=False).returncode == 1


def test_signals_reach_the_main_process_or_all(pysup: Command) -> None:
    """In PM2's order of words, and under its name."""
    script = "trap 'echo main' USR1; (trap 'echo child' USR1; while :; do sleep 1000 & wait; done) & "
    with (
        started(script + "while :; do sleep 1000 & wait; done", "-n", "web"),
        Running("logs", "web", "--raw", "-n", "0") as command,
        Running("logs", "web", "-n", "1") as ready,
    ):
        ready.expect("\n")
        assert pysup("signal", "SIGUSR1", "web").stdout == "Sent SIGUSR1 to web@0.\n"
        command.expect("main\n")
        pysup("sendSignal", "usr1", "web@0", "--all-processes")
        assert {command.expect("(main|child)\n"), command.expect("(main|child)\n")} == {"main\n", "child\n"}
        unknown = pysup("signal", "NOSUCH", "web", check=False)
        assert unknown.returncode == 2
        assert "not a signal" in unknown.stderr
        assert pysup("signal", "HUP", "nope", check=False).returncode == 1


def test_reset_forgets_failures_and_counts(pysup: Command) -> None:
    """Failed is inactive then."""
    with started("sleep 1000", "-n", "other"):
        pysup("start", "/bin/false", "--restart-limit", "2", check=False)
        wait_until_failed(pysup, "false")
        assert pysup("reset", "false").stdout == "Reset false@0.\n"
        (row,) = json.loads(pysup("list", "false", "--json").stdout)
        assert (row["state"], row["restarts"]) == ("inactive", 0)


def test_cat_shows_files_but_no_secrets(pysup: Command, scope: Scope) -> None:
    """Each behind its path, as systemctl cat has them."""
    with started("sleep 1000", "-n", "web", "-e", f"KEY={SECRET}", "--port", "4000"):
        shown = pysup("cat", "web").stdout
        for file in (
            "pysup-web@.service",
            "pysup-web.target",
            "pysup-web.slice",
            "pysup-web@0.service.d/instance.conf",
        ):
            assert f"# {local.store(scope).runtime / file}\n" in shown
        assert "KEY=…" in shown
        assert "hunter2" not in shown
        assert pysup("cat", "nope", check=False).returncode == 1
