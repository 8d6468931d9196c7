"""Trials of levels, what is read from them, changing a level of what runs, and the score."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import apps
import node_apps
import programs
from pysup.app import App
from pysup.errors import SpecError
from pysup.hardening import score
from pysup.isolate import Isolation, Level
from pysup.isolation import findings
from pysup.listen import Listen
from pysup.sync import Manager
from pysup.unit import Exit, Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

WEB = apps.app(cwd="/srv/web", isolate=Isolation(level=Level.PARANOID, network=("10.0.0.0/8",)))

PROGRAM = """
const fs = require("fs");
for (const look of [() => fs.writeFileSync("data/db", "x"), () => fs.readFileSync(process.env.RC)])
  try { look(); } catch (error) { console.error(String(error)); }
require("http").createServer((_, response) => response.end("hello")).listen(Number(process.argv[2]));
"""


def exists(path: str) -> bool:
    """What is outside of the trial."""
    return "nowhere" not in path


def read(app: App, *lines: str) -> list[findings.Finding]:
    """What is read from a program's lines."""
    return findings.read(app, findings.Heard(lines=lines), exists)


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
        ("Error: connect EPERM 10.0.0.1:5432 - Local (0.0.0.0:0)", ("--network", "on")),
        ("sqlite3.OperationalError: unable to open database file", ("--writable", "/srv/web")),
        ("# Fatal error: Check failed: SetPermissions(", ("--service", "MemoryDenyWriteExecute=no")),
        ("PermissionError: [Errno 1] Operation not permitted", ("--service", "SystemCallFilter=")),
    ],
)
def test_a_line_tells_what_was_denied(line: str, options: tuple[str, ...]) -> None:
    """In Node's, Python's, Go's and the shell's words; with the option that allows it."""
    assert [one.options for one in read(WEB, line)] == [options]


@pytest.mark.parametrize(
    ("isolation", "line"),
    [
        (Isolation(level=Level.BASIC), "Error: ENOENT: no such file or directory, open '/home/ada/.npmrc'"),
        (Isolation(level=Level.PARANOID), "Error: ENOENT: no such file or directory, open '/home/ada/nowhere'"),
        (Isolation(level=Level.STRICT), "# Fatal error: Check failed: SetPermissions("),
        (Isolation(level=Level.PARANOID), "the JIT is on, jitter is 3 ms"),
        (Isolation(level=Level.PARANOID), "connect ENETUNREACH 10.0.0.1:5432"),
        (Isolation(level=Level.BASIC), "PermissionError: [Errno 1] Operation not permitted"),
        (Isolation(level=Level.BASIC), "sqlite3.OperationalError: unable to open database file"),
    ],
)
def test_what_the_level_does_not_keep_from_it_is_no_denial(isolation: Isolation, line: str) -> None:
    """Nor what is not there anyway."""
    assert read(replace(WEB, isolate=isolation), line) == []


def test_without_network_any_socket_is_its_want() -> None:
    """Also one of a kind that is not there then."""
    app = replace(WEB, isolate=Isolation(level=Level.STRICT, network=("off",)))
    for line in ("connect ENETUNREACH 10.0.0.1:5432", "OSError: [Errno 97] Address family not supported by protocol"):
        assert findings.options(read(app, line)) == ["--network", "on"]


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
    found = findings.read(WEB, findings.Heard(end=end, calls=calls), exists)
    assert found
    assert findings.options(found) == options


def test_what_is_said_often_is_told_once() -> None:
    """And what is no denial is not told."""
    line = "EROFS: read-only file system, open '/a/b'"
    assert len(read(WEB, line, "listening", line)) == 1


def test_systemds_own_words_are_told() -> None:
    """They name the path that is not there."""
    words = ["Failed to set up mount namespacing: /run/systemd/unit-root/srv: No such file or directory"]
    heard = findings.Heard(words=words, end=Exit(code=226))
    assert "mount namespacing" in findings.read(WEB, heard, exists)[1].what


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
    best = [(one.directive, one.exposure, one.level) for one in score.best(rows, Scope.SYSTEM)]
    assert best == [
        ("CapabilityBoundingSet", 0.7, "strict"),
        ("PrivateNetwork", 0.5, None),
        ("PrivateTmp", 0.2, "basic"),
    ]


def test_a_change_names_the_next_level_that_has_it() -> None:
    """One that has more of it than the present one, in that scope."""
    rows = [{"name": name, "description": "", "exposure": "0.5", "set": False} for name in ("UMask=", "ProtectProc=")]
    for level, scope, wanted in (
        (Level.OFF, Scope.SYSTEM, {"UMask": "paranoid", "ProtectProc": "strict"}),
        (Level.STRICT, Scope.SYSTEM, {"UMask": "paranoid", "ProtectProc": None}),
        (Level.OFF, Scope.USER, {"UMask": "paranoid", "ProtectProc": None}),
    ):
        assert {one.directive: one.level for one in score.best(rows, scope, level)} == wanted


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
    shown = pysup("isolate", "web").stdout
    assert "ProtectSystem            strict" in shown
    assert ("PrivateUsers             yes" in shown) is (manager.scope is Scope.USER)
    (found,) = json.loads(pysup("security", "web", "--json").stdout)
    assert found["exposure"] < exposed - 2
    assert len(found["changes"]) == 3
    assert "web" in pysup("security").stdout
    assert pysup("isolate", "web", "--for", "1s", check=False).returncode == 2
    assert pysup("isolate", "web", "--try", "off", check=False).returncode == 2
    pysup("isolate", "web", "off")
    assert "directive" not in pysup("isolate", "web").stdout
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
