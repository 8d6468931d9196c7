"""Another user of the machine attacks what pysup does as root: each test is an attempt, which must fail."""

from __future__ import annotations

import itertools
import os
import pwd
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import apps
import grounds
import programs
from pysup import hooks, local, logs, rotation
from pysup.app import Log
from pysup.errors import Conflict, SpecError
from pysup.events import HookRan
from pysup.hooks import Hooks
from pysup.host import evaluate, trust
from pysup.rotation import Options
from pysup.sync import Manager
from pysup.unit import Scope
from running import Running

pytestmark = pytest.mark.systemd

Command = Callable[..., subprocess.CompletedProcess[str]]
ADA = grounds.USER
SHADOW = Path("/etc/precious")


@pytest.fixture
def manager() -> Iterator[Manager]:
    """root's; what a test started is deleted after."""
    with Manager(Scope.SYSTEM) as made:
        yield made
        made.delete("all")
        made.set_hooks(Hooks())
    subprocess.run(["systemctl", "stop", "pysup-hook-*"], check=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of the other user's."""
    account = pwd.getpwnam(ADA)
    made = Path(account.pw_dir, "attack")
    made.mkdir(mode=0o755)
    os.chown(made, account.pw_uid, account.pw_gid)
    SHADOW.write_text("precious\n")
    yield made
    shutil.rmtree(made)
    SHADOW.unlink()


def as_ada(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What she does."""
    return subprocess.run(list(map(str, words)), user=ADA, group=ADA, text=True, check=True, capture_output=True)


def write(file: Path, text: str) -> Path:
    """Hers, and executable."""
    file.write_text(text)
    file.chmod(0o755)
    account = pwd.getpwnam(ADA)
    os.chown(file, account.pw_uid, account.pw_gid)
    return file


def test_hooks_of_root_run_nothing_of_the_apps_account(manager: Manager, home: Path) -> None:
    """They get the app's environment: its PATH leads into the account's directories, its env file is the account's."""
    for name in ("find", "mkdir", "rm", "systemd-run", "python3"):
        write(home / name, f"#!/bin/sh\nid -u >>{home}/ran\n")
    variables = write(home / ".env", f"LD_DEBUG=libs\nLD_DEBUG_OUTPUT={home}/libs\nA=b\n")
    began = time.time()
    env = {"PATH": f"{home}:/usr/bin:/bin"}
    app = apps.app("hooked", user=ADA, env=env, env_files=(str(variables),), command=programs.shell("sleep 1; exit 3"))
    manager.set_hooks(Hooks(everyone={"on_failure": ({"kind": "command", "argv": ["/bin/true"]},)}))
    manager.start(app, wait=False)
    with manager.watch(since=began) as events:
        found = next(event for event in events if isinstance(event, HookRan))
    assert (found.app, found.problem) == ("hooked", "")
    assert not (home / "ran").exists()
    assert [*home.glob("libs*")] == []


def test_a_link_in_the_place_of_a_log_file_leads_root_nowhere(manager: Manager, home: Path) -> None:
    """systemd would open it as root; where the account may change the directory, it opens the file itself."""
    file = home / "logs" / "out-{instance}.log"
    talker = programs.shell("echo an evil line; echo another >&2; exec sleep 1000")
    app = apps.app("talker", user=ADA, log=Log(output=str(file), error=str(file)), command=talker)
    manager.start(app)
    written = home / "logs" / "out-0.log"
    assert written.read_text() == "an evil line\nanother\n"
    assert written.owner() == ADA
    as_ada("ln", "-sf", SHADOW, written)
    with pytest.raises(Exception, match="exit code"):
        manager.restart("talker", timeout=20)
    assert SHADOW.read_text() == "precious\n"
    as_ada("rm", written)
    as_ada("mv", home / "logs", home / "old")
    as_ada("ln", "-s", "/etc", home / "logs")
    with pytest.raises(Conflict, match="link"):
        logs.flush(local.store(Scope.SYSTEM), Scope.SYSTEM, "talker")
    said = rotation.snippet(app, Scope.SYSTEM, Options())
    assert f"    su {ADA} " in said


def test_where_only_root_may_write_systemd_opens_log_files(manager: Manager, home: Path) -> None:
    """The account could not. A file of root's in the account's own directory is refused, with what to do."""
    folder = Path("/var/log/attack")
    folder.mkdir()
    try:
        log = Log(output=f"{folder}/out.log")
        manager.start(apps.app("talker", user=ADA, log=log, command=programs.shell("echo hello; exec sleep 1000")))
        assert (folder / "out.log").read_text() == "hello\n"
        assert "su " not in rotation.snippet(apps.app(log=log, user=ADA), Scope.SYSTEM, Options())
    finally:
        manager.delete("talker")
        shutil.rmtree(folder)
    (home / "old.log").write_text("")
    with pytest.raises(SpecError, match="is root's") as caught:
        manager.start(apps.app("talker", user=ADA, log=Log(output=f"{home}/old.log")))
    assert f"chown -h {ADA}" in caught.value.hint


def test_directories_that_root_makes_for_an_account_are_made_where_it_said(home: Path) -> None:
    """Not behind a link, and not what somebody has put there meanwhile."""
    account = pwd.getpwnam(ADA)
    as_ada("ln", "-s", "/etc", home / "linked")
    with pytest.raises(OSError, match="Not a directory"):
        trust.make_folder(home / "linked" / "evil", account.pw_uid, account.pw_gid)
    trust.make_folder(home / "logs", account.pw_uid, account.pw_gid)
    assert (home / "logs").owner() == ADA
    with pytest.raises(FileExistsError):
        trust.make_folder(home / "logs", account.pw_uid, account.pw_gid)


def test_a_directory_of_roots_that_is_swapped_in_is_not_given_away(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """She may rename what is in her own directory, just after root has made something there."""
    account = pwd.getpwnam(ADA)
    (home / "kept").mkdir()
    write(home / "kept" / "secret", "root's")
    make = os.mkdir

    def make_and_swap(path: str, mode: int, *, dir_fd: int) -> None:
        make(path, mode, dir_fd=dir_fd)
        as_ada("sh", "-c", f"cd {home}; mv logs mine; mv kept logs")

    monkeypatch.setattr(os, "mkdir", make_and_swap)
    with pytest.raises(FileExistsError):
        trust.make_folder(home / "logs", account.pw_uid, account.pw_gid)
    assert [(home / "logs").owner(), (home / "mine").owner()] == ["root", "root"]


@pytest.mark.parametrize("race", ["file", "directory"])
def test_no_race_of_links_has_root_empty_another_file(home: Path, race: str) -> None:
    """She swaps the log file, or its directory, with a link all the time; root empties hers, or refuses."""
    (home / "logs").mkdir()
    os.chown(home / "logs", pwd.getpwnam(ADA).pw_uid, -1)
    write(home / "logs" / SHADOW.name, "mine")
    swap = home / ("logs" if race == "directory" else f"logs/{SHADOW.name}")
    goal = "/etc" if race == "directory" else SHADOW
    script = """
import os, sys
real, goal = sys.argv[1:]
print(flush=True)
while True:
    os.rename(real, real + ".away"); os.symlink(goal, real)
    os.unlink(real); os.rename(real + ".away", real)
"""
    racer = subprocess.Popen(
        [sys.executable, "-c", script, str(swap), str(goal)], user=ADA, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert racer.stdout
    racer.stdout.readline()
    file = logs.logfiles.LogFile(app="a", number=None, kind=logs.Kind.OUT, path=str(home / "logs" / SHADOW.name))
    outcomes = set()
    try:
        for tries in itertools.count():
            if tries >= 2000 and len(outcomes) > 1:  # on a busy machine she may stand still for long
                break
            try:
                outcomes.add(logs.logfiles.empty(file) is not None)
            except Conflict:
                outcomes.add("refused")
    finally:
        racer.kill()
        racer.communicate()
    assert SHADOW.read_text() == "precious\n"


@pytest.mark.parametrize("how", ["file", "directory", "link"])
def test_root_executes_no_javascript_that_others_may_change(home: Path, how: str) -> None:
    """Also without sudo: it runs as who may change it, and does not get root's environment."""
    text = "module.exports = { apps: [{ uid: process.getuid(), key: process.env.AWS_SECRET || 'none' }] }"
    folder = Path("/opt/attack")
    folder.mkdir(exist_ok=True)
    os.environ["AWS_SECRET"] = "hunter2"
    try:
        trusted = folder / "a.config.js"
        trusted.write_text(text)
        assert evaluate.javascript(trusted)["apps"] == [{"uid": 0, "key": "hunter2"}]
        file = write(home / "a.config.js", text)
        if how == "directory":
            os.chown(file, 0, 0)
        elif how == "link":
            trusted.unlink()
            trusted.symlink_to(file)
            file = trusted
        assert evaluate.javascript(file)["apps"] == [{"uid": pwd.getpwnam(ADA).pw_uid, "key": "none"}]
    finally:
        del os.environ["AWS_SECRET"]
        shutil.rmtree(folder)


def test_who_may_change_a_path(home: Path, tmp_path: Path) -> None:
    """Owners, groups, everybody; links count as what they lead to, and sticky directories do not."""
    uid = pwd.getpwnam(ADA).pw_uid
    assert trust.stranger("/etc/passwd") is None
    assert trust.stranger(home / "none") == uid
    (tmp_path / "link").symlink_to(home)
    assert trust.stranger(tmp_path / "link") == uid
    assert trust.stranger(tmp_path) is None
    tmp_path.chmod(0o777)
    assert trust.stranger(tmp_path / "none") == trust.ANYBODY


def test_a_pm2_of_others_is_not_taken_over_by_root(pysup: Command, home: Path) -> None:
    """Its dump, its command and the unit that it kept are its user's to write."""
    write(home / "dump.pm2", '[{"name": "evil", "pm_exec_path": "/bin/id"}]')
    for words in (("import", "--from-pm2"), ("import", "--from-pm2", "--undo")):
        result = pysup(*words, env={"PM2_HOME": str(home)}, check=False)
        assert result.returncode != 0
        assert ADA in result.stderr


def test_what_is_not_ones_own_cannot_be_changed(manager: Manager, pysup: Command, home: Path) -> None:
    """By pysup, by D-Bus, or by its files: units, environment, locks, marks, revisions."""
    manager.start(apps.app("web", user=ADA, env={"KEY": "hunter2"}))
    manager.set_secret("web", "key", b"hunter3", restart=False)
    unit = "pysup-web@0.service"
    for command in (
        (str(grounds.PYSUP), "--system", "stop", "web"),
        (str(grounds.PYSUP), "--system", "delete", "web"),
        (str(grounds.PYSUP), "--system", "secret", "set", "web", "key"),
        (str(grounds.PYSUP), "--system", "flush", "web"),
        ("systemctl", "--no-ask-password", "stop", unit),
        ("systemctl", "--no-ask-password", "set-property", unit, "MemoryMax=1"),
        ("systemctl", "--no-ask-password", "kill", unit.replace("@0", "@1")),
        ("systemctl", "--no-ask-password", "daemon-reload"),
    ):
        done = subprocess.run(command, user=ADA, capture_output=True, text=True, env=grounds.environment(), input="x")
        assert done.returncode != 0, command
        assert "hunter" not in done.stdout + done.stderr
    owned = [Path(folder) for folder in ("/run/pysup", "/run/systemd/system", "/etc/systemd/system", "/var/lib/pysup")]
    paths = [path for folder in owned for path in (folder, *folder.rglob("*")) if "pysup" in str(path)]
    assert len(paths) > 6
    for path in paths:
        found = path.lstat()
        assert (found.st_uid, found.st_mode & 0o022 if not path.is_symlink() else 0) == (0, 0), path
    assert manager.get("web").instances[0].is_up


def test_no_umask_opens_what_pysup_makes(manager: Manager, pysup: Command) -> None:
    """Root's may be anything."""
    for folder in ("/var/lib/pysup", "/run/pysup"):
        shutil.rmtree(folder, ignore_errors=True)
    pysup("start", "sleep 1000", "-n", "web", "-e", "A=b", umask=0)
    pysup("secret", "set", "web", "key", input="x", umask=0)
    pysup("save", umask=0)
    pysup("flush", umask=0)
    for folder in ("/var/lib/pysup", "/run/pysup", "/etc/systemd/system"):
        for path in (Path(folder), *Path(folder).rglob("*pysup*"), *Path("/var/lib/pysup").rglob("*")):
            assert path.is_symlink() or not path.stat().st_mode & 0o022, path


def test_a_fifo_in_the_place_of_a_log_file_holds_nobody_up(manager: Manager, pysup: Command, home: Path) -> None:
    """Whoever asks for logs would wait for ever."""
    log = Log(output=f"{home}/out.log")
    manager.start(apps.app("talker", user=ADA, log=log))
    as_ada("rm", home / "out.log")
    as_ada("mkfifo", home / "out.log")
    assert pysup("logs", "talker", "--no-follow", timeout=30).returncode == 0
    with pytest.raises(Conflict):
        logs.flush(local.store(Scope.SYSTEM), Scope.SYSTEM, "talker")


def test_the_vault_of_another_is_not_read(manager: Manager) -> None:
    """Nor can its directory be entered."""
    manager.set_secret("web", "key", b"hunter2")
    try:
        with pytest.raises(subprocess.CalledProcessError):
            as_ada("ls", "/var/lib/pysup/secrets/web")
    finally:
        manager.remove_secret("web", "key")


def test_root_is_told_whose_file_it_obeys(pysup: Command, home: Path) -> None:
    """A file of apps that somebody else may change; one of root's own is nobody's business."""
    file = write(home / "pysup.toml", "[apps.web]\ncommand = 'sleep 1000'\n")
    for words in (("diff", str(file)), ("apply", "--dry-run", str(file))):
        assert f"{file} can be changed by user {ADA}, and says what root runs" in pysup(*words).stderr
    folder = Path("/opt/attack")
    folder.mkdir()
    try:
        shutil.copyfile(file, folder / "pysup.toml")
        assert "can be changed" not in pysup("diff", cwd=folder).stderr
    finally:
        shutil.rmtree(folder)


def test_root_finds_no_program_where_it_happens_to_be(pysup: Command, home: Path) -> None:
    """A PATH with ./node_modules/.bin, a dot or an empty place in it."""
    (home / "node_modules/.bin").mkdir(parents=True)
    for folder in (home, home / "node_modules/.bin"):
        for name in ("sleep", "systemctl", "systemd-run", "journalctl", "tail", "node", "sh"):
            write(folder / name, f"#!/bin/sh\nid -u >>{home}/ran\nexec /bin/sleep 1000\n")
    path = f"./node_modules/.bin:.::{grounds.environment()['PATH']}"
    pysup("start", "sleep 1000", "-n", "web", cwd=home, env={"PATH": path})
    try:
        assert "/sleep" in pysup("describe", "web", cwd=home, env={"PATH": path}).stdout
        pysup("run", "true", cwd=home, env={"PATH": path})
        pysup("logs", "web", "--no-follow", cwd=home, env={"PATH": path})
        assert not (home / "ran").exists()
    finally:
        pysup("delete", "web")


def test_what_follows_a_file_of_somebody_elses_tells_nothing_of_root(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as who may put links there, who may look into it: at its environment, and where it is."""
    monkeypatch.setenv("AWS_SECRET", "hunter2")
    monkeypatch.chdir("/root")
    written = write(home / "out.log", "a line\n")
    file = logs.logfiles.LogFile(app="web", number=None, kind=logs.Kind.OUT, path=str(written))
    with logs.logfiles.FileTail(file, 1) as tail:
        monkeypatch.undo()  # what looks is started from here, too
        while not (lines := tail.available()):
            select.select([tail], [], [], 60)
        look = "for one in /proc/[0-9]*; do tr '\\0' '\\n' <$one/environ; readlink $one/cwd; done 2>/dev/null; true"
        seen = as_ada("sh", "-c", look).stdout.splitlines()
        assert [line.message for line in lines] == [b"a line"]
        assert "AWS_SECRET=hunter2" not in seen
        assert "/root" not in seen


@pytest.mark.parametrize("force", [False, True])
def test_what_root_imports_is_not_written_through_a_link(pysup: Command, home: Path, force: bool) -> None:
    """One that leads nowhere yet would be made by root; with --force the link is replaced, not what it leads to."""
    write(home / "ecosystem.json", '{"apps": [{"name": "web", "script": "sleep", "args": "1000"}]}')
    goal = SHADOW if force else Path("/etc/not-there-yet")
    as_ada("ln", "-s", goal, home / "out.toml")
    words = ("import", "ecosystem.json", "-o", "out.toml", *(["--force"] if force else []))
    result = pysup(*words, cwd=home, check=False)
    assert (result.returncode == 0) is force, result.stderr
    assert SHADOW.read_text() == "precious\n"
    assert not Path("/etc/not-there-yet").exists()
    assert (home / "out.toml").is_symlink() is not force


def test_root_shows_no_file_that_a_link_leads_to(manager: Manager, pysup: Command, home: Path) -> None:
    """In the place of a log file: neither its last lines, nor what comes."""
    SHADOW.chmod(0o600)
    manager.start(apps.app("talker", user=ADA, log=Log(output=f"{home}/out.log")))
    as_ada("ln", "-sf", SHADOW, home / "out.log")
    assert "precious" not in pysup("logs", "talker", "--no-follow").stdout
    with Running("logs", "talker") as command:
        as_ada("rm", home / "out.log")
        write(home / "out.log", "now it is a file\n")
        command.expect("now it is a file")
    assert b"precious" not in command.seen


def test_nobody_else_holds_a_lock(manager: Manager, tmp_path: Path) -> None:
    """Who may open one, may hold it, and keep everybody from reloads and restarts."""
    manager.start(apps.app("web"))
    with local.store(Scope.SYSTEM).claim("other", "reload"):
        pass
    script = Path(hooks.__file__).with_name("companions") / "restart.sh"
    subprocess.run(["/bin/sh", script, "--system", "web", "0", "", "a test"], check=True, umask=0)
    locks = [file for file in Path("/run/pysup").iterdir() if file.suffix in (".lock", ".reload")]
    assert {"web.lock", "web.reload", "other.reload"} <= {file.name for file in locks}
    assert {file.stat().st_mode & 0o077 for file in locks} == {0}


def test_only_the_apps_account_writes_to_its_input(manager: Manager) -> None:
    """The FIFO is in a directory of root's, and its owner's alone."""
    manager.start(apps.app("web", user="nobody", stdin=True))
    with pytest.raises(subprocess.CalledProcessError):
        as_ada("sh", "-c", "echo evil >/run/pysup/web@0.stdin")
    with pytest.raises(subprocess.CalledProcessError):
        as_ada("mv", "/run/pysup/web@0.stdin", "/run/pysup/away")


def test_root_is_told_of_env_files_that_others_may_change(manager: Manager, home: Path) -> None:
    """With LD_PRELOAD in one they run what they like; an app with an account takes no such variable from it. But what
    systemd reads as root for that one may be a link to a file of root's.
    """
    file = str(write(home / ".env", "LD_LIBRARY_PATH=/evil\nA=b\n"))
    (note,) = manager.start(apps.app("web", env_files=(file,))).notes
    assert f"can change {file}" in note
    shown = programs.shell("env; exec sleep 1000")
    key = str(write(home / "key", "x"))
    secrets = {"a": f"credential:{key}", "b": "credential:/etc/hostname", "c": "import"}
    started = manager.start(apps.app("shown", user=ADA, env_files=(file,), command=shown, secrets=secrets))
    assert [note.partition(", ")[0] for note in started.notes] == [
        f"others than root can change {one}" for one in (file, key)
    ]
    assert "handed what only root may read" in started.notes[0]
    lines = [entry.message for entry in manager.logs("shown")]
    assert "A=b" in lines
    assert not [line for line in lines if line.startswith("LD_")]
