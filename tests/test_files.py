"""Files of apps: what they may say, what becomes of it, and what is told when they are wrong."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from pysup import parse
from pysup.app import PER_CORE, App, Limits, Log, Placement, Ready, ReadyWhen, Restart
from pysup.cli.init import init
from pysup.cli.options import several_names
from pysup.errors import Conflict, SpecError
from pysup.files import about, appkeys, document, schema, starter
from pysup.files.build import STANDARD_PATH
from pysup.files.problems import Malformed
from pysup.files.source import Source
from pysup.host import cpus
from pysup.limits import NumaPolicy
from pysup.listen import Listen
from pysup.triggers import Watched
from pysup.unit import Scope

ROOT = Path(__file__).parent.parent
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file into a directory of the test's own; its path."""

    def written(text: str, name: str = "pysup.toml") -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    return written


def load(file: str, *, env: str | None = None, only: tuple[str, ...] = ()) -> dict[str, App]:
    """The apps of a file by name."""
    return {app.name: app for app in document.load(file, scope=Scope.USER, env=env, only=only).apps}


def complaints(file: str, **options: str) -> list[str]:
    """What is wrong with a file: line and message."""
    with pytest.raises(Malformed) as caught:
        load(file, **options)  # type: ignore[arg-type]
    return [f"{one.line}: {one.message} {one.hint}".strip() for one in caught.value.problems]


SLEEP = "command = 'sleep 1'\n"


def test_the_least_file_is_an_app_with_a_command(write: Write) -> None:
    """All else is usual; nothing of the caller's environment is in it."""
    file = write(f"[apps.web]\n{SLEEP}")
    path = ":".join(STANDARD_PATH)
    command = ("/usr/bin/sleep", "1")
    assert load(file) == {
        "web": App(name="web", command=command, cwd=str(Path(file).parent), env={"PATH": path}, origin=file)
    }


def test_every_key_reaches_its_field(write: Write) -> None:
    """One file with them all; keys may have - for _."""
    Path(write("v", "secret")).chmod(0o600)
    file = write(
        """
[apps.api]
command = ["sleep", 1]
interpreter = "none"
namespace = "prod"
description = "hello"
cwd = "/usr"
instances = "2"
placement = "core"
reserve = "0,2-3"
physical = true
reserve_for = "redis-server.service"
listen = [8080, "http=127.0.0.1:9000,backlog=5", { address = "/run/x.sock", mode = "0660", name = "x" }]
env = { A = "b", N = 1, T = true }
env-files = "values.env"
secrets = { S = "file:secret", c = "credential:/etc/key", e = "credential:BLOB", i = "import", x = "encrypted:key" }
secret_env = { KEY = "c" }
user = "nobody"
group = "nogroup"
restart = "on-failure"
restart-delay = "500ms"
restart_limit = 3
restart_window = 300
stop_exit_codes = [0, 3]
stop_signal = "int"
stop_timeout = 1.5
kill_mode = "mixed"
limits = { memory-max = "1.5G", memory_high = 1048576, cpu_quota = "150%", cpu_weight = 50, io_weight = 60, \
tasks_max = 70, nofile = 80, memory-swap-max = 0, cpus = "0-2", numa_policy = "bind", \
numa_nodes = 0, io_read_max = "/srv:5M", io_write_max = ["/srv 5"] }
total = { memory_max = "4G", cpus = 1 }
nice = -5
ready = { when = "notify", timeout = "9s" }
log = { output = "out.log", error = "null", rate_limit = 7 }
wants = ["a", "b"]
requires = "redis-server.service"
after = "c"
unit = { OnFailure = "x.service" }
service = { LimitCORE = 0, Environment = ["A=1", "B=2"] }
[apps.other]
command = "sleep 1"
port = 3000
spread = false
limits.cpu_affinity = [1, 0]
instance_var = "N"
increment = { WORKER = 10 }
autostart = false
restart_delay = 1
restart_delay_max = "10s"
schedule = { when = "0 3 * * *", zone = "UTC", random_delay = "1min" }
watch = { paths = "src", ignore = ["*.tmp"], delay = 0.5 }
memory_restart = "300M"
stdin = true
""".replace("BLOB", f"{'A' * 40} {'A' * 40}")
    )
    here = str(Path(file).parent)
    found = load(file)["api"]
    assert found == App(
        name="api",
        command=("/usr/bin/sleep", "1"),
        namespace="prod",
        description="hello",
        cwd="/usr",
        instances=2,
        placement=Placement.CORE,
        reserve=(0, 2, 3),
        physical=True,
        reserve_for="redis-server.service",
        listen=(
            Listen(address="8080"),
            Listen(address="127.0.0.1:9000", name="http", backlog=5),
            Listen(address="/run/x.sock", mode=0o660, name="x"),
        ),
        env={"PATH": found.env["PATH"], "A": "b", "N": "1", "T": "true", "S": "v"},
        env_files=(f"{here}/values.env",),
        secrets={
            "S": f"file:{here}/secret",
            "c": "credential:/etc/key",
            "e": f"credential:{'A' * 80}",
            "i": "import",
            "x": f"encrypted:{here}/key",
        },
        secret_env={"KEY": "c"},
        user="nobody",
        group="nogroup",
        restart=Restart.ON_FAILURE,
        restart_delay=0.5,
        restart_limit=3,
        restart_window=300,
        stop_exit_codes=(0, 3),
        stop_signal="SIGINT",
        stop_timeout=1.5,
        kill_mode=found.kill_mode,
        limits=Limits(
            memory_max=3 * 2**29,
            memory_high=2**20,
            memory_swap_max=0,
            cpu_quota=1.5,
            cpu_weight=50,
            io_weight=60,
            io_read_max=("/srv 5000000",),
            io_write_max=("/srv 5",),
            tasks_max=70,
            nofile=80,
            cpus=(0, 1, 2),
            numa_policy=NumaPolicy.BIND,
            numa_nodes=(0,),
        ),
        total=Limits(memory_max=2**32, cpus=(1,)),
        nice=-5,
        ready=Ready(when=ReadyWhen.NOTIFY, timeout=9),
        log=Log(output=f"{here}/out.log", error="null", rate_limit=7),
        wants=("a", "b"),
        requires=("redis-server.service",),
        after=("c",),
        unit={"OnFailure": ("x.service",)},
        service={"LimitCORE": ("0",), "Environment": ("A=1", "B=2")},
        origin=file,
    )
    assert found.kill_mode == "mixed"
    other = load(file)["other"]
    assert (other.port, other.instance_var, other.increment, other.autostart) == (3000, "N", {"WORKER": 10}, False)
    assert (other.restart_delay_max, other.memory_restart, other.stdin) == (10, 300 * 2**20, True)
    assert other.schedule == parse.schedule("0 3 * * *", zone="UTC", random_delay=60)
    assert other.watch == Watched(paths=("src",), ignore=("*.tmp",), delay=0.5)


def test_every_field_of_an_app_is_a_key_that_is_explained() -> None:
    """A field whose type nothing is known of fails here: appkeys.py wants a row; about.py wants its line."""
    named = set()
    for name, kind in appkeys.table().items():
        named |= {name, *(f"{name}.{part}" for part in kind.parts or ())}
    assert named == set(about.ABOUT)
    assert {field.name for field in fields(App)} - set(appkeys.table()) == appkeys.NOT_KEYS
    assert all(is_dataclass(type(getattr(App(name="a", command=("/a",)), name))) for name in ("limits", "log"))


def test_the_schema_that_is_shipped_is_the_one_that_files_are_validated_by() -> None:
    """To make it anew: python -m pysup.files.schema > supervisor/pysup/files/pysup.schema.json."""
    shipped = Path(schema.__file__).with_name(schema.FILE)
    assert json.loads(shipped.read_text()) == schema.make()


def test_toml_yaml_and_json_say_the_same(write: Write) -> None:
    """Same keys, same apps, but for the file that they are from."""
    toml = load(write(f"[defaults.env]\nA = 'b'\n[apps.web]\n{SLEEP}restart = 'no'\nlisten = [80]\n"))
    data = {
        "defaults": {"env": {"A": "b"}},
        "apps": {"web": {"command": "sleep 1", "restart": "no", "listen": [80]}},
    }
    as_json = load(write(json.dumps({**data, "$schema": "x"}), "pysup.json"))
    as_yaml = load(write(yaml.safe_dump(data).replace("'no'", "no"), "pysup.yml"))
    assert [{**vars_of(found["web"]), "origin": ""} for found in (as_json, as_yaml)] == [
        {**vars_of(toml["web"]), "origin": ""}
    ] * 2


def vars_of(app: App) -> dict[str, object]:
    return {field.name: getattr(app, field.name) for field in fields(app)}


def test_an_environment_overlays_any_key(write: Write) -> None:
    """Tables are merged, all else is replaced; apps say more than defaults, the environment more than the file."""
    file = write(
        f"[defaults]\nstop_timeout = 1\nenv = {{ A = '1', B = '1' }}\n"
        f"[apps.web]\n{SLEEP}env.B = '2'\nafter = ['a', 'b']\n"
        f"[apps.job]\n{SLEEP}stop_timeout = 5\n"
        "[env.production.defaults]\nstop_timeout = 9\n"
        "[env.production.apps.web]\nafter = ['c']\nenv.C = '3'\nlimits.nofile = 9\n"
    )
    usual, production = load(file), load(file, env="production")
    assert (usual["web"].after, usual["web"].stop_timeout, usual["web"].limits.nofile) == (("a", "b"), 1, None)
    assert {key: usual["web"].env[key] for key in "AB"} == {"A": "1", "B": "2"}
    web = production["web"]
    assert (web.after, web.stop_timeout, web.limits.nofile) == (("c",), 9, 9)
    assert {key: web.env[key] for key in "ABC"} == {"A": "1", "B": "2", "C": "3"}
    assert production["job"].stop_timeout == 5


def test_servers_that_tell_when_they_serve_are_waited_for_as_on_the_command_line(write: Write) -> None:
    """Else a reload would take a version that never listens for a good one."""
    text = "apps.web = {command = '/bin/true', interpreter = 'node', listen = 8080%s}"
    assert load(write(text % ""))["web"].ready == Ready(when=ReadyWhen.NOTIFY)
    assert load(write(text % ", ready = '2s'"))["web"].ready.when is not ReadyWhen.NOTIFY


def test_a_ready_condition_is_merged_with_its_timeout(write: Write) -> None:
    """The time may stand in the defaults."""
    file = write(f"[defaults]\nready.timeout = '5s'\n[apps.web]\n{SLEEP}ready = 'notify'\n")
    assert load(file)["web"].ready == Ready(when=ReadyWhen.NOTIFY, timeout=5)


@pytest.mark.parametrize("instances", ["'max'", "0", "-1", "'per-core'"])
def test_instances_may_depend_on_the_machine(write: Write, instances: str) -> None:
    """As on the command line."""
    there = len(cpus.allowed())
    meant = {"'max'": there, "0": there, "-1": max(1, there - 1), "'per-core'": PER_CORE}
    assert load(write(f"[apps.web]\n{SLEEP}instances = {instances}\n"))["web"].instances == meant[instances]


def test_paths_begin_in_the_directory_of_their_file(write: Write) -> None:
    """Also those of a file that is included; the program is looked for where it runs."""
    Path(write("#!/bin/sh\n", "sub/run.sh")).chmod(0o755)
    write("[apps.sub]\ncommand = './run.sh'\nenv_files = '../x.env'\n", "sub/apps.yaml.toml")
    write("[apps.in]\ncommand = './run.sh'\ncwd = 'sub'\n", "in.toml")
    file = write("include = ['sub/*.toml', 'in.toml']\n")
    here = str(Path(file).parent)
    found = load(file)
    assert found["sub"].argv == found["in"].argv == (f"{here}/sub/run.sh",)
    assert found["sub"].env_files == (f"{here}/x.env",)
    assert {app.cwd for app in found.values()} == {f"{here}/sub"}
    assert {app.origin for app in found.values()} == {file}


def test_defaults_and_environments_reach_what_is_included(write: Write) -> None:
    """The included file's own defaults say more."""
    write(f"[defaults]\nnice = 1\n[apps.a]\n{SLEEP}", "a.toml")
    write(f"[apps.b]\n{SLEEP}", "b.toml")
    file = write("include = ['a.toml', 'b.toml']\n[defaults]\nnice = 2\n[env.x.apps.b]\nnice = 3\n")
    assert {name: app.nice for name, app in load(file).items()} == {"a": 1, "b": 2}
    assert load(file, env="x")["b"].nice == 3


def test_a_folder_of_files_to_include_may_be_empty(write: Write, tmp_path: Path) -> None:
    """Its last file was taken away; a folder that is not there is an error."""
    file = write(f"include = ['apps/*.toml', '*.none']\n[apps.web]\n{SLEEP}")
    assert complaints(file) == ["1: include has 'apps/*.toml', which is not there Check the path."]
    (tmp_path / "apps").mkdir()
    assert list(load(file)) == ["web"]


def test_the_interpreter_may_have_arguments(write: Write) -> None:
    """A list is a program and what stands behind it; the directory of one from elsewhere is on PATH."""
    program = Path(write("#!/bin/sh\n", "bin/node"))
    program.chmod(0o755)
    write("", "app.js")
    file = write("[apps.web]\ncommand = ['app.js', '-x']\ninterpreter = ['./bin/node', '--inspect']\n")
    found = load(file)["web"]
    assert found.argv == (str(program), "--inspect", str(program.parent.parent / "app.js"), "-x")
    assert found.env["PATH"].startswith(f"{program.parent}:/usr/local")


def test_variables_come_from_where_the_file_says(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first source that has one counts; $$ stands for a dollar."""
    monkeypatch.setenv("PORT_OF_MINE", "3000")
    write("# comment\nexport PORT_OF_MINE=1\nNAME='a b' # c\nEMPTY=\n", ".env")
    file = write(
        "variables = ['environment', '.env']\n[apps.web]\ncommand = 'sleep 1'\nport = '${PORT_OF_MINE}'\n"
        "[apps.web.env]\nA = '${NAME}-${NONE:-none}-${EMPTY:-usual}-${EMPTY}-$${NAME}'\n"
    )
    found = load(file)["web"]
    assert (found.port, found.env["A"]) == (3000, "a b-none-usual--${NAME}")


def test_variables_are_not_taken_from_anywhere_unasked(write: Write) -> None:
    """Not even from the environment; and one that is not there is no empty text."""
    assert complaints(write(f"[apps.web]\n{SLEEP}\nnamespace = '${{HOME}}'\n")) == [
        "4: apps.web.namespace has '${HOME}', but the file does not say where variables come from "
        "Write variables = ['environment'] at its top; or $${ for a plain ${."
    ]
    assert complaints(write(f"variables = 'environment'\n[apps.web]\n{SLEEP}\ncwd = '${{NONE}}/${{'\n")) == [
        "5: apps.web.cwd has a '${' that begins no variable Write ${NAME} or ${NAME:-default}; $${ for a plain ${.",
        "5: apps.web.cwd: there is no variable NONE Set it, or write ${NONE:-default}.",
    ]


def test_every_error_is_told_at_once_with_its_line(write: Write) -> None:
    """In files, defaults, environments and apps."""
    file = write(
        """[defaults]
restrat = "no"
[apps.web]
command = "sleep 1"
instnces = 4
memory_max = "1G"
limits = { memory_max = "lots", nofil = 3 }
port = "high"
listen = [{ adress = 80 }]
[apps.web.env]
A = [1]
[apps.job]
command = []
restart = "sometimes"
kill_mode = "soft"
nice = 99
[env.test.apps.web]
stop_timeout = "soon"
nice = true
[env.test.app]
"""
    )
    assert complaints(file, env="test") == [
        "2: defaults.restrat: there is no such key Did you mean 'restart'?",
        "5: apps.web.instnces: there is no such key Did you mean 'instances'?",
        "6: apps.web.memory_max: there is no such key Did you mean 'limits.memory_max'?",
        "7: apps.web.limits.memory_max is 'lots', not a size Write it like 300M, 1.5G or 1048576.",
        "7: apps.web.limits.nofil: there is no such key Did you mean 'nofile'?",
        "8: apps.web.port is 'high' It must be a whole number.",
        "9: apps.web.listen is [{'adress': 80}] It must be a port, an address, a table with an address, or a list of "
        "those.",
        "11: apps.web.env.A is [1] It must be a table of names and values.",
        "13: apps.job.command is [] It must be text, or a list of words.",
        "14: apps.job.restart is 'sometimes' It must be one of: always, on-success, on-failure, on-abnormal, on-abort, "
        "on-watchdog, no.",
        "15: apps.job.kill_mode is 'soft' It must be one of: control-group, mixed, process.",
        "16: apps.job.nice is 99 It must be a whole number from -20 to 19.",
        "18: env.test.apps.web.stop_timeout is 'soon', not a time Write it like 500ms, 2s, 5min or 1h.",
        "19: env.test.apps.web.nice is true It must be a whole number.",
        "20: env.test.app: there is no such key Did you mean 'apps'?",
    ]


def test_pm2s_words_are_told_with_pysups(write: Write) -> None:
    """Which are not the nearest ones: script is not description, and kill_timeout not idle_timeout."""
    file = write(f"[apps.web]\n{SLEEP}kill_timeout = 3000\nscript = 'x'\n[defaults]\nignore_watch = ['x']\n")
    assert complaints(file) == [
        "3: apps.web.kill_timeout: there is no such key That is PM2's word; here it is 'stop_timeout'.",
        "4: apps.web.script: there is no such key That is PM2's word; here it is 'command'.",
        "6: defaults.ignore_watch: there is no such key That is PM2's word; here it is 'watch.ignore'.",
    ]
    here = {
        *appkeys.table(),
        *(f"{name}.{part}" for name, kind in appkeys.table().items() for part in kind.parts or ()),
    }
    assert {one for one in about.PM2.values() if one != "ready.timeout"} <= here
    assert not set(about.PM2) & here


def test_values_that_mean_nothing_are_told_with_their_line(write: Write) -> None:
    """What only App knows: sizes, names, ranges, and keys that do not go together."""
    file = write(
        f"[apps.web]\n{SLEEP}limits.memory_max = 'lots'\nstop_timeout = 'soon'\nready = 'when it likes'\n"
        f"[apps.'my app']\n{SLEEP}port = 70000\nnice = 99\nuser = 'a b'\n"
    )
    first = complaints(file)
    assert [line.partition(" ")[0] for line in first] == ["3:", "4:", "5:", "6:", "8:", "9:", "10:"]
    assert first[0] == "3: apps.web.limits.memory_max is 'lots', not a size Write it like 300M, 1.5G or 1048576."
    file = write(f"[apps.'my app']\n{SLEEP}port = 70000\nnice = 99\nuser = 'a b'\n")
    told = complaints(file)
    assert [line.partition(" ")[0] for line in told] == ["1:", "3:", "4:", "5:"]
    assert told[1] == "3: apps.my app.port is 70000 It must be a whole number from 1 to 65535."
    file = write(f"[apps.web]\n{SLEEP}ready = 'tcp'\n[apps.b]\ncommand = './none'\n[apps.c]\nnice = 1\n")
    told = complaints(file)
    assert "3: apps.web.ready is tcp, but there is no port to ask" in told[0]
    assert told[1].startswith("5: apps.b: './none'") or "none" in told[1]
    assert told[2].startswith("6: apps.c.command is not there")


def test_what_is_named_and_not_there_is_told_with_what_is(write: Write) -> None:
    """Environments, apps, files."""
    file = write(f"[apps.web]\n{SLEEP}[env.production.apps.wbe]\nnice = 1\n")
    for env in ({"env": "production"}, {}):
        assert complaints(file, **env) == ["3: env.production.apps.wbe: there is no app 'wbe' Did you mean 'web'?"]
    file = write(f"[apps.web]\n{SLEEP}[env.production.apps.web]\nnice = 1\n")
    with pytest.raises(SpecError, match=r"no environment 'prod'") as caught:
        load(file, env="prod")
    assert caught.value.hint == "There are: production."
    with pytest.raises(SpecError, match=r"no app 'wob'"):
        load(file, only=("wob",))
    with pytest.raises(SpecError, match="has no apps"):
        load(write(""))
    with pytest.raises(SpecError, match="cannot be read"):
        load(f"{file}.yaml")
    assert complaints(write("include = ['none.toml']")) == [
        "1: include has 'none.toml', which is not there Check the path."
    ]


def test_only_some_apps(write: Write) -> None:
    """In the file's order."""
    file = write("".join(f"[apps.{name}]\n{SLEEP}" for name in "abc"))
    assert list(load(file, only=("c", "a"))) == ["a", "c"]


def test_only_what_concerns_the_chosen_apps_is_told(write: Write) -> None:
    """And what concerns the file."""
    apps = [{"name": name, "script": "sleep 1", "wate_ready": True} for name in "ab"]
    file = write(json.dumps({"apps": apps, "aps": []}), "ecosystem.json")
    told = document.load(file, scope=Scope.USER, only=("b",)).notes
    assert [name for name, _ in told] == ["ecosystem.json", "b"]


def test_a_file_of_pm2s_with_nothing_but_directories_says_what_serves_them(write: Write) -> None:
    """There is no app in it for pysup to start."""
    file = write(json.dumps({"apps": [{"name": "site", "script": "serve"}]}), "ecosystem.json")
    with pytest.raises(SpecError, match="has no apps, only directories to serve") as caught:
        load(file)
    assert "pysup serve . --port 8080 --name site" in caught.value.hint


def test_names_of_apps_may_stand_between_commas_or_blanks() -> None:
    """As PM2 takes them."""
    assert several_names(["a,b c", " d , e"]) == ("a", "b", "c", "d", "e")
    assert several_names(None) == ()


def test_two_apps_cannot_have_one_port(write: Write) -> None:
    """Ports of instances and sockets are counted."""
    file = write(
        f"[apps.a]\n{SLEEP}port = 3000\ninstances = 4\n[apps.b]\n{SLEEP}port = 3003\n"
        f"[apps.c]\n{SLEEP}listen = 3001\n[apps.d]\n{SLEEP}listen = ['127.0.0.1:80']\n"
        f"[apps.e]\n{SLEEP}listen = ['127.0.0.1:80']\n"
    )
    assert complaints(file) == [
        "7: apps.b.port: port 3003 is taken by 'a' Give each app its own.",
        "10: apps.c.listen: port 3001 is taken by 'a' Give each app its own.",
        "16: apps.e.listen: address 127.0.0.1:80 is taken by 'd' Give each app its own.",
    ]


def test_names_may_not_be_there_twice(write: Write) -> None:
    """In one file or in two; TOML and YAML and JSON."""
    write(f"[apps.web]\n{SLEEP}", "a.toml")
    told = complaints(write(f"include = ['a.toml']\n[apps.web]\n{SLEEP}"))
    assert re.fullmatch(r"2: apps.web is there already: \S+/a.toml:1 Give each app its own name.", told[0])
    assert complaints(write(f"[apps.web]\n{SLEEP}[apps.web]\n{SLEEP}"))[0].startswith("3: not TOML: Cannot declare")
    assert complaints(write(f"[apps.web]\n{SLEEP}nice = 1\nnice = 2\n"))[0].startswith("4: not TOML: Cannot overwrite")
    assert complaints(write(f"[apps.web]\n{SLEEP}stop_timeout = 1\nstop-timeout = 2\n")) == [
        "4: apps.web.stop-timeout is there twice"
    ]
    assert complaints(write('{"apps": {\n"web": {},\n"web": {}}}', "a.json")) == ["3: apps.web is there twice"]
    assert complaints(write("apps:\n  web: {}\n  web: {}\n", "a.yaml")) == ["3: apps.web is there twice"]


def test_includes_that_go_round_are_told(write: Write) -> None:
    """With the way that they go; and what is included twice."""
    write("include = 'pysup.toml'", "b.toml")
    write("include = 'b.toml'", "a.toml")
    told = complaints(write("include = 'a.toml'"))
    assert len(told) == 1
    assert re.search(r"include goes round: \S+/pysup.toml -> \S+/a.toml -> \S+/b.toml -> \S+/pysup.toml", told[0])
    write("include = ['c.toml', 'c.toml']", "d.toml")
    write("", "c.toml")
    assert "included already" in complaints(write("include = 'd.toml'"))[0]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", BOMB, r"5: it has more than 100000 values"),
        ("a.yaml", "a: &a [*a]", r"1: the alias \*a has no anchor"),
        ("a.yaml", "a: b\n---\nc: d\n", r"\d: it has a second document"),
        ("a.yaml", "[" * 200_000, r"1: it is nested deeper than 50"),
        ("a.yaml", "apps: [\n", r"\d: not YAML"),
        ("a.yaml", "a: b: c\n", r"1: not YAML: mapping values are not allowed"),
        ("a.yaml", "apps: 2020-01-01\n", r"1: apps is '2020-01-01' It must be a table"),
        ("a.yaml", "apps:\n  web:\n", r"2: apps.web is null It must be a table"),
        ("a.yaml", "- apps\n", r"0: the file is \['apps'\] It must be a table"),
        ("a.yaml", "{1: 2}: 3\n", r"1: \{'1': 2\} cannot be a key"),
        ("a.json", "[" * 200_000, r"0: not JSON: nested deeper"),
        ("a.json", "[" * 60 + "]" * 60, r"\d: nested deeper than 50 levels"),
        ("a.json", '{"a": 1,\n}', r"2: not JSON: Expecting property name|1: not JSON: Illegal trailing comma"),
        ("a.json", '{"apps": NaN}', r"1: apps is nan Write a finite number"),
        ("a.json", '{"apps": %s}' % (10**400), r"1: apps is 1000"),
        ("a.json", '{"apps": %s}' % ("9" * 5000), r"0: not JSON: Exceeds the limit"),
        ("a.toml", "[apps]\nweb = 1979-05-27 07:32:00\n", r"2: apps.web is 1979-05-27 07:32:00, a date"),
        ("a.toml", "[apps.web]\nnice = \n", r"2: not TOML: Invalid value"),
        ("a.toml", "a = " + "[" * 100_000, r"0: not TOML: nested deeper"),
        ("a.toml", "[apps.web]\ncommand = 'a\0b'\n", r"2: not TOML: |"),
        ("a.toml", "apps = 3\nenv = 4\ninclude = 5\nvariables = 6\ndefaults = 7", r"1: apps is 3 It must be a table"),
    ],
)
def test_malformed_files_are_told_where(write: Write, name: str, text: str, told: str) -> None:
    """Quickly, and with the line where there is one."""
    assert re.match(told, complaints(write(text, name))[0])


def test_files_that_are_none_are_refused(write: Write, tmp_path: Path) -> None:
    """Too large, not text, not readable, not there."""
    with pytest.raises(SpecError, match=r"is larger than 1M"):
        load(write("#" * 10 * 1024**2))
    (tmp_path / "a.toml").write_bytes(b"\n\xff")
    assert complaints(str(tmp_path / "a.toml")) == ["2: not UTF-8 Save it as UTF-8."]
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load(str((tmp_path / "d.toml").mkdir() or tmp_path / "d.toml"))
    with pytest.raises(SpecError, match="no file of apps"):
        load(write("x", "pysup.ini"))


def test_secrets_must_be_there_and_are_not_shown(write: Write) -> None:
    """Neither in errors nor in the unit's section."""
    told = complaints(
        write(f"[apps.web]\n{SLEEP}secrets = {{ A = 'file:none', B = 'hunter2', env = 'credential:x' }}\n")
    )
    assert "A: " in told[0]
    for wrong in ("'hunter2'", "['hunter2']", "{ A = ['hunter2'] }", "{ A = 4711 }"):
        told += complaints(write(f"[apps.web]\n{SLEEP}secrets = {wrong}\n"))
    assert "names and references" in told[-1]
    assert "hunter2" not in "".join(told)
    assert "4711" not in "".join(told)


def test_lines_are_found_in_every_shape_of_toml(write: Write) -> None:
    """Dotted keys, quoted keys, arrays of tables, inline tables, strings over lines."""
    file = write(
        '''# comment [apps.no]
"include" = [ # one
]
[apps."web"] # here
command = """
[apps.x]
nice = 3
"""
'env'.A = 1
env . "B" = {}
[[apps.web.listen]]
address = 80
[[apps.web.listen]]
address = 81
backlog = "many"
[apps.job]
limits = { nofile = 1, memory_max = [
] }
'''
    )
    assert [line.partition(" ")[0] for line in complaints(file)] == ["10:", "11:", "17:"]


def key_table() -> str:
    """The table of keys in docs/files.md."""
    lines = ["| key | meaning | value |", "|---|---|---|"]
    for name, kind in appkeys.table().items():
        lines.append(f"| `{name}` | {about.ABOUT[name]} | {kind.allowed} |")
        for part, below in (kind.parts or {}).items():
            lines.append(f"| `{name}.{part}` | {about.ABOUT[f'{name}.{part}']} | {below.allowed} |")
    return "\n".join(lines)


def test_the_manual_has_every_key() -> None:
    """To make it anew: PYSUP_WRITE_DOCS=1 pytest tests/test_files.py -k manual."""
    page = ROOT / "docs/files.md"
    head, marker, rest = page.read_text().partition("<!-- keys: made by tests/test_files.py from files/about.py -->\n")
    wanted = f"{head}{marker}\n{key_table()}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    if "PYSUP_WRITE_DOCS" in os.environ:
        page.write_text(wanted)
    assert page.read_text() == wanted


PROJECTS = {
    "Procfile": ("web: sleep 1\nworker: sleep 2\n", {"web": "sleep 1", "worker": "sleep 2"}),
    "package.json": ('{"name": "@me/shop", "scripts": {"start": "node src/main.js"}}', {"shop": "src/main.js"}),
    "pyproject.toml": ('[project]\nname = "my.site"\ndependencies = ["uvicorn>=1"]\n', {"my-site": "uvicorn main:app"}),
    "go.mod": ("module example.com/me/tool/v2\n", {"tool": "./tool"}),
    "Gemfile": ('gem "puma"\n', {"project": "bundle exec puma"}),
    "README": ("nothing to run", {}),
}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_starter_is_for_the_project_that_is_there(tmp_path: Path, name: str) -> None:
    """It is a valid file; all but the commands are comments, and those are right when they are taken in."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src/main.js").touch()
    (project / "main.py").touch()
    content, wanted = PROJECTS[name]
    (project / name).write_text(content)
    text = starter.text(project)
    found = tomllib.loads(text).get("apps", {})
    assert {app: keys["command"] for app, keys in found.items()} == wanted
    examples = [line for line in text.splitlines() if re.match(r"# [a-z_.]+ = ", line) and "command" not in line]
    assert len(examples) > 5
    whole = "\n".join(line.removeprefix("# ") for line in text.splitlines()[1:] if line.startswith(("# [", *examples)))
    assert not list(schema.validate(Source(file="x", data={}, find_lines=dict), tomllib.loads(whole)))


def test_a_file_that_is_there_is_not_overwritten(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """By any of its names."""
    monkeypatch.chdir(Path(write("{}", "pysup.yaml")).parent)
    with pytest.raises(Conflict, match=r"there is .pysup\.yaml. already"):
        init()
    Path("pysup.yaml").unlink()
    init()
    assert "[apps.web]" in Path("pysup.toml").read_text()
