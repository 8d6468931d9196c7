"""``pysup diff``, ``apply``, ``rollback``, ``revisions``: with a real systemd."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pysup import local
from pysup.sync import Manager
from pysup.unit import Scope
from running import Running, wait_until

Command = Callable[..., subprocess.CompletedProcess[str]]

FIRST = """
[defaults]
env.SHARED = "hunter2"
[apps.web]
command = "sleep 1000"
instances = 2
[apps.api]
command = "sleep 2000"
requires = "web"
[apps.once]
command = "true"
restart = "no"
schedule = "daily"
[apps.off]
command = "sleep 3000"
autostart = false
"""


@pytest.fixture
def home(tmp_path: Path, pysup: Command) -> Iterator[Path]:
    """A directory; what was started in it is deleted in the end."""
    yield tmp_path
    pysup("delete", "all")


class Here:
    """A directory with a pysup.toml, and the command in it."""

    def __init__(self, home: Path, pysup: Command, text: str = FIRST) -> None:
        self.file = home / "pysup.toml"
        self.pysup = pysup
        self.file.write_text(text)

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints."""
        done = self.pysup(*words, cwd=self.file.parent, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def plan(self, *words: str) -> dict[str, str]:
        """What apply would do."""
        found = json.loads(self.run("apply", "--dry-run", "--json", *words))
        return {one["app"]: one["action"] for one in found["changes"]}

    def edit(self, before: str, after: str) -> None:
        """Change the file."""
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def pids(self) -> dict[str, int]:
        """The processes of all instances."""
        return {f"{one['name']}@{one['instance']}": one["pid"] for one in json.loads(self.run("list", "--json"))}


def test_apply_makes_it_so_and_touches_nothing_else(scope: Scope, home: Path, pysup: Command) -> None:
    """New, unchanged, scaled, replaced, left over, removed; a second run does nothing."""
    here = Here(home, pysup)
    assert here.plan() == {"web": "create", "api": "create", "once": "create", "off": "create"}
    assert "asks before it does something" in here.run("apply", code=2)
    assert here.pids() == {}
    here.run("apply", "--yes")
    first = here.pids()
    assert sorted(name for name, pid in first.items() if pid) == ["api@0", "web@0", "web@1"]
    assert "Nothing to do: 4 apps are as" in here.run("apply")
    assert here.run("diff", "--exit-code") == here.run("apply", "--yes")
    here.edit("instances = 2", "instances = 3")
    here.edit("sleep 2000", "sleep 2001")
    said = here.run("diff", "--exit-code", code=1)
    assert ("-instances = 2" in said, "+instances = 3" in said) == (True, True)
    assert '+command = ["/usr/bin/sleep", "2001"]' in said
    assert "hunter2" not in said
    assert here.plan() == {"web": "scale", "api": "roll", "once": "none", "off": "none"}
    here.run("apply", "--yes")
    second = here.pids()
    assert {name: second[name] for name in ("web@0", "web@1")} == {name: first[name] for name in ("web@0", "web@1")}
    assert (second["api@0"] != first["api@0"], bool(second["web@2"])) == (True, True)
    here.file.write_text(here.file.read_text().partition("[apps.once]")[0])
    assert "off, once: no longer in the file" in here.run("apply")
    assert here.plan("--prune") == {"once": "remove", "off": "remove", "web": "none", "api": "none"}
    here.run("apply", "--yes", "--prune")
    assert here.pids() == {name: pid for name, pid in second.items() if pid}
    assert here.plan("--prune") == {"web": "none", "api": "none"}


@pytest.mark.systemd_user
def test_changed_limits_restart_nothing(home: Path, pysup: Command) -> None:
    """Those of control groups; open files are of processes."""
    here = Here(home, pysup, "[apps.web]\ncommand = 'sleep 1000'\ninstances = 2\n")
    here.run("apply", "--yes")
    before = here.pids()
    here.edit("instances = 2", "instances = 2\nlimits.tasks_max = 50\ntotal.memory_max = '1G'")
    assert here.plan() == {"web": "limit"}
    assert "other limits; nothing restarts" in here.run("apply", "--yes")
    assert here.pids() == before
    assert here.plan() == {"web": "none"}
    here.edit("tasks_max = 50", "nofile = 512")
    assert here.plan() == {"web": "roll"}


@pytest.mark.systemd_user
def test_apply_starts_what_does_not_run_and_mends_what_was_edited(home: Path, pysup: Command) -> None:
    """Stopped apps, templates that somebody changed, apps that were started by hand before."""
    here = Here(home, pysup, "[apps.web]\ncommand = 'sleep 1000'\ninstances = 2\n[apps.api]\ncommand = 'sleep 1'\n")
    here.edit("'sleep 1'", "'sleep 2000'")
    here.run("start", "--only", "web")
    started = here.pids()
    here.run("apply", "--yes")
    assert here.pids().items() > started.items()
    here.run("stop", "api", "web@1")
    assert here.plan() == {"web": "start", "api": "start"}
    here.run("apply", "--yes")
    now = here.pids()
    assert (now["web@0"], bool(now["web@1"]), bool(now["api@0"])) == (started["web@0"], True, True)
    template = local.store(Scope.USER).get("web").directory / "pysup-web@.service"
    template.write_text(template.read_text().replace("TimeoutStopSec=10s", "TimeoutStopSec=99s"))
    said = here.run("diff")
    assert "# web: its template was edited by hand" in said
    assert "\n-TimeoutStopSec=99s\n+TimeoutStopSec=10s\n" in said
    assert here.plan() == {"web": "roll", "api": "none"}
    here.run("apply", "--yes")
    assert "TimeoutStopSec=10s" in template.read_text()
    assert here.plan() == {"web": "none", "api": "none"}
    assert here.pids()["web@0"] != started["web@0"]


@pytest.mark.systemd
def test_an_app_that_does_not_come_up_is_taken_back(home: Path, pysup: Command) -> None:
    """What came before stays done, nothing after it is begun, and no instance runs the new settings."""
    here = Here(home, pysup, "[apps.a]\ncommand = 'sleep 1000'\n[apps.b]\ncommand = 'sleep 2000'\n")
    here.run("apply", "--yes")
    before = here.pids()
    here.edit("'sleep 1000'", "'sh -c \"echo no; exit 3\"'\nrestart = 'no'")
    here.edit("'sleep 2000'", "'sleep 2001'")
    here.file.write_text(here.file.read_text() + "[apps.new]\ncommand = 'sleep 3000'\n")
    said = here.run("apply", "--yes", code=1)
    assert ("exit code 3" in said, "a: taken back" in said, "not begun: b" in said) == (True, True, True)
    after = here.pids()
    assert (after["b@0"], bool(after["new@0"]), bool(after["a@0"])) == (before["b@0"], True, True)
    assert here.plan() == {"a": "roll", "b": "roll", "new": "none"}
    here.edit("[apps.new]", "[apps.newer]\ncommand = 'false'\nrestart = 'no'\n[apps.new]")
    said = here.run("apply", "--yes", code=1)
    assert "newer: taken back" in said
    assert here.pids() == after
    assert len(here.run("revisions", "a").splitlines()) == 2


@pytest.mark.systemd
def test_rollback_goes_back_and_revisions_tell_who(home: Path, pysup: Command) -> None:
    """To the one before, to a number; ten are kept, for their owner alone."""
    here = Here(home, pysup, "[apps.web]\ncommand = 'sleep 1000'\nenv.A = '1'\n")
    here.run("apply", "--yes")
    here.run("start", "web", "--force", "-e", "A=2")
    here.run("rollback", "web")
    assert "A=1" in here.run("env", "web@0")
    lines = here.run("revisions", "web").splitlines()
    assert [line.split()[0] for line in lines] == ["revision", "1", "2", "3"]
    assert ("pysup apply" in lines[1], "pysup start" in lines[2], "pysup rollback" in lines[3]) == (True, True, True)
    here.run("rollback", "web", "2")
    assert "A=2" in here.run("env", "web@0")
    assert "no revision 99" in here.run("rollback", "web", "99", code=1)
    here.run("stop", "web")
    with Manager() as manager:
        app = manager.get("web").spec
        assert app
        for number in range(10):
            manager.define(replace(app, env={**app.env, "A": str(number)}))
        history = local.store(manager.scope).history
    lines = here.run("revisions", "web").splitlines()
    assert [line.split()[0] for line in lines] == ["revision", *map(str, range(5, 15))]
    assert history
    modes = {file.stat().st_mode & 0o777 for file in (history / "web").iterdir()}
    assert (modes, (history / "web").stat().st_mode & 0o777) == ({0o600}, 0o700)
    here.run("rollback", "web", "6")
    assert here.pids() == {"web@0": 0} or not here.pids()["web@0"]
    here.run("delete", "web")
    assert not (history / "web").exists()


@pytest.mark.systemd_user
def test_a_killed_apply_is_finished_by_the_next(home: Path, pysup: Command) -> None:
    """Killed while it replaces instances: what has old settings still is found and replaced."""
    text = "[apps.web]\ncommand = ['python3', '-c', 'import time; time.sleep(1000)']\ninstances = 3\nready = '1s'\n"
    here = Here(home, pysup, text)
    here.run("apply", "--yes")
    first = here.pids()
    here.edit("sleep(1000)", "sleep(2000)")
    with Running("apply", "--yes", cwd=home) as command:
        wait_until(lambda: Manager().get("web").instances[0].pid not in (first["web@0"], 0))
        command.interrupt(signal.SIGKILL)
    between = here.pids()
    assert between["web@2"] == first["web@2"]
    assert here.plan() == {"web": "roll"}
    assert "what runs may be older than its unit files" in here.run("diff")
    here.run("apply", "--yes")
    after = here.pids()
    assert not set(after.values()) & set(first.values())
    commands = {Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2] for pid in after.values()}
    assert commands == {b"import time; time.sleep(2000)"}
    assert here.plan() == {"web": "none"}


@pytest.mark.systemd
def test_what_is_applied_over_another_file_is_what_is_applied_alone(home: Path, pysup: Command) -> None:
    """The unit files are the same, byte for byte."""
    other = FIRST.replace("sleep 1000", "sleep 9").replace("[apps.api]", "[apps.gone]").replace("instances = 2", "")
    here = Here(home, pysup, other.replace('requires = "web"', ""))
    here.run("apply", "--yes")
    here.file.write_text(FIRST)
    here.run("apply", "--yes", "--prune")
    over = units()
    here.run("delete", "all")
    assert units() == {}
    here.run("apply", "--yes")
    assert units() == over


def units() -> dict[str, bytes]:
    """All files of apps, and what is in them."""
    with Manager() as manager:
        directory = local.store(manager.scope).runtime
    found = (file for file in directory.rglob("pysup-*") if file.is_file())
    return {str(file): file.read_bytes() for file in found}
