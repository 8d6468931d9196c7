"""Files of apps as targets of commands, and secrets, with a real systemd."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

FILE = """
[defaults]
restart_delay = "1s"
[apps.web]
command = "sleep 1000"
instances = 2
env.MODE = "usual"
[apps.job]
command = ["sleep", "1000"]
[env.test.apps.web]
env.MODE = "test"
"""


@pytest.fixture
def home(scope: Scope, tmp_path: Path, pysup: Command) -> Iterator[Path]:
    """A directory with a pysup.toml; what was started in it is deleted in the end."""
    (tmp_path / "pysup.toml").write_text(FILE)
    yield tmp_path
    pysup("delete", "all")


def states(pysup: Command) -> dict[str, list[int]]:
    """The processes of all apps, by name."""
    listed = json.loads(pysup("list", "--json").stdout)
    return {
        name: [one["pid"] for one in listed if one["name"] == name and one["pid"]]
        for name in sorted({one["name"] for one in listed})
    }


def test_a_file_is_a_target(pysup: Command, home: Path) -> None:
    """Of start, restart, reload, stop and delete; usually the one that is here."""
    pysup("start", "--only", "web", "--env", "test", cwd=home)
    first = states(pysup)
    assert {name: len(pids) for name, pids in first.items()} == {"web": 2}
    assert "MODE=test" in pysup("env", "web@0").stdout
    said = pysup("start", "pysup.toml", cwd=home, check=False)
    assert said.returncode == 1
    assert "'web' runs already, with other settings" in said.stderr
    both = states(pysup)
    assert (both["web"], len(both["job"])) == (first["web"], 1)
    pysup("restart", str(home / "pysup.toml"), "--only", "web")
    again = states(pysup)
    assert again["job"] == both["job"]
    assert not set(again["web"]) & set(both["web"])
    assert "MODE=usual" in pysup("env", "web@0").stdout
    pysup("start", cwd=home)
    assert states(pysup) == again
    pysup("reload", "--env", "test", cwd=home)
    assert "MODE=test" in pysup("env", "web@0").stdout
    pysup("stop", "--only", "job", cwd=home)
    assert [len(pids) for pids in states(pysup).values()] == [0, 2]
    pysup("delete", cwd=home)
    assert states(pysup) == {}
    said = pysup("stop", cwd=home, check=False)
    assert (said.returncode, "none of the apps" in said.stderr) == (1, True)


def test_a_file_with_errors_changes_nothing(pysup: Command, home: Path) -> None:
    """All of them are told, and the exit code is 2."""
    file = home / "pysup.toml"
    file.write_text(FILE + 'stop_timout = 3\n[apps.more]\ncommand = "no-such-program"\nnice = "x"\n')
    said = pysup("start", cwd=home, check=False)
    assert said.returncode == 2
    assert f"{file}:12: env.test.apps.web.stop_timout" in said.stderr
    assert f"{file}:15: apps.more.nice is 'x'" in said.stderr
    assert states(pysup) == {}
    said = pysup("stop", "x", "--only", "y", check=False)
    assert "--only is for files of apps" in said.stderr


SHOWN = "for file in $CREDENTIALS_DIRECTORY/*; do echo $(basename $file)=$(cat $file); done; echo A=$A; sleep 1000"


def test_secrets_reach_the_program_and_nobody_else(pysup: Command, home: Path, scope: Scope) -> None:
    """A variable from a file, and a credential; no command shows their values."""
    for name in ("variable", "credential"):
        (home / name).write_text(f"hunter-{name}\n")
        (home / name).chmod(0o600)
    text = f"[apps.web]\ncommand = ['sh', '-c', '{SHOWN}']\n[apps.web.secrets]\n"
    references = "A = 'file:variable'\nc = 'credential:credential'\n"
    (home / "pysup.toml").write_text(f"{text}{references}")
    since = f"@{time.time():.6f}"
    pysup("start", cwd=home)
    said = pysup("logs", "web", "--raw", "--no-follow", "--since", since).stdout
    assert said.splitlines() == ["c=hunter-credential", "A=hunter-variable"]
    shown = "".join(
        pysup(*words).stdout
        for words in (
            ("env", "web@0"),
            ("describe", "web", "--show-env", "-n", "0"),
            ("cat", "web"),
            ("list", "--json"),
        )
    )
    assert "A=" in shown
    assert "hunter-variable" not in shown
    tool = ["systemctl", "show", "pysup-web@0.service", *(["--user"] if scope is Scope.USER else [])]
    assert "hunter" not in subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    units = (
        Path("/run/systemd/system") if scope is Scope.SYSTEM else Path(f"/run/user/{home.stat().st_uid}/systemd/user")
    )
    readable = [file for file in units.rglob("pysup-web*") if file.is_file() and file.stat().st_mode & 0o77 & 0o44]
    assert readable
    assert not [file for file in readable if "hunter" in file.read_text()]


@pytest.mark.systemd_user
def test_an_encrypted_credential_is_refused_where_systemd_cannot_decrypt_it(pysup: Command, tmp_path: Path) -> None:
    """A user's manager before 258 has no key; nothing is begun."""
    secret = f"credential:{'A' * 80}"
    (tmp_path / "pysup.toml").write_text(f"[apps.web]\ncommand = 'sleep 1000'\nsecrets.key = '{secret}'\n")
    said = pysup("start", cwd=tmp_path, check=False)
    assert said.returncode == 2
    assert "secret 'key' is encrypted, which needs systemd 258" in said.stderr
    assert states(pysup) == {}


@pytest.mark.systemd
def test_an_encrypted_credential_is_decrypted_by_systemd(pysup: Command, tmp_path: Path) -> None:
    """What systemd-creds encrypt prints stands in the file itself."""
    creds = shutil.which("systemd-creds")
    assert creds
    subprocess.run([creds, "setup"], check=True, capture_output=True)
    made = subprocess.run(
        [creds, "encrypt", "--with-key=host", "--name=key", "-", "-"], input=b"hunter2", check=True, capture_output=True
    ).stdout.decode()
    (tmp_path / "pysup.toml").write_text(
        f"[apps.web]\ncommand = ['sh', '-c', '{SHOWN}']\n[apps.web.secrets]\nkey = '''credential:\n{made}'''\n"
    )
    try:
        pysup("start", cwd=tmp_path)
        assert "key=hunter2\n" in pysup("logs", "web", "--raw", "--no-follow").stdout
        assert "hunter2" not in pysup("cat", "web").stdout
    finally:
        pysup("delete", "all")
