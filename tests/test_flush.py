"""Emptying logs, and having logrotate turn files over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import apps
import programs
from pysup import local, logs, rotation
from pysup.app import App, Log
from pysup.errors import Conflict, SpecError
from pysup.journal import Kind
from pysup.logfiles import LogFile, empty
from pysup.rotation import Options
from pysup.sync import Manager
from pysup.unit import Scope
from running import wait_until

Command = Callable[..., subprocess.CompletedProcess[str]]

TALKER = programs.shell("while :; do echo line; echo line >&2; sleep 0.05; done")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory for log files."""
    tmp_path.chmod(0o755)
    return tmp_path


def writer(directory: Path, **fields: object) -> App:
    """Two instances that go on writing, each to a file of its own, and both to one for errors."""
    log = Log(output=str(directory / "out-{instance}.log"), error=str(directory / "err.log"))
    return apps.app(command=TALKER, log=log, instances=2, **fields)


def test_log_files_are_emptied_under_the_programs_that_write_them(manager: Manager, directory: Path) -> None:
    """They go on at the file's begin, not behind a hole."""
    manager.start(writer(directory))
    out = directory / "out-0.log"
    out.write_text("x" * 100_000)
    (found,) = logs.flush(local.store(manager.scope), manager.scope, "web")
    assert {path for path, _ in found.emptied} == {
        str(directory / name) for name in ("out-0.log", "out-1.log", "err.log")
    }
    assert not found.in_journal
    wait_until(lambda: out.stat().st_size > 0)
    assert out.read_bytes().startswith(b"line\n")


@pytest.mark.parametrize("kind", ["symlink", "hard link", "directory link", "fifo"])
def test_what_is_no_plain_file_is_not_emptied(tmp_path: Path, kind: str) -> None:
    """Root may do it, in a directory of somebody else's."""
    (tmp_path / "real").mkdir()
    victim = tmp_path / "real" / "file"
    victim.write_text("precious")
    path = tmp_path / "log"
    if kind == "symlink":
        path.symlink_to(victim)
    elif kind == "hard link":
        path.hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
        path.chmod(0o600)
    else:
        (tmp_path / "linked").symlink_to(tmp_path / "real")
        path = tmp_path / "linked" / "file"
    with pytest.raises(Conflict, match="is not emptied"):
        empty(LogFile(app="web", number=None, kind=Kind.OUT, path=str(path)))
    assert victim.read_text() == "precious"
    assert empty(LogFile(app="web", number=None, kind=Kind.OUT, path=str(tmp_path / "none"))) is None


def test_logs_begin_anew_after_a_flush(pysup: Command, scope: Scope) -> None:
    """Those of the apps that are meant; what was before is there with --since."""
    assert scope
    try:
        for name in ("flushed", "other"):
            pysup("start", f"/bin/sh -c 'echo first of {name}; exec sleep 1000'", "-n", name)
        said = pysup("flush", "flushed").stdout
        assert said.startswith("flushed: logs begin now; the journal keeps what was before")
        both = pysup("logs", "--no-follow").stdout
        assert "first of other" in both
        assert "flushed@0" not in both
        assert pysup("logs", "flushed", "--raw", "--no-follow").stdout == ""
        assert "first of flushed" in pysup("logs", "flushed", "--no-follow", "--since", "1h").stdout
        pysup("restart", "flushed")
        assert pysup("logs", "flushed", "--raw", "--no-follow").stdout == "first of flushed\n"
        assert pysup("flush", "nope", check=False).returncode == 1
    finally:
        pysup("delete", "all")


def rotate(directory: Path, text: str, *words: str) -> str:
    """What logrotate says of a configuration."""
    file = directory / "rotate.conf"
    file.write_text(text)
    file.chmod(0o644)
    found = subprocess.run(
        ["/usr/sbin/logrotate", "-s", str(directory / "state"), *words, str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout + found.stderr


@pytest.mark.parametrize("options", [Options(), Options(every="weekly", keep=3, max_size=1 << 20, restart=True)])
def test_logrotate_understands_what_is_written_for_it(directory: Path, options: Options) -> None:
    """Each file, whatever it is called: blanks, and signs of patterns."""
    (directory / "a [b] *c").mkdir(mode=0o755)
    log = Log(output=str(directory / "a [b] *c" / "{instance}"), error=str(directory / "err x?.log"))
    app = apps.app(log=log)
    names = ["a [b] *c/0", "a [b] *c/12", "err x?.log"]
    for name in (*names, "a [b] *c/0.1.gz", "err xyz.log"):
        (directory / name).write_text("line\n")
    said = rotate(directory, rotation.snippet(app, Scope.SYSTEM, options), "-d")
    considered = {line.removeprefix("considering log ") for line in said.splitlines() if line.startswith("considering")}
    considered = {name for name in considered if not name.endswith("[0-9]")}  # no instance has so many digits
    assert considered == {str(directory / name) for name in names}
    assert "error" not in said.lower()


def test_files_that_logrotate_cannot_be_told_of_are_refused(directory: Path) -> None:
    """And apps that write to none; a directory that others may write to is named."""
    with pytest.raises(SpecError, match="cannot be named"):
        rotation.snippet(apps.app(log=Log(output='/var/log/a"b')), Scope.SYSTEM, Options())
    with pytest.raises(Conflict, match="no log files"):
        rotation.snippet(apps.app(), Scope.SYSTEM, Options())
    directory.chmod(0o777)
    assert rotation.unsafe(writer(directory)) == [str(directory)]
    directory.chmod(0o755)
    assert rotation.unsafe(writer(directory)) == []


@pytest.mark.parametrize("restart", [False, True])
def test_programs_write_on_after_a_rotation(manager: Manager, directory: Path, restart: bool) -> None:
    """To the same file that was emptied; or, restarted, to a new one, and no line is lost."""
    before = manager.start(writer(directory))
    out = directory / "out-1.log"
    wait_until(lambda: out.exists() and out.stat().st_size > 50)
    text = rotation.snippet(manager.list()[0].spec or writer(directory), manager.scope, Options(restart=restart))
    rotate(directory, text, "-f")
    assert (directory / "out-1.log.1").stat().st_size > 50
    wait_until(lambda: out.exists() and out.stat().st_size > 0)
    assert out.read_bytes().startswith(b"line\n")
    same = [one.pid for one in manager.get("web").instances] == [one.pid for one in before.instances]
    assert same is not restart


def test_the_command_prints_it(pysup: Command, scope: Scope, directory: Path) -> None:
    """With the options that were asked for."""
    assert scope
    try:
        pysup("start", "sleep 1000", "-n", "web", "--log-output", str(directory / "out.log"))
        said = pysup("logrotate", "web", "--every", "weekly", "--keep", "3", "--max-size", "1M").stdout
        assert said.startswith(f'"{directory}/out.log" {{\n    weekly\n    rotate 3\n    maxsize 1048576\n')
        assert "copytruncate" in said
        assert "try-restart" in pysup("logrotate", "web", "--restart").stdout
    finally:
        pysup("delete", "all")
