"""Restarts when files change: which changes count, and what systemd is asked for."""

from __future__ import annotations

import itertools
import os
import pwd
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import apps
import programs
from pysup.app import App, Log
from pysup.companions import watch
from pysup.errors import SpecError, StartFailed
from pysup.journal import Kind
from pysup.logs import LogOptions
from pysup.sync import Manager
from pysup.triggers import Watched
from pysup.unit import Scope

ROOT = "/srv/app"


def counts(path: str, *, ignore: tuple[str, ...] = (), logs: tuple[str, ...] = ()) -> bool:
    """Whether the change of a file does, when ROOT and /etc/app.conf are watched."""
    settings: dict[str, Any] = {"paths": [ROOT, "/etc/app.conf"], "ignore": list(ignore), "logs": list(logs)}
    return watch.Meant(settings)(None, path)


@pytest.mark.parametrize("path", ["app.js", "src/app.js", "src/deep/er/a b.py", "logs.js", "my.log.js"])
def test_a_file_below_what_is_watched_counts(path: str) -> None:
    """However deep."""
    assert counts(f"{ROOT}/{path}")


@pytest.mark.parametrize(
    "path",
    [
        *(".git/index", ".env", "src/.cache/x", "node_modules/a/index.js", "lib/node_modules/a/b.js"),
        *(
            "__pycache__/a.pyc",
            "out.log",
            "logs/err.log",
            "app.pid",
            "src/.app.js.swp",
            "src/app.js~",
            "4913",
            "#a.js#",
        ),
    ],
)
def test_what_tools_and_editors_leave_does_not(path: str) -> None:
    """At any depth."""
    assert not counts(f"{ROOT}/{path}")


def test_a_file_that_is_named_counts_whatever_it_is_called() -> None:
    """Its siblings do not."""
    assert counts("/etc/app.conf")
    assert not counts("/etc/other.conf")
    assert not counts("/srv/application/app.js")


@pytest.mark.parametrize("ignore", ["data", "data/", "./data", "data/*", "dat?", f"{ROOT}/data", "*.db"])
def test_what_is_ignored_adds_to_that(ignore: str) -> None:
    """Names, patterns, paths from what is watched, absolute paths."""
    assert not counts(f"{ROOT}/data/x.db", ignore=(ignore,))
    assert counts(f"{ROOT}/src/data.js", ignore=(ignore,))
    assert not counts(f"{ROOT}/node_modules/x.js", ignore=(ignore,))


def test_log_files_of_the_app_do_not_count() -> None:
    """Whatever they are called, one for each instance or one for all."""
    assert not counts(f"{ROOT}/out-3.txt", logs=(f"{ROOT}/out-*.txt",))


def test_it_is_being_watched_also_while_logs_are_written_all_the_time(tmp_path: Path) -> None:
    """Those of other apps, say: a start waited until nobody wrote for a moment, or failed."""
    (tmp_path / "logs").mkdir()
    settings: dict[str, Any] = {"paths": [str(tmp_path)], "ignore": [], "logs": [], "delay": 0.05}
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            (tmp_path / f"logs/{number % 1000}.log").write_text("line\n")
            if ended.wait(0.01):
                break

    writer = threading.Thread(target=write)
    writer.start()
    found = watch.changes(settings)
    try:
        assert next(found) == []
        (tmp_path / "app.js").write_text("\n")
        assert next(found) == [str(tmp_path / "app.js")]
    finally:
        ended.set()
        writer.join()
        found.close()  # type: ignore[attr-defined]


def test_names_are_shown_from_what_is_watched_and_without_control_characters() -> None:
    """They go to the journal, and come from whoever may write there."""
    assert watch.name("/srv/app/src/a\nb\x1b.js", ["/srv/app"]) == "src/a\\nb\\x1b.js"


@pytest.fixture
def source() -> Iterator[Path]:
    """A directory with a program's file in it, which everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "app.js").write_text("1")
        yield directory


@pytest.fixture
def manager(scope: Scope, source: Path) -> Iterator[Manager]:
    """A manager of each scope; what a test started in it is deleted after, and before its files."""
    assert source
    with Manager(scope) as made:
        yield made
        made.delete("all")


@pytest.fixture
def reasons(manager: Manager) -> Callable[[], Iterator[str]]:
    """Why the app is restarted, from the test's begin on, as it happens."""
    began = time.time()

    def follow() -> Iterator[str]:
        options = LogOptions(lines=None, since=began, kinds=frozenset({Kind.SYSTEMD}), grep="restarting, because")
        for entry in manager.logs("web", options=options, follow=True):
            yield entry.message.partition(": restarting, because ")[2]

    return follow


Reasons = Callable[[], Iterator[str]]


def watching(source: Path, **fields: object) -> App:
    """An app that is restarted when something in the directory changes."""
    return apps.app(cwd=str(source), watch=Watched(delay=0.1), **fields)


def test_a_changed_file_restarts_the_app_once(manager: Manager, source: Path, reasons: Reasons) -> None:
    """Also if an editor writes it beside and renames it, and a new directory's; what is ignored does not."""
    before = manager.start(watching(source)).instances[0].pid
    (source / "x.log").write_text("log")
    (source / ".git").mkdir()
    (source / ".git" / "index").write_text("index")
    found = reasons()
    for name in ("app.js", "src/deep/new.js"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        beside = source / f"{name}.tmp"
        beside.write_text("2")
        os.fsync(os.open(beside, os.O_RDONLY))
        beside.chmod(0o644)
        beside.rename(source / name)
        assert next(found).startswith(name.partition("/")[0])
    (source / "last.js").write_text("3")
    assert next(found).startswith("last.js changed")
    assert manager.get("web").instances[0].pid != before


def test_an_app_that_gave_up_is_started_by_a_change(manager: Manager, source: Path, reasons: Reasons) -> None:
    """A mistake is saved, and then mended; what was stopped by hand stays stopped."""
    command = programs.shell("grep -q broken app.js && exit 1; exec sleep infinity")
    manager.start(watching(source, command=command, restart_limit=2, instances=2))
    manager.stop("web@1")
    found = reasons()
    (source / "app.js").write_text("broken")
    next(found)
    with manager.watch() as events:
        while manager.get("web").instances[0].state != "failed":
            next(events)
        (source / "app.js").write_text("mended")
        while manager.get("web").instances[0].state != "active":
            next(events)
    assert manager.get("web").instances[1].state == "inactive"


def test_the_apps_own_log_files_never_restart_it(manager: Manager, source: Path, reasons: Reasons) -> None:
    """Though they are in its directory, and called whatever; in PM2 that goes on for ever."""
    log = Log(output=str(source / "out-{instance}.txt"), error=str(source / "err.txt"))
    script = "i=0; while [ $i -lt 40 ]; do echo $i; echo $i >&2; i=$((i+1)); sleep 0.01; done; exec sleep infinity"
    manager.start(watching(source, command=programs.shell(script), log=log))
    (source / "app.js").write_text("2")
    assert next(reasons()) == "app.js changed"


@pytest.mark.systemd
def test_files_are_looked_at_as_the_apps_user(source: Path) -> None:
    """And the restart is systemd's doing all the same."""
    with Manager() as manager:
        try:
            began = time.time()
            manager.start(watching(source, user="games"))
            (source / "app.js").write_text("2")
            options = LogOptions(
                lines=None, since=began, kinds=frozenset({Kind.SYSTEMD}), grep="because app.js changed"
            )
            next(manager.logs("web", options=options, follow=True))
            group = Path("/sys/fs/cgroup/systemd/pysup.slice/pysup-web.slice/pysup-web-watch.service/cgroup.procs")
            group = group if group.exists() else Path(str(group).replace("/systemd/", "/", 1))
            owners = [Path(f"/proc/{pid}").stat().st_uid for pid in group.read_text().split()]
        finally:
            manager.delete("all")
    assert set(owners) == {0, pwd.getpwnam("games").pw_uid}


def test_what_is_not_there_cannot_be_watched(manager: Manager, source: Path) -> None:
    """Nothing is started."""
    with pytest.raises(SpecError, match="there is no 'nope' to watch"):
        manager.start(apps.app(cwd=str(source), watch=Watched(paths=("nope",))))
    assert manager.list() == []


def test_the_command_knows_what_to_watch(
    pysup: Callable[..., subprocess.CompletedProcess[str]], scope: Scope, source: Path
) -> None:
    """``--watch`` alone, or with a path; and no more of it."""
    assert scope
    try:
        pysup("start", "sleep 1000", "--watch", "-n", "web", cwd=source)
        assert f"{source}; restarted once quiet for 200ms" in pysup("describe", "web").stdout
        words = ("--watch=app.js", "--watch=.", "--ignore-watch", "data,*.txt", "--watch-delay", "1s")
        pysup("start", "web", "--force", *words, cwd=source)
        shown = f"{source}/app.js, {source}, but for data, *.txt; restarted once quiet for 1s"
        assert shown in pysup("describe", "web").stdout
        pysup("start", "web", "--force", "--no-watch")
        assert "watches" not in pysup("describe", "web").stdout
        bad = pysup("start", "web", "--watch-delay", "1s", check=False)
        assert (bad.returncode, "nothing is watched" in bad.stderr) == (2, True)
    finally:
        pysup("delete", "all")


@pytest.mark.systemd
def test_a_watch_that_does_not_come_up_fails_the_start(source: Path) -> None:
    """The app runs, but not as it was asked for: here its user may not enter what is to be watched."""
    secret = source / "secret"
    secret.mkdir(mode=0o700)
    (secret / "file").touch()
    with Manager() as manager:
        try:
            with pytest.raises(StartFailed, match="runs, but pysup-web-watch"):
                manager.start(apps.app(user="games", watch=Watched(paths=(f"{secret}/file",)), cwd="/"), timeout=30)
        finally:
            manager.delete("all")
