"""What PM2's users rely on, seen from outside: PM2's files and commands on a real systemd."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hammer
from programs import free_port
from running import Running

Pysup = Callable[..., subprocess.CompletedProcess[str]]

PROGRAMS = {
    "web.js": "require('http').createServer((_, answer) => answer.end(String(process.pid))).listen(process.env.PORT)",
    "show.js": "console.log(JSON.stringify({ env: process.env, args: process.argv.slice(2) }));\n"
    "console.error('told'); setInterval(() => {}, 1000)",
    "crash.js": "process.exit(Number(process.argv[2]))",
    "polite.js": "process.on('SIGINT', () => { console.log('SIGINT'); process.exit(0) }); setInterval(() => {}, 1000)",
    "deaf.js": "process.on('SIGINT', () => {}); setInterval(() => {}, 1000)",
    "slow.js": "setTimeout(() => process.send('ready'), 300); setInterval(() => {}, 1000)",
    "never.js": "setInterval(() => {}, 1000)",
}


@pytest.fixture
def place(tmp_path: Path, pysup: Pysup, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with programs, in which the test stands; no app stays."""
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pysup("delete", "all")


def write(place: Path, *apps: dict[str, Any], name: str = "ecosystem.config.js") -> None:
    """A file of PM2's with these apps."""
    (place / name).write_text(f"module.exports = {{ apps: {json.dumps(apps)} }}")


def states(pysup: Pysup) -> dict[str, str]:
    """The state of each instance."""
    return {one["id"]: one["state"] for one in json.loads(pysup("list", "--json").stdout)}


def env(pysup: Pysup, instance: str) -> dict[str, str]:
    """Its environment."""
    found: dict[str, str] = json.loads(pysup("env", instance, "--json").stdout)[instance]
    return found


def test_the_environment_is_the_files(scope: object, place: Path, pysup: Pysup) -> None:
    """As text, by environment; a key that is taken out is gone; the shell's are not there."""
    app = {"name": "show", "script": "show.js", "args": "a 'b c'", "instances": 2, "exec_mode": "fork"}
    base = {"A": 1, "B": {"c": [True]}, "GONE": "x", "WHO": "base"}
    write(place, {**app, "env": base, "env_production": {"WHO": "production"}, "instance_var": "NR"})
    pysup("start", "--env", "production", env={"SECRET": "of the shell"})
    found = env(pysup, "show@1")
    assert {key: found.get(key) for key in ("A", "B", "WHO", "NR", "SECRET", "GONE")} == {
        "A": "1",
        "B": '{"c":[true]}',
        "WHO": "production",
        "NR": "1",
        "SECRET": None,
        "GONE": "x",
    }
    del base["GONE"]
    write(place, {**app, "env": base})
    pysup("restart", "ecosystem.config.js")
    found = env(pysup, "show@1")
    assert ("GONE" in found, found["WHO"]) == (False, "base")
    pysup("stop", "ecosystem.config.js")
    assert set(states(pysup).values()) == {"inactive"}
    pysup("delete", "ecosystem.config.js", "--only", "show")
    assert states(pysup) == {}


def test_crashes_are_limited_and_some_exits_are_final(scope: object, place: Path, pysup: Pysup) -> None:
    """max_restarts starts, stop_exit_codes, autorestart; a signal is not exit code 0."""
    write(
        place,
        {"name": "loop", "script": "crash.js", "args": "1", "max_restarts": 3},
        {"name": "done", "script": "crash.js", "args": "3", "stop_exit_codes": [3]},
        {"name": "once", "script": "crash.js", "args": "0", "autorestart": False},
        {"name": "killed", "script": "never.js", "stop_exit_codes": [0]},
    )
    assert pysup("start", check=False).returncode == 1
    with Running("logs", "loop", "--json", "-n", "all") as following:
        following.expect("Start request repeated|Failed with result 'start-limit-hit'")
    found = {one["name"]: one for one in json.loads(pysup("list", "--json").stdout)}
    assert found["loop"]["state"] == "failed"
    assert found["loop"]["restarts"] in (2, 3)  # systemd counts the one that it refuses
    assert (found["done"]["state"], found["once"]["state"]) == ("inactive", "inactive")
    pysup("signal", "KILL", "killed")
    with Running("logs", "killed", "--json", "-n", "all") as following:
        following.expect("status=9/KILL")
        following.expect("Started")


def test_a_stop_is_sigint_and_then_sigkill(scope: object, place: Path, pysup: Pysup) -> None:
    """After kill_timeout; an app that cannot be stopped is killed."""
    write(
        place,
        {"name": "polite", "script": "polite.js"},
        {"name": "deaf", "script": "deaf.js", "kill_timeout": 300},
    )
    pysup("start")
    pysup("stop", "all")
    assert set(states(pysup).values()) <= {"inactive", "failed"}
    assert "SIGINT" in pysup("logs", "polite", "--no-follow", "--raw").stdout
    assert "SIGKILL" in pysup("logs", "deaf", "--no-follow").stdout


def test_log_and_pid_files_are_where_they_were(scope: object, place: Path, pysup: Pysup) -> None:
    """With a number where there are several; directories are made."""
    write(
        place,
        {
            "name": "show",
            "script": "show.js",
            "instances": 2,
            "exec_mode": "fork",
            "out_file": "logs/out.log",
            "error_file": "logs/err.log",
            "merge_logs": False,
            "pid_file": "run/show.pid",
        },
    )
    pysup("start")
    assert sorted(file.name for file in (place / "logs").iterdir()) == [
        "err-0.log",
        "err-1.log",
        "out-0.log",
        "out-1.log",
    ]
    assert (place / "logs/err-1.log").read_text() == "told\n"
    pids = [(place / f"run/show-{number}.pid").read_text().strip() for number in range(2)]
    assert pids == pysup("pid", "show").stdout.split()
    pysup("stop", "show")
    assert list((place / "run").iterdir()) == []


def test_ready_is_what_the_program_says(scope: object, place: Path, pysup: Pysup) -> None:
    """wait_ready waits for process.send('ready'); an app that never says it has failed after listen_timeout."""
    write(place, {"name": "slow", "script": "slow.js", "wait_ready": True, "listen_timeout": 20000})
    pysup("start")
    assert states(pysup) == {"slow@0": "active"}
    write(place, {"name": "never", "script": "never.js", "wait_ready": True, "listen_timeout": 500, "max_restarts": 1})
    assert pysup("start", check=False).returncode == 1


def test_the_cluster_reloads_without_losing_a_request(scope: object, place: Path, pysup: Pysup) -> None:
    """It shares the port of env; scale and restart work on it, too."""
    port = free_port()
    write(place, {"name": "web", "script": "web.js", "instances": 2, "env": {"PORT": port}})
    pysup("start")
    before = set(pysup("pid", "web").stdout.split())
    with hammer.load(port, clients=4) as tally:
        tally.wait_for(20)
        pysup("reload", "ecosystem.config.js")
        tally.wait_for(20)
    assert tally.failures == []
    assert before.isdisjoint(pysup("pid", "web").stdout.split())


def test_schedules_and_watches_come_along(scope: object, place: Path, pysup: Pysup) -> None:
    """A cron_restart is a timer, with autorestart false a job; a change of a watched file restarts."""
    (place / "src").mkdir()
    write(
        place,
        {"name": "nightly", "script": "never.js", "cron_restart": "0 3 * * *"},
        {"name": "job", "script": "crash.js", "args": "0", "cron_restart": "30 4 * * 1", "autorestart": False},
        {"name": "watched", "script": "never.js", "watch": ["src"], "ignore_watch": ["*.tmp"], "watch_delay": 100},
    )
    pysup("start")
    found = {one["name"]: one for one in json.loads(pysup("list", "--json").stdout)}
    assert found["nightly"]["next_run"]
    assert found["job"]["next_run"]
    before = found["watched"]["pid"]
    (place / "src/new.js").write_text("")
    with Running("logs", "watched", "--json", "-n", "all") as following:
        following.expect("restarting, because new.js")
        following.expect("Started")
    assert json.loads(pysup("list", "watched", "--json").stdout)[0]["pid"] != before


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ecosystem.config.js", "throw new Error('boom')", "boom"),
        ("ecosystem.config.js", "module.exports = () => ({})", "exports a function"),
        ("ecosystem.config.js", "module.exports = Promise.resolve({})", "exports a promise"),
        ("ecosystem.config.js", "console.log('{}'); process.exit(0)", "told nothing"),
        ("ecosystem.config.js", "module.exports = { apps: [{ name: 'a', script: 'gone.js' }] }", "gone.js"),
        ("ecosystem.json", "{ apps: [ }", "ecosystem.json:1 Unexpected"),
        ("ecosystem.yml", "apps:\n  - script: [", "ecosystem.yml"),
        ("package.json", '{"name": "x"}', "no key pm2"),
        ("big.json", '{"apps": [{"script": "' + "x" * 2_000_000 + '"}]}', "larger than"),
    ],
)
@pytest.mark.systemd
def test_a_file_that_is_wrong_changes_nothing(place: Path, pysup: Pysup, name: str, text: str, said: str) -> None:
    """One error, exit code 2."""
    (place / name).write_text(text)
    done = pysup("start", name, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert states(pysup) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ecosystem.config.mjs", "export default { apps: [{ name: 'n', script: 'never.js' }] }"),
        ("ecosystem.config.cjs", "exports.apps = [{ name: 'n', script: 'never.js' }]"),
        ("ecosystem.json", "{ // apps\n 'apps': [{ name: 'n', script: 'never.js' }] }"),
        ("ecosystem.yml", "apps:\n  - name: n\n    script: never.js\n"),
        ("package.json", '{"name": "x", "pm2": [{"name": "n", "script": "never.js"}]}'),
    ],
)
@pytest.mark.systemd
def test_every_kind_of_file_is_started(place: Path, pysup: Pysup, name: str, text: str) -> None:
    """Named, or the one that is here."""
    (place / name).write_text(text)
    pysup("start", *([name] if name == "package.json" else []), "--no-wait")
    assert list(states(pysup)) == ["n@0"]


def test_pm2s_words_do_and_tell_pysups(scope: object, place: Path, pysup: Pysup) -> None:
    """Start with PM2's flags, list as JSON with PM2's fields, targets by number and /regex/."""
    port = free_port()
    done = pysup("pm2", "start", "web.js", "-i", "2", "--kill-timeout", "3000", "--", "--flag", env={"PORT": str(port)})
    assert done.stderr.count("In pysup's words: pysup start web.js") == 1
    assert f"--listen {port}" in done.stderr
    found = json.loads(pysup("pm2", "jlist").stdout)
    assert [(one["name"], one["pm_id"], one["pm2_env"]["status"]) for one in found] == [
        ("web", 0, "online"),
        ("web", 1, "online"),
    ]
    assert set(found[0]) == {"pid", "name", "pm_id", "monit", "pm2_env"}
    assert (found[0]["pm2_env"]["exec_mode"], found[0]["pm2_env"]["args"]) == ("cluster_mode", ["--flag"])
    assert pysup("pm2", "pid", "web").stdout.split() == [str(one["pid"]) for one in found]
    assert pysup("pm2", "id", "web").stdout == "[ 0, 1 ]\n"
    pysup("pm2", "scale", "web", "+1")
    pysup("pm2", "stop", "2")
    assert states(pysup)["web@2"] == "inactive"
    pysup("pm2", "restart", "/^w/")
    assert set(states(pysup).values()) == {"active"}
    pysup("pm2", "reload", "all")
    assert "web@0" in pysup("pm2", "logs", "web", "--nostream", "--lines", "50").stdout
    assert pysup("pm2", "delete", "0", check=False).returncode == 1  # one of three
    pysup("pm2", "scale", "web", "1")
    pysup("pm2", "delete", "0")
    assert pysup("pm2", "jlist").stdout == "[]\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("stop nope", 1, "there is no app, namespace or number 'nope'"),
        ("install pm2-logrotate", 2, "There are no modules"),
        ("link a b", 2, "PM2 Plus"),
        ("update", 0, "no daemon to update"),
        ("statr x", 2, "Did you mean 'start'?"),
        ("start x --nmae y", 2, "there is no option '--nmae'"),
        ("start nope.js", 2, "nope.js"),
        ("start serve", 2, "pysup serve . --port 8080"),
        ("start x --max-memory-restart 1.5G", 2, "pysup: pm2 start: app 'x': max_memory_restart"),
        ("stop", 2, "needs a target"),
        ("scale web", 2, "needs an app and a number"),
        ("ping", 0, ""),
        ("serve . 8080 --basic-auth-username x", 2, "--basic-auth env:NAME"),
        ("-s list", 0, ""),
    ],
)
@pytest.mark.systemd
def test_pm2s_words_fail_as_they_should(place: Path, pysup: Pysup, words: str, code: int, said: str) -> None:
    """With the reason; what is not there is named."""
    done = pysup("pm2", *words.split(), check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


@pytest.mark.systemd
def test_keys_without_effect_are_told_at_the_start(place: Path, pysup: Pysup) -> None:
    """Those that mean something else are counted."""
    write(place, {"name": "n", "script": "never.js", "wate_ready": True, "max_restarts": 3})
    told = pysup("start").stderr
    assert "n: wate_ready: there is no such key; did you mean wait_ready?" in told
    assert re.search(r"ecosystem\.config\.js: 1 key means something else than in PM2", told)
