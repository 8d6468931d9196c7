"""``pysup box``: on the machine itself, as root."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import grounds
from running import OnTerminal, environment

NAME = f"cli-{os.getpid()}"


def box(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What the command does; it must exit with *code*."""
    command = [grounds.PYSUP, "box", *words]
    found = subprocess.run(command, env=environment(), capture_output=True, text=True, input="", timeout=90)
    assert found.returncode == code, found.stdout + found.stderr
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A box that is up, and a folder of the machine's that it has at /srv/shared."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "hello").write_text("from the machine\n")
    assert box("up", NAME, "--share", f"{folder}:/srv/shared:rw").stdout == f"{NAME}\n"
    yield folder
    assert box("down", NAME).stdout == f"Ended {NAME}.\n"


def test_commands_run_in_a_box(shared: Path) -> None:
    """With their output, their exit code, their words behind --, and what is shared."""
    assert box("run", NAME, "--", "ps", "-p", "1", "-o", "comm=").stdout == "systemd\n"
    assert box("run", NAME, "--", "sh", "-c", "exit 7", code=7).stdout == ""
    assert box("run", NAME, "--", "sh", "-c", "kill -9 $$", code=137).stdout == ""
    assert box("run", NAME, "--", "printf", "%s ", "--", "--user", "x").stdout == "-- --user x "
    assert box("run", NAME, "--", "cat", "/srv/shared/hello").stdout == "from the machine\n"
    box("run", NAME, "--", "touch", "/srv/shared/back")
    assert (shared / "back").exists()


def test_commands_run_as_users_of_the_box(shared: Path) -> None:
    """By name."""
    assert box("run", NAME, "--user", "daemon", "--", "id", "-un").stdout == "daemon\n"
    assert "does not exist in the box" in box("run", NAME, "--user", "nosuch", "--", "id", code=1).stderr


def test_a_box_can_have_an_ordinary_user() -> None:
    """Whose systemd runs without a login."""
    try:
        box("up", f"{NAME}-user", "--create-user", "eve")
        said = box("run", f"{NAME}-user", "--user", "eve", "--", "systemctl", "--user", "is-system-running")
        assert said.stdout == "running\n"
    finally:
        box("down", f"{NAME}-user")
    box("up", f"{NAME}-user", "--create-user", "not a name", code=1)
    assert f"{NAME}-user" not in box("list").stdout


def test_boxes_are_listed(shared: Path) -> None:
    """As a table and as JSON."""
    (row,) = [line.split() for line in box("list").stdout.splitlines() if line.startswith(NAME)]
    (found,) = [one for one in json.loads(box("list", "--json").stdout) if one["name"] == NAME]
    assert row == [NAME, str(found["pid"]), f"{shared}:/srv/shared:rw"]


def test_a_shell_in_a_box(shared: Path) -> None:
    """On the terminal; its exit code is the command's."""
    with OnTerminal("box", "enter", NAME) as command:
        command.type("echo $((6*7))-systemd; ps -p 1 -o comm=\r")
        command.expect("42-systemd")
        command.type("exit 3\r")
        assert command.ended() == 3


def test_a_reboot_is_a_new_boot(shared: Path) -> None:
    """What is on its disk stays."""
    boot = ("run", NAME, "--", "cat", "/var/first")
    box("run", NAME, "--", "sh", "-c", "echo kept > /var/first; echo gone > /run/first")
    box("reboot", NAME)
    assert box(*boot).stdout == "kept\n"
    box("run", NAME, "--", "test", "!", "-e", "/run/first")


def test_what_cannot_be_is_an_error(tmp_path: Path) -> None:
    """With the remedy."""
    assert "there is no box 'nosuch'" in box("run", "nosuch", "--", "true", code=1).stderr
    assert "no command given" in box("run", "nosuch", code=2).stderr
    assert "Write HOST:INSIDE" in box("up", "x", "--share", "nonsense", code=2).stderr
    assert "does not exist" in box("up", "x", "--share", f"{tmp_path}/nope:/x", code=1).stderr
    assert "not a name for a box" in box("up", "No!", code=1).stderr
