"""Nothing of the machine's runs as root by accident: every way in, without the variable that all other tests have."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import programs
from apps import app
from pysup import local
from pysup.errors import SpecError
from pysup.isolate import Isolation
from pysup.isolation import account
from pysup.isolation.account import Owner
from pysup.manager import Manager as AsyncManager
from pysup.sync import Manager
from pysup.transient import RunOptions
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

REFUSED = "would run as root, and nobody has said that it shall"
SCRIPT = "#!/bin/sh\nexec sleep 1000\n"


@pytest.fixture(autouse=True)
def _unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(account.ALLOW)


@pytest.fixture
def home(tmp_path: Path, pysup: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of root's with a script, which others may read, and in which the caller is."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    (tmp_path / "web.sh").write_text(SCRIPT)
    (tmp_path / "web.sh").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pysup("delete", "all")


@pytest.fixture
def manager(home: Path) -> Iterator[Manager]:
    """The machine's; what is started is deleted in the end."""
    with Manager(Scope.SYSTEM) as found:
        yield found


def refused(pysup: Command, *words: str) -> str:
    """What a command says that is misused, and leaves nothing."""
    done = pysup(*words, check=False)
    assert (done.returncode, local.store(Scope.SYSTEM).names()) == (2, [])
    assert REFUSED in done.stderr
    return done.stderr


def test_an_app_says_its_account_in_one_of_four_ways() -> None:
    """By a user, a dynamic one, or the directives themselves; a group is no account."""
    assert account.is_unsaid(app())
    assert account.is_unsaid(app(group="adm"))
    for said in (
        {"user": "root"},
        {"isolate": Isolation(dynamic_user=True)},
        {"service": {"User": ("ada",)}},
        {"service": {"DynamicUser": ("yes",)}},
    ):
        assert not account.is_unsaid(app(**said))


def test_what_was_roots_before_needs_no_word_again() -> None:
    """But what has had an account does."""
    account.check(app(nice=1), app(), None)
    with pytest.raises(SpecError):
        account.check(app(), app(user="ada"), None)


def test_the_error_proposes_who_owns_the_program() -> None:
    """Beside an account of its own, and root."""
    with pytest.raises(SpecError) as caught:
        account.check(app(), None, Owner("ada", "/srv/web/app.js"))
    assert caught.value.message == f"app 'web' {REFUSED}"
    for proposed in ("--uid ada, who owns /srv/web/app.js", "--dynamic-user", "--uid root", 'user = "ada"', "=1"):
        assert proposed in str(caught.value.hint)


@pytest.mark.systemd
def test_start_takes_the_owner_and_refuses_what_is_roots(pysup: Command, home: Path) -> None:
    """Until it is said."""
    assert "--uid NAME" in refused(pysup, "start", "./web.sh")
    refused(pysup, "start", "sleep 1000", "--name", "web")
    refused(pysup, "pm2", "start", "./web.sh")
    pysup("start", "./web.sh", "--uid", "root")
    pysup("delete", "web")
    os.chown("web.sh", 1, 1)
    assert "It runs as daemon" in pysup("start", "./web.sh").stderr


@pytest.mark.systemd
def test_the_variable_says_it_for_all(pysup: Command, home: Path) -> None:
    """0 does not."""
    assert pysup("start", "./web.sh", env={account.ALLOW: "0"}, check=False).returncode == 2
    assert "root" not in pysup("start", "./web.sh", env={account.ALLOW: "1"}).stderr
    assert pysup("run", "id", "-un", env={account.ALLOW: "1"}).stdout == "root\n"


@pytest.mark.systemd
def test_a_job_says_who_runs_it(pysup: Command, home: Path) -> None:
    """The command that is run once."""
    refused(pysup, "run", "true")
    os.chown(home, 1, 1)
    assert f"--uid daemon, who owns {home}" in refused(pysup, "run", "true")
    assert pysup("run", "--uid", "root", "id", "-un").stdout == "root\n"


@pytest.mark.systemd
def test_files_say_who_runs_their_apps(pysup: Command, home: Path) -> None:
    """Nothing of a file is begun that does not, and an account that is taken away is not root's by that."""
    text = "[apps.one]\ncommand = 'sleep 1'\nuser = 'root'\n[apps.web]\ncommand = './web.sh'\n"
    file = home / "pysup.toml"
    file.write_text(text)
    os.chown("web.sh", 1, 1)
    for words in (["apply", "--yes"], ["start"], ["start", "pysup.toml"]):
        assert "--uid daemon, who owns" in refused(pysup, *words)
    file.write_text(f"{text}user = 'daemon'\n")
    pysup("apply", "--yes", "--only", "web")
    file.write_text(text)
    done = pysup("apply", "--yes", "--only", "web", check=False)
    assert (done.returncode, REFUSED in done.stderr) == (2, True)
    assert local.store(Scope.SYSTEM).get("web").require().user == "daemon"


@pytest.mark.systemd
def test_import_writes_that_pm2_ran_it_as_root(pysup: Command, home: Path) -> None:
    """With a note; an account that is named stays."""
    apps = "{script: './web.sh', name: 'web'}, {script: './web.sh', name: 'api', uid: 'daemon'}"
    (home / "ecosystem.config.js").write_text(f"module.exports = {{apps: [{apps}]}}")
    refused(pysup, "start", "ecosystem.config.js")
    pysup("import", "ecosystem.config.js", "-o", "pysup.toml")
    text = (home / "pysup.toml").read_text()
    assert "# user: PM2 runs it as who calls it, root" in text
    assert [line for line in text.splitlines() if line.startswith("user")] == ['user = "root"', 'user = "daemon"']
    pysup("apply", "--yes")
    assert "user" not in pysup("import", "ecosystem.config.js", "--user").stdout.partition("[apps.api]")[0]


@pytest.mark.systemd
def test_what_pysup_itself_starts_says_that_it_is_roots(pysup: Command, home: Path) -> None:
    """nginx and HAProxy begin as root, and serve as accounts of theirs."""
    site, front = programs.free_port(), programs.free_port()
    pysup("serve", "--name", "site", "--port", str(site))
    pysup("start", "./web.sh", "--uid", "daemon", "--port", str(programs.free_port()))
    pysup("balance", "web", "--port", str(front))
    store = local.store(Scope.SYSTEM)
    assert [store.get(name).require().user for name in ("site", "web-balancer")] == ["root", "root"]


@pytest.mark.systemd
def test_the_library_refuses_it_too(manager: Manager) -> None:
    """Before anything is written."""
    web = app()
    for call in (manager.start, manager.define, manager.reload, manager.try_isolation):
        with pytest.raises(SpecError, match=REFUSED):
            call(web)
    with pytest.raises(SpecError, match=REFUSED):
        manager.start(web, wait=False)
    with pytest.raises(SpecError, match=REFUSED):
        manager.run(["true"])
    assert manager.list() == []
    assert manager.run(["true"], options=RunOptions(user="root")).code == 0
    assert manager.start(replace(web, user="root")).name == "web"


@pytest.mark.systemd
async def test_so_does_the_asynchronous_one() -> None:
    """The same."""
    async with AsyncManager(Scope.SYSTEM) as manager:
        for call in (manager.start, manager.define, manager.reload):
            with pytest.raises(SpecError, match=REFUSED):
                await call(app())
        with pytest.raises(SpecError, match=REFUSED):
            await manager.run(["true"])


@pytest.mark.systemd
def test_apps_that_are_roots_go_on_as_they_are(
    manager: Manager, pysup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said when they were made: also when they change, are kept, or are taken back to what they were."""
    with monkeypatch.context() as said:
        said.setenv(account.ALLOW, "1")
        manager.start(app())
    manager.restart("web")
    manager.reload("web")
    manager.scale("web", 2)
    manager.save("web")
    manager.limit("web", ["tasks=100"])
    manager.stop("web")
    manager.start("web")
    pysup("start", "web", "--force", "--nice", "1")
    pysup("start", "web", "--force", "--uid", "daemon")
    assert manager.rollback("web").spec == replace(manager.revisions("web")[-1].app, user="")
    with pytest.raises(SpecError, match=REFUSED):
        manager.define(app("other"))


@pytest.mark.systemd
def test_apply_takes_back_what_was_roots(pysup: Command, home: Path) -> None:
    """A version that does not come up with an account leaves what was there."""
    file = home / "pysup.toml"
    file.write_text("[apps.web]\ncommand = 'sleep 1000'\n")
    pysup("apply", "--yes", env={account.ALLOW: "1"})
    file.write_text("[apps.web]\ncommand = 'false'\nuser = 'daemon'\n")
    done = pysup("apply", "--yes", check=False)
    assert (done.returncode, REFUSED in done.stderr) == (1, False)
    spec = local.store(Scope.SYSTEM).get("web").require()
    assert (spec.user, spec.command[-1]) == ("", "1000")


@pytest.mark.systemd_user
def test_ones_own_apps_need_no_word(pysup: Command) -> None:
    """They are their owner's."""
    pysup("start", "sleep 1000", "--name", "mine")
    pysup("run", "true")
    pysup("delete", "mine")
    assert "sudo" in pysup("start", "--system", "sleep 1000", check=False).stderr


@pytest.mark.systemd
def test_a_program_that_its_account_cannot_reach_is_refused(manager: Manager, tmp_path: Path) -> None:
    """Such as a Node or Python in root's home: it would end without a word. A list of its own may open a directory."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "sleep").symlink_to("/bin/sleep")
    web = app(command=(str(closed / "sleep"), "1000"), user="daemon")
    with pytest.raises(SpecError, match=f"daemon may not execute {closed}/sleep: {closed} is closed to it"):
        manager.start(web)
    manager.start(replace(web, user="root"))
    daemon, nobody = 1, 0xFFFFFFFF
    entries = [(1, 7, nobody), (2, 1, daemon), (4, 0, nobody), (16, 1, nobody), (32, 0, nobody)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(closed, "system.posix_acl_access", acl)
    manager.start(web, force=True)
    os.removexattr(closed, "system.posix_acl_access")
    closed.chmod(0o710)
    os.chown(closed, 0, 1)
    manager.start(replace(web, nice=1), force=True)
