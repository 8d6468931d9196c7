"""What an App refuses, and how it says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import apps
from pysup.app import App, Limits, Log
from pysup.errors import SpecError
from pysup.health import Ready, Watchdog


@pytest.mark.parametrize(
    ("fields", "named", "shown"),
    [
        ({"name": "all"}, "name", "'all'"),
        ({"name": "../x"}, "name", "'../x'"),
        ({"name": "a b"}, "name", "'a b'"),
        ({"name": "-"}, "name", "'-'"),
        ({"name": "é"}, "name", "'é'"),
        ({"name": ""}, "name", "''"),
        ({"name": "x" * 300}, "name", "(300 characters)"),
        ({"name": "a\nb"}, "name", r"a\nb"),
        ({"name": "web\n"}, "name", r"web\n"),
        ({"namespace": "a/b"}, "namespace", "'a/b'"),
        ({"name": "-".join("a" * 33)[:64], "namespace": "-".join("b" * 33)[:64]}, "unit name", "characters"),
        ({"command": ()}, "command", "empty"),
        ({"command": ("/bin/x", "a\0b")}, "command[1]", "NUL"),
        ({"command": ("/bin/x", "a\udcff")}, "command[1]", "UTF-8"),
        ({"command": ("/bin/x", "x" * 200_000)}, "command[1]", "131071"),
        ({"command": ("node",)}, "command[0]", "absolute"),
        ({"command": "node app.js"}, "command", "list"),
        ({"cwd": "relative"}, "cwd", "absolute"),
        ({"cwd": "/a\n[Service]\nUser=root"}, "cwd", "control"),
        ({"cwd": "/a/../b"}, "cwd", ".."),
        ({"cwd": "/ends with\\"}, "cwd", "backslash"),
        ({"cwd": "/ends with "}, "cwd", "blanks"),
        ({"description": "one\ntwo"}, "description", "control"),
        ({"instances": 0}, "instances", "0"),
        ({"instances": -2}, "instances", "-2"),
        ({"instances": "max"}, "instances", "'max'"),
        ({"instances": True}, "instances", "True"),
        ({"reserve": -1}, "reserve", "-1"),
        ({"port": "http"}, "port", "'http'"),
        ({"port": 0}, "port", "0"),
        ({"port": 65530, "instances": 10}, "port of the last instance", "65539"),
        ({"env": {"A B": "x"}}, "env", "'A B'"),
        ({"env": {"A": "a\0"}}, "env A", "NUL"),
        ({"env": {"PYSUP_APP": "x"}}, "env", "PYSUP_APP"),
        ({"env": {"PORT": "1"}, "port": 9000}, "env", "PORT"),
        ({"env": "A=b"}, "env", "mapping"),
        ({"env_files": ("env",)}, "env_files", "absolute"),
        ({"env_files": None}, "env_files", "list"),
        ({"user": 33}, "user", "text"),
        ({"limits": {"memory_max": 1}}, "limits", "Limits"),
        ({"instance_limits": {"x": Limits()}}, "instance_limits", "'x'"),
        ({"instance_limits": {0: 5}}, "instance_limits.0", "Limits"),
        ({"ready": "tcp"}, "ready", "Ready"),
        ({"watchdog": "30s"}, "watchdog", "Watchdog"),
        ({"log": "/tmp/x"}, "log", "Log"),
        ({"isolate": "strict"}, "isolate", "Isolation"),
        ({"schedule": "daily"}, "schedule", "Schedule"),
        ({"watch": True}, "watch", "Watched"),
        ({"balance": "web"}, "balance", "Balance"),
        ({"listen": (8080,)}, "listen", "Listen"),
        ({"autostart": "no"}, "autostart", "True or False"),
        ({"reserve": 1.5}, "reserve", "list"),
        ({"requires": (1,)}, "requires", "text"),
        ({"service": {1: "x"}}, "service", "1"),
        ({"user": "a b"}, "user", "'a b'"),
        ({"user": "0999"}, "user", "'0999'"),  # systemd loads no unit with such
        ({"group": "٣"}, "group", "'٣'"),
        ({"user": "root\nExecStart=x"}, "user", "root"),
        ({"restart": "sometimes"}, "restart", "'sometimes'"),
        ({"restart_delay": -1}, "restart_delay", "-1"),
        ({"restart_delay": float("nan")}, "restart_delay", "nan"),
        ({"restart_limit": -1}, "restart_limit", "-1"),
        ({"stop_exit_codes": (300,)}, "stop_exit_codes", "300"),
        ({"stop_signal": "SIGNOPE"}, "stop_signal", "'SIGNOPE'"),
        ({"stop_timeout": 0}, "stop_timeout", "0"),
        ({"nice": 30}, "nice", "30"),
        ({"wants": ("a b",)}, "wants", "'a b'"),
        ({"requires": ("x.service\nUser=root",)}, "requires", "x.service"),
        ({"unit": {"After=x\n[Service]": "y"}}, "unit", "After"),
        ({"service": {"User": "root\nGroup=root"}}, "service.User", "control"),
        ({"service": {"lower": "x"}}, "service", "'lower'"),
    ],
)
def test_what_cannot_be_is_refused_by_field_and_value(fields: dict[str, Any], named: str, shown: str) -> None:
    """Each message names the field and the value, and each has a remedy."""
    with pytest.raises(SpecError) as caught:
        apps.app(**fields)
    assert named in caught.value.message
    assert shown in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Limits(memory_max=0), "limits.memory_max"),
        (lambda: Limits(cpu_weight=0), "limits.cpu_weight"),
        (lambda: Limits(io_weight=10001), "limits.io_weight"),
        (lambda: Ready(when="later"), "ready"),  # type: ignore[arg-type]
        (lambda: Ready(when="http", url="ftp://x"), "ready.url"),  # type: ignore[arg-type]
        (lambda: Ready(when="http", url="http://x/ y"), "ready.url"),  # type: ignore[arg-type]
        (lambda: Ready(statuses=(99,)), "ready.statuses"),
        (lambda: Ready(timeout=0), "ready.timeout"),
        (lambda: Watchdog(when="exec"), "watchdog"),  # type: ignore[arg-type]
        (lambda: Watchdog(when="http", url="x"), "watchdog.url"),  # type: ignore[arg-type]
        (lambda: Watchdog(interval=0), "watchdog.interval"),
        (lambda: Watchdog(failures=0), "watchdog.failures"),
        (lambda: Log(output="file.log"), "log.output"),
        (lambda: Log(rate_limit=-1), "log.rate_limit"),
        (lambda: apps.app(ready=Ready(when="tcp")), "no port"),  # type: ignore[arg-type]
        (lambda: apps.app(watchdog=Watchdog(when="tcp")), "no port"),  # type: ignore[arg-type]
    ],
)
def test_parts_of_an_app_are_checked_too(make: Any, named: str) -> None:
    """Limits, Ready and Log name their fields with the part before them."""
    with pytest.raises(SpecError) as caught:
        make()
    assert named in caught.value.message


def test_an_app_is_frozen_and_so_is_what_it_holds() -> None:
    """Nobody can change an app, or the tables in it."""
    app = apps.app(env={"A": "1"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        app.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        app.env["A"] = "2"  # type: ignore[index]


def test_spellings_are_made_one() -> None:
    """Signals and states are kept in systemd's spelling, lists as tuples."""
    app = App(name="a", command=["/bin/x"], stop_signal="int", restart="no", unit={"After": "x"})  # type: ignore[arg-type]
    assert (app.command, app.stop_signal, app.restart.value, app.unit["After"]) == (("/bin/x",), "SIGINT", "no", ("x",))
