"""Writing to the standard input of instances, which systemd holds open."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import apps
import programs
from pysup.errors import Conflict, SpecError
from pysup.host import ground
from pysup.journal import Kind
from pysup.listen import Listen
from pysup.logs import LogOptions
from pysup.sync import Manager
from pysup.unit import Scope
from running import OnTerminal, Running

Command = Callable[..., subprocess.CompletedProcess[str]]

ECHO = programs.shell('env | grep LISTEN_; while read -r line; do echo "got $line"; done; echo ended')


def said(manager: Manager, selector: str, count: int, since: float) -> list[str]:
    """The first so many lines, as they come."""
    lines = manager.logs(selector, options=LogOptions(since=since, kinds=frozenset({Kind.OUT})), follow=True)
    return [next(lines).message for _ in range(count)]


def test_a_line_reaches_the_instance_that_is_meant(manager: Manager) -> None:
    """Or all of them; the input does not end when the writer is gone, and programs see no descriptors."""
    began = time.time()
    manager.start(apps.app(command=ECHO, instances=2, stdin=True))
    assert manager.send("web@1", "one") == [("web", 1)]
    assert said(manager, "web@1", 1, began) == ["got one"]
    assert len(manager.send("web", "ä 'quoted' %i $HOME")) == 2
    assert said(manager, "web@1", 2, began) == ["got one", "got ä 'quoted' %i $HOME"]
    assert said(manager, "web@0", 1, began) == ["got ä 'quoted' %i $HOME"]
    manager.restart("web@0")
    manager.send("web@0", "again")
    assert said(manager, "web@0", 2, began)[1] == "got again"


def test_what_was_not_read_does_not_start_a_stopped_instance(manager: Manager) -> None:
    """It is dropped, and nothing can be written any more."""
    manager.start(apps.app(instances=2, stdin=True))
    manager.send("web", "nobody reads this")
    manager.stop("web@1")
    with pytest.raises(Conflict, match="none of these instances runs"):
        manager.send("web@1", "more")
    assert not (ground.lock_dir(manager.scope) / "web@1.stdin").exists()
    manager.scale("web", 1)
    assert [one.state for one in manager.list("web")[0].instances] == ["active"]


def test_a_program_that_does_not_read_is_told_of(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of waiting for ever; and so is one that has no input."""
    monkeypatch.setattr("pysup.stdin.PATIENCE", 0.2)
    manager.start(apps.app(stdin=True))
    with pytest.raises(Conflict, match="does not read its input"):
        manager.send("web", "x" * 200_000)
    manager.start(apps.app("other"))
    with pytest.raises(Conflict, match="has no standard input"):
        manager.send("other", "x")


def test_an_app_cannot_have_both_a_standard_input_and_sockets() -> None:
    """systemd hands both over in the same way."""
    with pytest.raises(SpecError, match="stdin does not go with listen"):
        apps.app(stdin=True, listen=(Listen(address="8080"),))


@pytest.mark.systemd
def test_the_input_is_for_the_apps_user_only() -> None:
    """And for root."""
    with Manager() as manager:
        try:
            manager.start(apps.app(stdin=True, user="games"))
            found = Path("/run/pysup/web@0.stdin").stat()
        finally:
            manager.delete("all")
    assert (found.st_uid, found.st_mode & 0o777) == (pwd.getpwnam("games").pw_uid, 0o600)


def test_the_command_sends_and_attaches(pysup: Command, scope: Scope, tmp_path: Path) -> None:
    """From an argument, a pipe and a terminal; Ctrl-C leaves the app alone."""
    assert scope
    script = tmp_path / "echo.sh"
    script.write_text('while read -r line; do echo "got $line"; done\n')
    tmp_path.chmod(0o755)
    try:
        pysup("start", f"/bin/sh {script}", "-n", "web", "--stdin")
        assert pysup("send", "web@0", "from here").stdout == "Sent to web@0.\n"
        pysup("send", "web", input="from\na pipe\n")
        with Running("attach", "web@0", stdin=subprocess.PIPE) as attached:
            attached.expect("got a pipe")
            assert attached.process.stdin
            os.write(attached.process.stdin.fileno(), b"typed\n")
            attached.expect("got typed")
            assert attached.interrupt(signal.SIGINT) == 0
        with OnTerminal("attach", "web") as terminal:
            terminal.expect("got typed")
            terminal.type("more\n")
            terminal.expect("got more")
            terminal.type("\x04")
            assert terminal.ended() == 0
        assert pysup("attach", "nope", check=False).returncode == 1
        assert pysup("describe", "web").stdout.count("pysup attach web@0") == 1
    finally:
        pysup("delete", "all")
