"""Every string that a user can give reaches the process byte for byte, on a real systemd; none becomes a directive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apps
from pysup.app import App, Restart
from pysup.errors import SpecError
from pysup.events import Failed, Stopped
from pysup.sync import Manager
from pysup.unit import Scope

# What a process was given, as it sees it itself: argv, environment and directory in bytes.
REPORT = """
import json, os, sys
given = {
    "argv": [os.fsencode(word).hex() for word in sys.argv[2:]],
    "env": {os.fsencode(name).hex(): os.fsencode(value).hex() for name, value in os.environ.items()},
    "cwd": os.getcwdb().hex(),
}
with open(sys.argv[1] + ".new", "w") as out:
    json.dump(given, out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""

# As many examples as fit a few seconds: each is a start of a real unit, with many strings in it.
EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

directories = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=20
).filter(lambda name: name == name.strip() and not name.endswith("\\") and name not in (".", ".."))


def seen_by_the_process(scope: Scope, *, arguments: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """Start an app that reports what it was given."""
    with tempfile.TemporaryDirectory() as folder, Manager(scope) as manager:
        report = Path(folder, "report.json")
        command = (sys.executable, "-I", "-c", REPORT, str(report), *arguments)
        app = App(name="echo", command=command, restart=Restart.NO, **fields)
        try:
            with manager.watch() as events:
                manager.start(app, wait=False)
                assert any(isinstance(event, (Stopped, Failed)) for event in events)
            assert manager.get("echo").spec == app
        finally:
            manager.delete("all")
        found: dict[str, Any] = json.loads(report.read_text())
        return found


def as_bytes(texts: list[str]) -> list[str]:
    """In hexadecimal, as the report has them."""
    return [os.fsencode(text).hex() for text in texts]


@EXAMPLES
@given(arguments=apps.arguments)
def test_arguments_arrive_byte_for_byte(scope: Scope, arguments: list[str]) -> None:
    """Quotes, percent and dollar signs, backslashes, newlines, nothing at all."""
    assert seen_by_the_process(scope, arguments=arguments)["argv"] == as_bytes(arguments)


@EXAMPLES
@given(env=apps.environments)
def test_environment_values_arrive_byte_for_byte(scope: Scope, env: dict[str, str]) -> None:
    """And nothing that a value says is a variable of its own."""
    found = seen_by_the_process(scope, env=env)["env"]
    wanted = {os.fsencode(name).hex(): os.fsencode(value).hex() for name, value in env.items()}
    assert {name: found.get(name) for name in wanted} == wanted
    assert b"EVIL".hex() not in found


@EXAMPLES
@given(name=directories)
def test_working_directories_arrive_byte_for_byte(scope: Scope, name: str) -> None:
    """Whatever a directory may be called, if a unit file can hold it."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, name)
        directory.mkdir()
        assert seen_by_the_process(scope, cwd=str(directory))["cwd"] == os.fsencode(directory).hex()


@EXAMPLES
@given(description=apps.lines)
def test_descriptions_arrive_as_they_are(scope: Scope, description: str) -> None:
    """In what systemd itself says of the unit."""
    with Manager(scope) as manager:
        try:
            manager.start(apps.app("said", description=description), wait=False)
            shown = subprocess.run(
                ["systemctl", f"--{scope.value}", "show", "--property=Description", "--value", "pysup-said@0.service"],
                check=True,
                capture_output=True,
                text=True,
            )
        finally:
            manager.delete("all")
    assert shown.stdout.removesuffix("\n") == (description or "said, instance 0")


@pytest.mark.parametrize(
    "fields",
    [
        {"arguments": ["x\nExecStartPre=/usr/bin/touch {mark}", "]\n[Service]\nExecStartPre=/usr/bin/touch {mark}"]},
        {"env": {"A": '"\nEVIL=1\nB="', "C": "x\\\nEVIL=1"}},
        {"arguments": ["; /usr/bin/touch {mark}", ";", "\\;", "$(touch {mark})", "`touch {mark}`"]},
    ],
)
def test_no_value_becomes_a_directive_or_a_command(scope: Scope, fields: dict[str, Any], tmp_path: Path) -> None:
    """What would run if it did has not run."""
    mark = tmp_path / "mark"
    if "arguments" in fields:
        fields = {"arguments": [str(one).replace("{mark}", str(mark)) for one in fields["arguments"]]}
    found = seen_by_the_process(scope, **fields)
    assert b"EVIL".hex() not in found["env"]
    assert not mark.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"cwd": "/tmp/a\n[Service]\nExecStartPre=/bin/true"},
        {"description": "x\nUser=root"},
        {"env_files": ("/tmp/x\nUser=root",)},
        {"command": ("/bin/x\0",)},
    ],
)
def test_what_cannot_be_expressed_is_refused_before_anything_is_written(fields: dict[str, Any]) -> None:
    """As an error about the field."""
    with pytest.raises(SpecError):
        apps.app(**fields)
