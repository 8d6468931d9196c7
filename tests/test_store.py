"""An app's files change as one, or not at all."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import apps
from pysup.app import App
from pysup.errors import CorruptUnit, NotFound, StoreError
from pysup.names import template_unit
from pysup.render import render
from pysup.store import Store

OLD = apps.app(port=9000, instances=3, env={"A": "old"}, command=("/bin/old",))
NEW = apps.app(port=9100, instances=5, env={"A": "new"}, command=("/bin/new",))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in directories of its own."""
    return Store(tmp_path / "run", tmp_path / "etc", tmp_path / "lock", "multi-user.target")


def put(store: Store, app: App, *, saved: bool = False) -> None:
    """Write an app as the manager does."""
    files = render(app, apps.MACHINE, str(store.directory(saved=saved))).files
    with store.lock(app.name):
        store.write(app.name, files, saved=saved)


def everything(store: Store) -> dict[str, str]:
    """Every file below the two directories, with what it holds."""
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_text()
        for directory in (store.runtime, store.saved)
        for path in sorted(directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_an_app_is_found_as_it_was_written(store: Store) -> None:
    """With its environment's values, and the numbers of its instances."""
    put(store, OLD)
    found = store.get("web")
    assert (found.app, found.numbers, found.saved) == (OLD, (0, 1, 2), False)
    assert store.names() == ["web"]


def test_a_smaller_app_leaves_no_files_of_the_larger(store: Store) -> None:
    """What the new version does not have goes."""
    put(store, NEW)
    put(store, apps.app())
    assert {"pysup-web@.service", "pysup-web.target", "pysup-web.slice"} == {
        path.name for path in store.runtime.iterdir()
    }


def test_saving_moves_and_enables(store: Store) -> None:
    """The files are in one directory only, and the boot target's link is relative."""
    put(store, OLD)
    put(store, OLD, saved=True)
    link = store.saved / "multi-user.target.wants" / "pysup-web.target"
    assert str(link.readlink()) == "../pysup-web.target"
    assert list(store.runtime.iterdir()) == []
    put(store, OLD)
    assert list(store.saved.iterdir()) == []


def test_removing_leaves_nothing_of_ours_and_all_of_others(store: Store) -> None:
    """A drop-in that somebody wrote by hand stays, and is told of."""
    put(store, OLD, saved=True)
    by_hand = store.saved / "pysup-web@0.service.d" / "override.conf"
    by_hand.write_text("[Service]\nNice=5\n")
    assert [by_hand] == store.foreign("web")
    with store.lock("web"):
        store.remove("web")
    assert [by_hand] == [path for path in store.saved.rglob("*") if path.is_file()]
    assert store.names() == []


def test_apps_with_names_alike_keep_apart(store: Store) -> None:
    """web, web-2 and we.b, also when the one is a namespace of the other."""
    others = [apps.app("web-2"), apps.app("we.b"), apps.app("b", namespace="web"), apps.app("a-web", namespace="x")]
    for one in [OLD, *others]:
        put(store, one)
    with store.lock("web"):
        store.remove("web")
    assert others == [store.get(one.name).app for one in others]
    assert sum(path.name.endswith(".slice") for path in store.runtime.iterdir()) == len(others)


def test_there_is_no_app_of_another_name(store: Store) -> None:
    """get raises, find gives None."""
    assert store.find("web") is None
    with pytest.raises(NotFound, match="'web'"):
        store.get("web")


def test_a_template_that_cannot_be_read_back_is_an_app_with_a_problem(store: Store) -> None:
    """It can still be listed and removed; only its spec is unknown."""
    put(store, OLD)
    template = store.runtime / template_unit("web")
    template.write_text(template.read_text().replace("Port=9000", "Port=90x00"))
    found = store.get("web")
    assert found.app is None
    assert found.numbers == (0, 1, 2)
    with pytest.raises(CorruptUnit, match="Port=90x00"):
        found.require()


def test_a_hand_edited_template_is_known(store: Store) -> None:
    """Any change above the spec counts."""
    put(store, OLD)
    assert not store.is_edited("web")
    template = store.runtime / template_unit("web")
    template.write_text(template.read_text().replace("TimeoutStopSec=10s", "TimeoutStopSec=7s"))
    assert store.is_edited("web")


def test_the_environment_is_for_its_owner_only(store: Store) -> None:
    """Its file is 0600 from the moment that it is there."""
    put(store, OLD)
    assert (store.runtime / "pysup-web.env").stat().st_mode & 0o777 == 0o600
    assert (store.runtime / template_unit("web")).stat().st_mode & 0o777 == 0o644


def _write(store: Store) -> None:
    put(store, NEW)


def _save(store: Store) -> None:
    put(store, NEW, saved=True)


def _remove(store: Store) -> None:
    with store.lock("web"):
        store.remove("web")


def _killed_before_step(step: int, change: Callable[[Store], None], store: Store) -> bool:
    """Make the change in a child that dies right before its so-manieth change to the file system; whether it died."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)
    left = itertools.count(-step)

    def die(event: str, args: tuple[object, ...]) -> None:
        changes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink")
        opens = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (changes or opens) and str(store.runtime.parent) in str(args[0]) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    change(store)
    os._exit(0)


@pytest.mark.parametrize("change", [_write, _save, _remove])
def test_killed_at_any_step_the_next_call_finds_the_whole_old_or_the_whole_new(
    tmp_path: Path, change: Callable[[Store], None]
) -> None:
    """Kill a writer before each of its steps in turn, until it gets through."""
    seen = set()
    for step in itertools.count():
        here = tmp_path / str(step)
        store = Store(here / "run", here / "etc", here / "lock", "multi-user.target")
        put(store, OLD)
        died = _killed_before_step(step, change, store)
        seen.add(_whole_app(store))
        if not died:
            break
    assert seen == {"/bin/old", None if change is _remove else "/bin/new"}


def _whole_app(store: Store) -> str | None:
    """The program of the app that is there, once it is sure that all of its files are, and no others."""
    found = store.find("web")
    if found is None:
        with store.lock("web"):
            assert everything(store) == {}
        return None
    app = found.require()
    whole = render(app, apps.MACHINE, str(found.directory))
    assert found.numbers == whole.numbers
    with store.lock("web"):  # what was half done is settled now
        there = {str(path.relative_to(found.directory)) for path in store.files("web")}
    assert {path for path in there if not path.endswith(".wants/pysup-web.target")} == set(whole.files)
    return app.command[0]


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """On a file system of 64 KiB that is full, the old version stays whole and the error says what to do."""
    probe = f"""
import subprocess, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
import test_store
from pysup.errors import StoreError
from pysup.store import Store
here = Path({str(tmp_path)!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", here], check=True)
store = Store(here / "run", here / "etc", here / "lock", "multi-user.target")
test_store.put(store, test_store.OLD)
before = test_store.everything(store)
try:
    (here / "filler").write_bytes(b"x" * 70000)
except OSError:
    pass
try:
    test_store.put(store, test_store.NEW)
except StoreError as exc:
    print(exc, exc.hint)
assert before == test_store.everything(store)
assert store.get("web").app == test_store.OLD
"""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "No space left" in done.stdout
    assert "Make room" in done.stdout


def test_a_directory_that_may_not_be_written_is_said(store: Store) -> None:
    """A read-only place is an error of ours, with a remedy."""
    store.runtime.parent.mkdir(exist_ok=True)
    store.runtime.write_text("a file where the directory should be")
    with pytest.raises(StoreError, match="could not be written"):
        put(store, OLD)


def test_two_writers_never_interleave(store: Store) -> None:
    """Many threads write two versions in turn; what is found is always one of them, whole."""
    put(store, OLD)
    threads = [threading.Thread(target=put, args=(store, app)) for app in [OLD, NEW] * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.get("web").require()
    assert found in (OLD, NEW)
    assert set(render(found, apps.MACHINE, str(store.runtime)).files) == {
        str(path.relative_to(store.runtime)) for path in store.files("web")
    }
