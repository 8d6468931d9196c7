"""Trials of levels, what is read from them, changing a level of what runs, and the score."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import apps
import node_apps
import programs
from pysup.errors import SpecError
from pysup.hardening import score
from pysup.isolate import Isolation, Level
from pysup.isolation import findings
from pysup.listen import Listen
from pysup.sync import Manager
from pysup.unit import Exit, Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

WEB = apps.app(cwd="/srv/web", isolate=Isolation(level=Level.STRICT))

PROGRAM = """
const fs = require("fs");
for (const look of [() => fs.writeFileSync("data/db", "x"), () => fs.readFileSync(process.env.RC)])
  try { look(); } catch (error) { console.error(String(error)); }
require("http").createServer((_, response) => response.end("hello")).listen(Number(process.argv[2]));
"""


@pytest.fixture
def manager(scope: Scope) -> Iterator[Manager]:
    """A manager of each scope; what a test started in it is deleted after."""
    with Manager(scope) as made:
        yield made
        made.delete("all")


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("Error: EROFS: read-only file system, open '/srv/web/up/x.png'", ("--writable", "/srv/web/up")),
        ("OSError: [Errno 30] Read-only file system: 'data/db'", ("--writable", "/srv/web/data")),
        ("open /srv/web/cache/x: read-only file system", ("--writable", "/srv/web/cache")),
        ("sh: 1: cannot create out.txt: Read-only file system", ("--writable", "/srv/web")),
        ("Error: ENOENT: no such file or directory, open '/home/ada/.npmrc'", ("--readable", "/home/ada/.npmrc")),
        ("Error: listen EACCES: permission denied 0.0.0.0:80", ("--bind-low-ports",)),
        ("OSError: [Errno 97] Address family not supported by protocol", ("--service", "RestrictAddressFamilies=")),
        ("connect ENETUNREACH 10.0.0.1:5432", ("--network", "on")),
        ("# Fatal error: Check failed: SetPermissions(", ("--service", "MemoryDenyWriteExecute=no")),
        ("PermissionError: [Errno 1] Operation not permitted", ("--service", "SystemCallFilter=")),
    ],
)
def test_a_line_tells_what_was_denied(line: str, options: tuple[str, ...]) -> None:
    """In Node's, Python's, Go's and the shell's words; with the option that allows it."""
    assert [one.options for one in findings.read(WEB, [line], [], None, [])] == [options]


@pytest.mark.parametrize(
    ("end", "calls", "options"),
    [
        (Exit(signal=31), ["ptrace"], ["--service", "SystemCallFilter=@system-service ptrace"]),
        (Exit(signal=31), [], ["--service", "SystemCallFilter="]),
        (Exit(code=200), [], ["--readable", "/srv/web"]),
        (Exit(code=226), [], []),
    ],
)
def test_an_end_tells_what_was_denied(end: Exit, calls: list[str], options: list[str]) -> None:
    """Also those before the program ran."""
    found = findings.read(WEB, [], [], end, calls)
    assert found
    assert findings.options(found) == options


def test_what_is_said_often_is_told_once() -> None:
    """And what is no denial is not told."""
    line = "EROFS: read-only file system, open '/a/b'"
    assert len(findings.read(WEB, [line, "listening", line], [], None, [])) == 1


def test_systemds_own_words_are_told() -> None:
    """They name the path that is not there."""
    words = ["Failed to set up mount namespacing: /run/systemd/unit-root/srv: No such file or directory"]
    assert "mount namespacing" in findings.read(WEB, [], words, Exit(code=226), [])[1].what


def test_the_changes_that_help_most_come_first() -> None:
    """Parts of one directive count together; the level that has it is named."""
    rows = [
        {"name": "PrivateNetwork=", "description": "a", "exposure": "0.5", "set": False},
        {"name": "CapabilityBoundingSet=~CAP_X", "description": "b", "exposure": "0.4", "set": False},
        {"name": "CapabilityBoundingSet=~CAP_Y", "description": "b", "exposure": "0.3", "set": False},
        {"name": "UMask=", "description": "c", "exposure": "0.1", "set": False},
        {"name": "PrivateTmp=", "description": "d", "exposure": "0.2", "set": False},
        {"name": "ProtectHome=", "description": "e", "exposure": "0.9", "set": True},
        {"name": "RemoveIPC=", "description": "f", "exposure": None, "set": None},
    ]
    best = [(one.directive, one.exposure, one.level) for one in score.best(rows)]
    assert best == [
        ("CapabilityBoundingSet", 0.7, "strict"),
        ("PrivateNetwork", 0.5, None),
        ("PrivateTmp", 0.2, "basic"),
    ]


def test_a_level_is_tried_and_then_set(manager: Manager, pysup: Command) -> None:
    """The trial names what is missing as a command line, with which nothing is; clients notice none of it."""
    folder = Path.home() / "tried"
    (folder / "data").mkdir(parents=True)
    (folder / "app.cjs").write_text(PROGRAM)
    hidden = Path.home() / "hidden"
    hidden.touch()
    port = programs.free_port()
    command = (node_apps.which(), str(folder / "app.cjs"), str(port))
    listen = (Listen(address=f"127.0.0.1:{port}"),)
    manager.start(apps.app(command=command, cwd=str(folder), env={"RC": str(hidden)}, listen=listen))
    before = manager.get("web").instances[0].pid
    tried = pysup("isolate", "web", "--try", "strict", "--for", "100ms").stdout
    wanted = f"Next: pysup isolate web --try strict --writable {folder}/data --readable {hidden}\n"
    assert tried.endswith(wanted)
    assert manager.get("web").instances[0].pid == before
    clean = pysup(*wanted.split()[2:], "--for", "100ms").stdout
    assert clean.endswith(wanted.replace("--try ", ""))
    exposed = json.loads(pysup("security", "--json").stdout)[0]["exposure"]
    pysup(*wanted.replace("--try ", "").split()[2:])
    assert manager.get("web").instances[0].pid != before
    assert "ProtectSystem            strict" in pysup("isolate", "web").stdout
    (found,) = json.loads(pysup("security", "web", "--json").stdout)
    assert found["exposure"] < exposed - 2
    assert len(found["changes"]) == 3
    assert "web" in pysup("security").stdout
    pysup("isolate", "web", "off")
    spec = manager.get("web").spec
    assert spec
    assert spec.isolate == Isolation()
    hidden.unlink()
    shutil.rmtree(folder)


def test_a_program_that_does_not_come_up_is_told_with_what_would_help(manager: Manager, pysup: Command) -> None:
    """Exit code 1; the app itself goes on, and nothing of the trial is left."""
    manager.start(apps.app(command=(node_apps.which(), "-e", "setInterval(() => {}, 1000)")))
    words = ("isolate", "web", "--try", "paranoid", "--service", "MemoryDenyWriteExecute=yes")
    tried = pysup(*words, check=False)
    assert tried.returncode == 1
    assert "Next: pysup isolate web --try paranoid --service MemoryDenyWriteExecute=no\n" in tried.stdout
    assert manager.get("web").instances[0].is_up


def test_jobs_are_not_tried(manager: Manager) -> None:
    """They would do their work."""
    from pysup import parse

    job = apps.app(schedule=parse.schedule("0 3 * * *"), restart="no", isolate=Isolation(level=Level.BASIC))
    with pytest.raises(SpecError, match="a trial would do its work"):
        manager.try_isolation(job)
