"""PM2's files: each shape, each key, and what is wrong with those that are wrong. Nothing is started here."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pysup.convert import native, pm2, shapes, values, words
from pysup.convert.draft import Converted, Kind
from pysup.errors import SpecError

App = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with programs."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "web.js").write_text("require('http').createServer().listen(3000)\n")
    (folder / "env.js").write_text("app.listen(process.env.PORT || 4000)\n")
    (folder / "local.js").write_text("app.listen(5000, '127.0.0.1')\n")
    (folder / "two.js").write_text("a.listen(3001); b.listen(3002)\n")
    for name in ("worker.js", "job.py", "tool.coffee", "a b.js"):
        (folder / name).write_text("\n")
    (folder / "command").write_text("#!/usr/bin/env node\n")
    return folder


def convert(place: Path, *apps: App, env: str | None = None, **more: Any) -> Converted:
    """What these apps in a file there mean."""
    file = place / "ecosystem.config.js"
    return pm2.convert({"apps": list(apps), **more}, env, file=file, cwd=place, home=Path("/home/ada"))


def one(place: Path, app: App, env: str | None = None) -> tuple[App, dict[str, Kind]]:
    """The only app's keys, but for those that are always there; and what has become of PM2's."""
    made = convert(place, {"name": "app", "script": "worker.js", **app}, env=env)
    ((_, found),) = made.document["apps"].items()
    usual = {"command": [str(place / "worker.js")], "cwd": str(place), "stop_signal": "SIGINT"}
    kept = {key: value for key, value in found.items() if usual.get(key) != value}
    return kept, {note.key: note.kind for note in made.notes}


KEPT, CHANGED, REFUSED = Kind.KEPT, Kind.CHANGED, Kind.REFUSED

# PM2's keys -> pysup's, and what the notes say of the first of PM2's.
GOLDEN: list[tuple[App, App, Kind]] = [
    ({"args": "a 'b c'"}, {"command": ["WORKER", "a", "b c"]}, KEPT),
    ({"args": '"" --t="a b" -o=k=\'c\' \'d"e\''}, {"command": ["WORKER", "", "--t=a b", "-o=k=c", 'd"e']}, KEPT),
    (
        {"args": '--json={"a":1} it\'s C:\\x \\d+ a"b" =x'},
        {"command": ["WORKER", '--json={"a":1}', "it's", "C:\\x", "\\d+", 'a"b"', "=x"]},
        KEPT,
    ),
    ({"args": ["a", "b c", 1]}, {"command": ["WORKER", "a", "b c", "1"]}, KEPT),
    ({"script": "node -e 1"}, {"command": ["node", "-e", "1"]}, KEPT),
    ({"args": ["x y"], "script": "sleep 1"}, {"command": ["sleep", "1", "x y"]}, CHANGED),
    ({"script": "true && sleep 1"}, {"command": ["bash", "-c", "true && sleep 1"]}, KEPT),
    ({"script": "a b.js"}, {"command": ["PLACE/a b.js"]}, KEPT),
    ({"script": "tool.coffee"}, {"command": ["PLACE/tool.coffee"], "interpreter": "coffee"}, KEPT),
    ({"exec": "job.py"}, {}, REFUSED),  # script is given, too
    ({"cwd": "sub"}, {"cwd": "PLACE/sub", "command": ["worker.js"]}, KEPT),
    ({"interpreter": "none"}, {"interpreter": "none"}, KEPT),
    ({"exec_interpreter": "python3"}, {"interpreter": "python3", "env": {"PYTHONUNBUFFERED": "1"}}, KEPT),
    ({"interpreter": ""}, {}, KEPT),
    ({"node_args": "--no-warnings --inspect"}, {"interpreter": ["node", "--no-warnings", "--inspect"]}, KEPT),
    ({"interpreterArgs": ["-u"], "interpreter": "bun"}, {"interpreter": ["bun", "-u"]}, KEPT),
    ({"node_args": []}, {}, KEPT),
    ({"source_map_support": True}, {"interpreter": ["node", "--enable-source-maps"]}, CHANGED),
    ({"disable_source_map_support": True}, {}, KEPT),
    ({"exec_mode": "fork"}, {}, KEPT),
    ({"instances": 3, "exec_mode": "fork_mode"}, {"instances": 3}, KEPT),
    ({"instances": "2", "exec_mode": "fork"}, {"instances": 2}, KEPT),
    ({"instances": "max", "exec_mode": "fork"}, {"instances": "max"}, KEPT),
    ({"instances": 0, "exec_mode": "fork"}, {"instances": "max"}, KEPT),
    ({"instances": -1, "exec_mode": "fork"}, {"instances": "-1"}, KEPT),
    ({"instances": 1, "exec_mode": "fork"}, {}, KEPT),
    (
        {"exec_mode": "cluster", "script": "web.js", "instances": 2},
        {"command": ["PLACE/web.js"], "instances": 2, "listen": [3000], "ready": "notify"},
        CHANGED,
    ),
    (
        {"exec_mode": "cluster", "script": "web.js", "env": {"PORT": 8080, "HOST": "127.0.0.1"}},
        {
            "command": ["PLACE/web.js"],
            "listen": ["127.0.0.1:8080"],
            "ready": "notify",
            "env": {"PORT": "8080", "HOST": "127.0.0.1"},
        },
        CHANGED,
    ),
    (
        {"exec_mode": "cluster", "script": "local.js"},
        {"command": ["PLACE/local.js"], "listen": ["127.0.0.1:5000"], "ready": "notify"},
        CHANGED,
    ),
    (
        {"exec_mode": "cluster", "script": "env.js"},
        {"command": ["PLACE/env.js"], "listen": [4000], "ready": "notify"},
        CHANGED,
    ),
    (
        {"exec_mode": "cluster", "script": "command", "args": "start -p 3100"},
        {"command": ["PLACE/command", "start", "-p", "3100"], "listen": [3100], "ready": "notify"},
        CHANGED,
    ),
    ({"exec_mode": "cluster", "script": "two.js"}, {"command": ["PLACE/two.js"]}, CHANGED),
    ({"exec_mode": "cluster"}, {}, CHANGED),
    ({"exec_mode": "cluster", "script": "npm", "args": "start"}, {"command": ["npm", "start"]}, CHANGED),
    ({"exec_mode": "cluster", "listen": 7000}, {"listen": 7000}, KEPT),
    ({"increment_var": "PORT", "env": {"PORT": 5000}}, {"port": 5000}, KEPT),
    ({"increment_var": "ADMIN", "env": {"ADMIN": "9000"}}, {"increment": {"ADMIN": 9000}}, KEPT),
    ({"increment_var": "PORT", "port": 5000}, {"port": 5000}, KEPT),
    ({"increment_var": "NONE"}, {}, REFUSED),
    ({"instance_var": "WORKER"}, {"instance_var": "WORKER"}, KEPT),
    ({"port": 3000}, {"env": {"PORT": "3000"}}, KEPT),
    (
        {"env": {"A": {"b": [1, None]}, "T": True, "N": None, "F": 1.5, "I": 3, "BIG": 1e21, "S": "x"}},
        {
            "env": {
                "A": '{"b":[1,null]}',
                "BIG": "1e+21",
                "F": "1.5",
                "I": "3",
                "N": "null",
                "S": "x",
                "T": "true",
            }
        },
        KEPT,
    ),
    ({"env": {"NODE_APP_INSTANCE": 1}}, {}, CHANGED),
    ({"env": {"F": {"$pysup": "function"}}}, {}, REFUSED),
    ({"env_production": {"A": "1"}}, {}, KEPT),
    ({"filter_env": True}, {}, CHANGED),
    ({"filter_env": ["AWS"]}, {}, KEPT),
    ({"append_env_to_name": True}, {}, KEPT),
    ({"autostart": False}, {"autostart": False}, KEPT),
    ({"autorestart": False}, {"restart": "no"}, KEPT),
    ({"autorestart": True}, {}, KEPT),
    ({"stop_exit_codes": [3, "4"]}, {"stop_exit_codes": [3, 4]}, KEPT),
    ({"stop_exit_codes": 0}, {"stop_exit_codes": [0]}, CHANGED),
    ({"restart_delay": 250}, {"restart_delay": "250ms"}, KEPT),
    ({"restart_delay": "3s"}, {"restart_delay": "3s"}, KEPT),
    ({"exp_backoff_restart_delay": 100}, {"restart_delay": "100ms", "restart_delay_max": "15s"}, KEPT),
    ({"min_uptime": "5s"}, {"restart_limit": 16, "restart_window": "80s"}, CHANGED),
    ({"max_restarts": 3}, {"restart_limit": 3, "restart_window": "3s"}, CHANGED),
    ({"max_restarts": 0}, {"restart_limit": 1, "restart_window": "1s"}, CHANGED),
    ({"max_memory_restart": "300M"}, {"memory_restart": "300M"}, CHANGED),
    ({"maxMemoryRestart": 1024}, {"memory_restart": "1024"}, CHANGED),
    ({"cron_restart": "0 3 * * *"}, {"schedule": "0 3 * * *"}, CHANGED),
    ({"cron": "0 3 * * *", "autorestart": False}, {"schedule": "0 3 * * *", "restart": "no"}, CHANGED),
    ({"cron_restart": 0}, {}, KEPT),
    ({"watch": True}, {"watch": {"paths": ["."]}}, KEPT),
    ({"watch": ["src", "lib"]}, {"watch": {"paths": ["src", "lib"]}}, KEPT),
    ({"watch": False}, {}, KEPT),
    ({"ignore_watch": "logs *.db", "watch": "a b"}, {"watch": {"paths": ["a b"], "ignore": ["logs", "*.db"]}}, KEPT),
    ({"ignore_watch": ["logs"], "watch": "src"}, {"watch": {"paths": ["src"], "ignore": ["logs"]}}, KEPT),
    (
        {"ignore_watch": [{"$pysup": "regexp", "text": "\\.git"}], "watch": True},
        {"watch": {"paths": ["."], "ignore": [".git"]}},
        CHANGED,
    ),
    ({"ignore_watch": [{"$pysup": "regexp", "text": "a|b"}], "watch": True}, {"watch": {"paths": ["."]}}, REFUSED),
    ({"watch_delay": 1000, "watch": True}, {"watch": {"paths": ["."], "delay": "1s"}}, KEPT),
    ({"watch_options": {"usePolling": True}}, {}, KEPT),
    ({"watch_options": {}}, {}, KEPT),
    ({"kill_timeout": 5000}, {"stop_timeout": "5s"}, KEPT),
    ({"kill_timeout": 0}, {"stop_timeout": "1ms"}, CHANGED),
    ({"kill_retry_time": 100}, {}, REFUSED),
    ({"treekill": False}, {"kill_mode": "process"}, KEPT),
    ({"treekill": True}, {}, KEPT),
    ({"shutdown_with_message": True}, {}, REFUSED),
    ({"shutdown_with_message": False}, {}, KEPT),
    ({"wait_ready": True}, {"ready": "send"}, CHANGED),
    (
        {"wait_ready": True, "script": "job.py"},
        {"command": ["PLACE/job.py"], "env": {"PYTHONUNBUFFERED": "1"}},
        REFUSED,
    ),
    ({"listen_timeout": 8000, "wait_ready": True}, {"ready": {"when": "send", "timeout": "8s"}}, CHANGED),
    ({"listen_timeout": 8000}, {}, REFUSED),
    ({"out_file": "logs/out.log"}, {"log": {"output": "PLACE/logs/out.log"}}, KEPT),
    ({"output": "~/out.log"}, {"log": {"output": "/home/ada/out.log"}}, KEPT),
    (
        {"error_file": "e.log", "instances": 2, "exec_mode": "fork"},
        {"log": {"error": "PLACE/e-{instance}.log"}, "instances": 2},
        KEPT,
    ),
    (
        {"error_file": "e.log", "instances": 2, "exec_mode": "fork", "merge_logs": True},
        {"log": {"error": "PLACE/e.log"}, "instances": 2},
        KEPT,
    ),
    ({"err": "NULL"}, {"log": {"error": "null"}}, KEPT),
    ({"log_file": "all.log"}, {"log": {"output": "PLACE/all.log", "error": "PLACE/all.log"}}, KEPT),
    ({"log_file": True}, {}, CHANGED),
    ({"log_file": "all.log", "out_file": "o.log"}, {"log": {"output": "PLACE/o.log"}}, REFUSED),
    ({"merge_logs": False}, {}, KEPT),
    ({"disable_logs": True}, {"log": {"output": "null", "error": "null"}}, KEPT),
    ({"log_type": "json"}, {}, CHANGED),
    ({"log_date_format": "HH:mm"}, {}, CHANGED),
    ({"time": True}, {}, CHANGED),
    ({"time": True, "out_file": "o.log"}, {"log": {"output": "PLACE/o.log"}}, REFUSED),
    ({"uid": "www-data"}, {"user": "www-data"}, KEPT),
    ({"user": 33}, {"user": "33"}, KEPT),
    ({"gid": "www-data"}, {"group": "www-data"}, KEPT),
    ({"namespace": "shop"}, {"namespace": "shop"}, KEPT),
    ({"namespace": "default"}, {}, KEPT),
    ({"namespace": "my shop"}, {"namespace": "my-shop"}, CHANGED),
    ({"force": True}, {}, REFUSED),
    ({"vizion": False}, {}, KEPT),
    ({"post_update": ["npm i"]}, {}, REFUSED),
    ({"install_url": "x"}, {}, REFUSED),
    ({"exec_timeout": 1}, {}, REFUSED),
    *[({key: True}, {}, REFUSED) for key in ("pmx", "automation", "io", "v8", "trace", "deep_monitoring")],
    *[({key: True}, {}, REFUSED) for key in ("event_loop_inspector", "windowsHide", "execute_command", "write")],
    ({"username": "x"}, {}, REFUSED),
    ({"disable_trace": True}, {}, KEPT),
    ({"nice": 5}, {"nice": 5}, KEPT),
    ({"wate_ready": True}, {}, REFUSED),
]


@pytest.mark.parametrize(("pm2_keys", "expected", "kind"), GOLDEN, ids=[json.dumps(row[0])[:60] for row in GOLDEN])
def test_each_key_means_what_its_users_rely_on(place: Path, pm2_keys: App, expected: App, kind: Kind) -> None:
    """Or is refused by name; the first key of each row is the one whose note is looked at."""
    found, notes = one(place, pm2_keys)
    text = json.dumps(expected).replace('WORKER",', f'{place}/worker.js",').replace("PLACE", str(place))
    if "instance_var" in expected:
        text = json.dumps(expected)
    assert found == json.loads(text)
    first = next(iter(pm2_keys))
    assert kind is next(
        found
        for key, found in notes.items()
        if key in (first, shapes.ALIASES.get(first), values.camel_to_snake(first))
        or shapes.ALIASES.get(values.camel_to_snake(first)) == key
    )


@pytest.mark.parametrize("key", [key for key in pm2.KEYS if key != "script"])
def test_a_key_that_is_null_is_as_good_as_not_there(place: Path, key: str) -> None:
    """In PM2, too: files have `args: process.env.ARGS || null`."""
    found, notes = one(place, {key: None})
    assert (found, notes[key]) == ({}, KEPT)


@pytest.mark.parametrize("value", [False, ""])
@pytest.mark.parametrize("key", ["max_memory_restart", "kill_timeout", "restart_delay", "max_restarts", "port"])
def test_what_a_condition_leaves_of_a_number_is_as_good_as_not_there(place: Path, key: str, value: object) -> None:
    """`isLarge && '1G'`."""
    found, notes = one(place, {key: value})
    assert (found, notes[key]) == ({}, KEPT)


def test_no_key_of_pm2s_is_without_a_golden_test() -> None:
    """By its usual name or another."""
    names = {values.camel_to_snake(key) for row in GOLDEN for key in row[0]}
    tested = {shapes.ALIASES.get(name, name) for name in names} | {"name", "name_prefix", "pid_file"}
    assert set(pm2.KEYS) <= tested


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(chosen=st.lists(st.sampled_from(GOLDEN), min_size=1, max_size=6))
def test_no_key_is_dropped_in_silence(place: Path, chosen: list[tuple[App, App, Kind]]) -> None:
    """Whatever stands beside it, each has a note; and the text that import writes says the same as the document."""
    app = {"name": "app", "script": "worker.js"}
    for row in chosen:
        app |= row[0]
    made = convert(place, app)
    noted = {note.key.partition(".")[0] for note in made.notes}
    asked = {shapes.ALIASES.get(values.camel_to_snake(key), values.camel_to_snake(key)) for key in app}
    assert asked - noted <= {"exec_interpreter"}
    text = native.toml(made, source="x", directory=Path("/elsewhere"))
    written, meant = tomllib.loads(text)["apps"]["app"], made.document["apps"]["app"]
    assert {**written, "command": 0} == {**meant, "command": 0}
    assert str(place / written["command"][0]) == str(place / meant["command"][0])
    assert words.start("app", made.document["apps"]["app"], cwd=str(place))[0] == "start"


def test_a_pid_file_is_written_by_a_shell_of_systemds(place: Path) -> None:
    """By the names that PM2 gives: a number before .pid."""
    found, notes = one(place, {"pid_file": "run/web.pid"})
    assert notes["pid_file"] is Kind.KEPT
    assert f'"{place}/run/web"' in found["service"]["ExecStartPost"][0]
    assert set(found["service"]) == {"ExecStartPost", "ExecStopPost"}


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ({"script": None}, "script"),
        ({"max_memory_restart": "12Q"}, "max_memory_restart is '12Q'"),
        ({"max_memory_restart": "1.5G"}, "max_memory_restart"),
        ({"instances": "many"}, "instances is 'many'"),
        ({"exec_mode": "custer"}, "exec_mode is 'custer'"),
        ({"autorestart": "maybe"}, "autorestart is 'maybe'"),
        ({"kill_timeout": -1}, "kill_timeout is -1"),
        ({"restart_delay": "5 minutes"}, "restart_delay"),
        ({"env": ["A=1"]}, "env is ['A=1']"),
        ({"args": "'open"}, "args is"),
        ({"interpreter": "node@0.1"}, "nvm has no such version"),
        ({"watch_options": True}, "watch_options is True"),
        ({"name": {"$pysup": "function"}}, "name is a function"),
    ],
)
def test_wrong_values_are_named(place: Path, app: App, said: str) -> None:
    """With file, app and key."""
    with pytest.raises(SpecError) as raised:
        one(place, app)
    assert said in raised.value.message
    assert "ecosystem.config.js: app " in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    "data",
    [
        {"apps": [{"script": "worker.js"}]},
        {"apps": {"script": "worker.js"}},
        {"pm2": [{"script": "worker.js"}], "name": "package"},
        {"pm2": {"apps": [{"script": "worker.js"}]}},
        [{"script": "worker.js"}],
        {"script": "worker.js"},
        {"exec": "worker.js"},
    ],
)
def test_every_shape_of_a_file_is_read(place: Path, data: Any) -> None:
    """A table with apps or pm2 in it, a list, one app alone."""
    assert shapes.is_config(data) or isinstance(data["apps"], Mapping)
    made = pm2.convert(data, file=place / "x.json", cwd=place)
    assert list(made.document["apps"]) == ["worker"]


@pytest.mark.parametrize("data", [[], {"apps": []}, {}, {"deploy": {}}, {"apps": [1]}, {"apps": [None]}, "text", None])
def test_what_has_no_app_is_an_error(place: Path, data: Any) -> None:
    """Also a list of what is no app."""
    with pytest.raises(SpecError):
        pm2.convert(data, file=place / "x.json", cwd=place)


def test_environments_are_the_documents(place: Path) -> None:
    """What deploy says counts least; another PORT is listened on there."""
    app = {
        "name": "web",
        "script": "web.js",
        "exec_mode": "cluster",
        "env": {"PORT": 3000, "A": "base"},
        "env_production": {"PORT": 80},
    }
    made = convert(place, app, deploy={"production": {"env": {"A": "deploy", "B": "deploy"}}})
    overlay = made.document["env"]["production"]["apps"]["web"]
    assert overlay == {"env": {"B": "deploy", "PORT": "80"}, "listen": [80]}


@pytest.mark.parametrize("env", [None, "file", "production"])
def test_a_file_of_variables_is_named_by_pysups_own_key(place: Path, env: str | None) -> None:
    """PM2 takes env_file for an environment called file, and makes nothing of it."""
    found, notes = one(place, {"env_file": ".env", "env_files": ".env"}, env=env)
    assert (found, notes["env_file"], notes["env_files"]) == ({"env_files": ".env"}, REFUSED, KEPT)
    assert notes.get(f"--env {env}") is (REFUSED if env else None)


@pytest.mark.parametrize("env", [None, "production"])
def test_what_deploy_says_counts_for_apps_without_that_environment_too(place: Path, env: str | None) -> None:
    """As in PM2, which merges it before it looks for env_production."""
    app = {"name": "app", "script": "worker.js", "env": {"A": "base"}}
    made = convert(place, app, env=env, deploy={"production": {"env": {"A": "deploy", "B": "deploy"}}, "x": {}})
    environments = made.document["env"]
    if env:
        assert made.document["apps"]["app"]["env"] == {"A": "base", "B": "deploy"}
    else:
        assert environments == {"production": {"apps": {"app": {"env": {"B": "deploy"}}}}}
    assert not [note for note in made.notes if note.key.startswith("--env")]


def test_with_an_environment_the_app_has_it(place: Path) -> None:
    """Its name tells, if it is to."""
    app = {"append_env_to_name": True, "env": {"A": "base", "C": "base"}, "env_production": {"A": "over"}}
    made = convert(place, {"name": "app", "script": "worker.js", **app}, env="production")
    assert made.document["apps"]["app-production"]["env"] == {"A": "over", "C": "base"}
    assert made.document["env"] == {"production": {}}


def test_an_environment_that_is_not_there_is_told(place: Path) -> None:
    """PM2 goes on with a warning, and so do we."""
    _, notes = one(place, {"env": {"A": "1"}}, env="staging")
    assert notes["env"] is Kind.CHANGED
    assert notes["--env staging"] is Kind.REFUSED
    made = convert(place, {"script": "worker.js", "env_production": {}}, env="prodution")
    assert made.notes[0].text == "there is no env_prodution, so only env counts; there are: production"


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({"static": [{"name": "s", "path": "site", "port": 1}]}, "pysup serve site --port 1 --name s"),
        ({"apps": [{"script": "serve"}]}, "pysup serve . --port 8080"),
        (
            {
                "apps": [
                    {
                        "name": "the site",
                        "script": "serve",
                        "cwd": "/srv",
                        "env": {"PM2_SERVE_PATH": "./x", "PM2_SERVE_PORT": 80, "PM2_SERVE_SPA": "true"},
                    }
                ]
            },
            "pysup serve /srv/./x --port 80 --name 'the site' --spa",
        ),
        (
            {"static": {"path": "x", "basic_auth": {"username": "a", "password": "b"}}},
            "pysup serve x --port 8080 --basic-auth file:PATH",
        ),
    ],
)
def test_directories_that_pm2_serves_are_named_with_the_command_for_them(
    place: Path, config: App, command: str
) -> None:
    """Under static, or as an app whose script is PM2's own server; the others are taken."""
    apps = [*config.pop("apps", []), {"script": "worker.js"}]
    made = convert(place, *apps, **config)
    assert list(made.document["apps"]) == ["worker"]
    (told,) = [note for note in made.notes if note.key.startswith("static")]
    assert (told.kind, told.text.partition(": ")[2]) == (Kind.REFUSED, command)


def test_a_program_called_serve_is_a_program(place: Path) -> None:
    """npm has one, which is told by its arguments what to do; PM2's own has none."""
    made = convert(place, {"name": "web", "script": "serve", "args": "-s build"})
    assert made.document["apps"]["web"]["command"] == ["serve", "-s", "build"]


def test_two_apps_of_one_name_are_refused(place: Path) -> None:
    """PM2 would start four processes of one of them at the next restart."""
    with pytest.raises(SpecError, match="two apps are called 'my-app'"):
        convert(place, {"name": "my app", "script": "web.js"}, {"name": "my/app", "script": "worker.js"})


def test_a_script_is_found_beside_the_file_when_it_is_not_here(place: Path, tmp_path: Path) -> None:
    """PM2 looks only where it is called."""
    made = pm2.convert([{"script": "worker.js"}], file=place / "x.json", cwd=tmp_path)
    assert made.document["apps"]["worker"]["cwd"] == str(place)
    assert [note.kind for note in made.notes if note.key == "cwd"] == [Kind.CHANGED]


def test_unknown_keys_are_told_with_the_nearest(place: Path) -> None:
    """Of an app and of the file."""
    made = convert(place, {"script": "worker.js", "max_memory_restrat": "1M"}, aps=[])
    told = {note.key: note.text for note in made.notes if note.kind is Kind.REFUSED}
    assert told == {
        "max_memory_restrat": "there is no such key; did you mean max_memory_restart?",
        "aps": "there is no such key; did you mean apps?",
    }


def test_paths_in_the_written_file_begin_beside_it(place: Path) -> None:
    """So that it can be kept with the program."""
    made = convert(place, {"name": "web", "script": "web.js", "cwd": "."})
    text = native.toml(made, source="ecosystem.config.js", directory=place)
    assert tomllib.loads(text)["apps"]["web"] == {"command": ["web.js"], "stop_signal": "SIGINT"}


def test_a_comment_cannot_leave_its_line(place: Path) -> None:
    """Names of keys and values come from the file."""
    made = convert(place, {"script": "worker.js", "a\nb = 1": 2, "namespace": "x\n[evil]"})
    text = native.toml(made, source="a\nb", directory=place)
    assert set(tomllib.loads(text)) == {"apps"}
