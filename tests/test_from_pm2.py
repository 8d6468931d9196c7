"""Moving house: a real PM2 in a box, whose apps pysup takes over, and gives back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import grounds
from pysup.box import Box

VERSION = "7.0.4"
INSTALLED = grounds.ROOT / ".cache/pm2"
APPS = "/srv/apps"

PROGRAMS = {
    "web.js": "require('http').createServer((_, answer) => answer.end(process.env.PYSUP_APP || 'pm2'))"
    ".listen(process.env.PORT || 3000)",
    "work.js": "setInterval(() => {}, 1000)",
    "picky.sh": '#!/bin/sh\ntest -z "$PYSUP_APP" || exit 3; exec sleep infinity\n',
}

# Asks the port while pysup takes it over, and prints what came of it.
UNDER_LOAD = """
import json, subprocess, sys
import hammer
with hammer.load(3000, clients=8) as tally:
    tally.wait_for(50, answer="pm2")
    done = subprocess.run(["pysup", "import", "--from-pm2"], capture_output=True, text=True)
    tally.wait_for(50, answer="web")
print(json.dumps({"failures": tally.failures, "said": done.stdout + done.stderr, "code": done.returncode}))
"""


class Ground:
    """A box with a PM2 in it, as one of its users."""

    def __init__(self, box: Box, user: str | None) -> None:
        self.box = box
        self.user = user

    def run(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """A command among the programs."""
        quiet = {"PM2_DISABLE_VERSION_CHECK": "true", "PM2_NO_INTERACTION": "true", "PM2_DISCRETE_MODE": "true"}
        usual = grounds.environment(**quiet)
        del usual["PYSUP_ALLOW_ROOT"]  # what PM2 ran as root is said to be root's
        usual["PATH"] = f"{INSTALLED}/node_modules/.bin:{usual['PATH']}"
        usual["PYTHONPATH"] = f"{grounds.ROOT}/tests:{grounds.ROOT}/scripts"
        return self.box.run(list(words), user=self.user, cwd=APPS, env=usual | env, check=check, timeout=120)

    def pm2(self, *words: str, **env: str) -> str:
        """What PM2 says."""
        return str(self.run("pm2", *words, **env).stdout)

    def pysup(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """What pysup does."""
        return self.run("pysup", *words, check=check)

    def states(self, tool: str) -> dict[str, list[str]]:
        """The state of each instance of each app, as PM2 calls it."""
        said = self.pm2("jlist") if tool == "pm2" else str(self.run("pysup", "pm2", "jlist").stdout)
        found: dict[str, list[str]] = {}
        for process in json.loads(said[said.index("[") :] if said.strip() else "[]"):
            found.setdefault(process["name"], []).append(process["pm2_env"]["status"])
        return found


@pytest.fixture(scope="module")
def place() -> Iterator[Box]:
    """A box with programs; PM2 comes from npm, outside of it."""
    if not (INSTALLED / "node_modules/.bin/pm2").exists():
        subprocess.run([grounds.ROOT / "scripts/setup", "npm"], check=True, stdin=subprocess.DEVNULL)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", f"--prefix={INSTALLED}", f"pm2@{VERSION}"]
        subprocess.run(npm, check=True, stdin=subprocess.DEVNULL)
    with grounds.booted() as box:
        box.run(["mkdir", "-p", APPS])
        for name, text in PROGRAMS.items():
            box.run(["tee", f"{APPS}/{name}"], input=text)
        yield box


@pytest.fixture(params=[None, grounds.USER], ids=["root", "user"])
def ground(request: pytest.FixtureRequest, place: Box) -> Iterator[Ground]:
    """PM2 as root and as a user; afterwards there is nothing of either tool."""
    found = Ground(place, request.param)
    yield found
    found.pysup("delete", "all", check=False)
    found.run("pm2", "kill", check=False)
    place.run(["sh", "-c", "rm -rf ~ada/.pm2 ~root/.pm2 /etc/systemd/system/pm2-*; systemctl daemon-reload"])


@pytest.mark.parametrize("ground", [None], indirect=True, ids=["root"])
def test_what_runs_is_taken_over_and_given_back(ground: Ground) -> None:
    """The cluster's port without a failed request, and the startup unit, too."""
    ground.pm2("start", "web.js", "-i", "2", SECRET="kept", SSH_TTY="lost")
    ground.pm2("start", "work.js", "--name", "work", "--max-memory-restart", "300M", "--", "--flag")
    ground.pm2("start", "work.js", "-f", "--name", "off")
    ground.pm2("stop", "off")
    ground.pm2("startup", "systemd", "-u", "root", "--hp", "/root")
    said = ground.pysup("import", "--from-pm2", "--dry-run").stdout
    assert "web: pysup's instances join PM2's on port 3000" in said
    assert ground.states("pysup") == {}
    result = json.loads(ground.run(*grounds.python("-c", UNDER_LOAD)).stdout)
    assert (result["code"], result["failures"]) == (0, []), result["said"]
    assert ground.states("pysup") == {"off": ["stopped"], "web": ["online"] * 2, "work": ["online"]}
    env = json.loads(ground.pysup("env", "web@0", "--json").stdout)["web@0"]
    assert (env["SECRET"], "SSH_TTY" in env, "PM2_HOME" in env) == ("kept", False, False)
    spec = json.loads(ground.pysup("describe", "work", "--json").stdout)[0]["spec"]
    assert (spec["command"][1:], spec["memory_restart"]) == (["--flag"], 300 * 2**20)
    assert ground.run("pgrep", "-f", "God Daemon", check=False).returncode == 1
    units = ground.run("sh", "-c", "ls /etc/systemd/system/").stdout
    assert "pm2-root.service" not in units
    assert "pysup-web@.service" in units
    ground.pysup("import", "--from-pm2", "--undo")
    assert ground.states("pysup") == {}
    assert ground.states("pm2") == {"off": ["stopped"], "web": ["online"] * 2, "work": ["online"]}
    assert ground.run("systemctl", "is-enabled", "pm2-root.service").stdout.strip() == "enabled"


def test_an_app_that_does_not_come_up_stays_with_pm2(ground: Ground) -> None:
    """And so do those after it; those before it are pysup's."""
    ground.pm2("start", "work.js", "--name", "first")
    ground.pm2("start", "picky.sh")
    ground.pm2("start", "work.js", "-f", "--name", "last")
    done = ground.pysup("import", "--from-pm2", check=False)
    assert done.returncode == 1
    assert "app 'picky'" in done.stderr
    assert ground.states("pysup") == {"first": ["online"]}
    assert ground.states("pm2") == {"last": ["online"], "picky": ["online"]}
    ground.pysup("import", "--from-pm2", "--only", "last")
    assert ground.states("pysup") == {"first": ["online"], "last": ["online"]}
    ground.pysup("import", "--from-pm2", "--undo")
    assert ground.states("pysup") == {}
    assert ground.states("pm2") == {"first": ["online"], "last": ["online"], "picky": ["online"]}


def test_what_was_saved_is_started_when_no_pm2_runs(ground: Ground) -> None:
    """From the dump, which may be all that is left; just those that are named."""
    ground.pm2("start", "web.js", "--name", "api", "-x", PORT="3005")
    ground.pm2("start", "work.js", "--name", "a job")
    ground.pm2("start", "work.js", "-f", "--name", "other")
    ground.box.run(["cp", f"{APPS}/work.js", f"{APPS}/gone.js"])
    ground.pm2("start", "gone.js")
    ground.pm2("save")
    ground.pm2("kill")
    ground.box.run(["rm", f"{APPS}/gone.js"])
    done = ground.pysup("import", "--from-pm2", check=False)
    assert (done.returncode, "gone.js" in done.stderr, "--only" in done.stderr) == (2, True, True), done.stderr
    ground.pysup("import", "--from-pm2", "--only", "api,a job")
    assert ground.states("pysup") == {"a-job": ["online"], "api": ["online"]}
    assert ground.run("curl", "-s", "localhost:3005").stdout == "api"


@pytest.mark.parametrize("ground", [None], indirect=True, ids=["root"])
def test_a_directory_that_pm2_serves_is_served_on_its_port(ground: Ground) -> None:
    """By the same program, which is told by variables; pysup's way to do it is named."""
    ground.pm2("serve", APPS, "8181", "--spa")
    told = ground.pysup("import", "--from-pm2").stderr
    assert f"pysup serve {APPS} --port 8181" in told
    answer = ground.run("curl", "-s", "--retry", "30", "--retry-connrefused", "localhost:8181/work.js").stdout
    assert answer == PROGRAMS["work.js"]


@pytest.mark.parametrize("ground", [None], indirect=True, ids=["root"])
def test_nothing_is_given_back_by_a_dry_run_or_without_pm2(ground: Ground) -> None:
    """What runs is not deleted first, to be started by nobody then."""
    ground.pm2("start", "work.js")
    ground.pysup("import", "--from-pm2")
    assert "work: deleted, and started by PM2 again" in ground.pysup("import", "--undo", "--dry-run").stdout
    path = f"{grounds.environment()['PATH']}:/usr/bin"
    done = ground.run("pysup", "import", "--undo", check=False, PATH=path)
    assert (done.returncode, "pm2 itself is not on PATH" in done.stderr) == (1, True), done.stderr
    assert ground.states("pysup") == {"work": ["online"]}
    for words in (["--undo", "--only", "work"], ["ecosystem.config.js", "--only", "work"]):
        assert ground.pysup("import", *words, check=False).returncode == 2
    dump = ground.pysup("import", "dump.pm2", check=False)
    assert (dump.returncode, "--from-pm2" in dump.stderr) == (2, True)
    assert ground.states("pysup") == {"work": ["online"]}


def test_there_has_to_be_a_pm2(ground: Ground) -> None:
    """None is started to be asked."""
    done = ground.pysup("import", "--from-pm2", check=False)
    assert done.returncode == 1
    assert "there is no PM2 here" in done.stderr
    assert ground.run("pgrep", "-f", "God Daemon", check=False).returncode == 1


def test_a_file_becomes_a_native_one_that_means_the_same(place: Box, tmp_path: Path) -> None:
    """Started from either, it is the same app."""
    ground = Ground(place, None)
    text = (
        "module.exports = { apps: [{ name: 'n', script: 'work.js', args: 'a b', env: { A: 1 }, kill_timeout: 2000, "
        "uid: 'root' }] }"
    )
    place.run(["tee", f"{APPS}/ecosystem.config.js"], input=text)
    specs: list[Any] = []
    try:
        ground.pysup("import", "-o", "pysup.toml")
        assert ground.pysup("import", "-o", "pysup.toml", check=False).returncode == 1
        for file in ("ecosystem.config.js", "pysup.toml"):
            ground.pysup("start", file)
            (found,) = json.loads(ground.pysup("describe", "n", "--show-env", "--json").stdout)
            specs.append({**found["spec"], "origin": ""})
            ground.pysup("delete", file)
        assert specs[0] == specs[1]
        assert specs[0]["stop_timeout"] == 2
    finally:
        place.run(["sh", "-c", f"rm -f {APPS}/ecosystem.config.js {APPS}/pysup.toml"])
