"""``pysup secret``: values reach the program byte for byte, and nobody else; with a real systemd."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pysup import vault
from pysup.app import App
from pysup.entrust import LARGEST
from pysup.errors import SpecError
from pysup.host import creds
from pysup.secret import reference
from pysup.unit import Scope
from running import OnTerminal

Command = Callable[..., subprocess.CompletedProcess[str]]

# Says what it was handed, as hashes: files by their names, and the variable V; ends at once if a secret is "bad".
PROGRAM = """
import hashlib, json, os, pathlib, signal
folder = os.environ.get("CREDENTIALS_DIRECTORY")
found = {file.name: file.read_bytes() for file in pathlib.Path(folder).iterdir()} if folder else {}
if "V" in os.environ:
    found["$V"] = os.environb[b"V"]
print(json.dumps({name: hashlib.sha256(value).hexdigest() for name, value in sorted(found.items())}), flush=True)
if b"bad" not in found.values():
    signal.pause()
"""

VALUES = {
    "binary": bytes(range(256)),
    "lines": b"\n\none\n two \n\n",
    "empty": b"",
    "large": os.urandom(64 * 1024),
    "text": "pässwörd %i $HOME \\ \" ' `id`".encode(),
    "variable": bytes(range(1, 256)) + b"..\n\n",
}


def hashed(**values: bytes) -> dict[str, str]:
    return {name: hashlib.sha256(value).hexdigest() for name, value in values.items()}


@pytest.fixture
def app(scope: Scope, tmp_path: Path, pysup: Command) -> Iterator[Path]:
    """A directory with a program that tells what it was handed; the app ``vault`` is deleted in the end."""
    (tmp_path / "program.py").write_text(PROGRAM)
    yield tmp_path
    if pysup("delete", "vault", check=False).returncode:  # there never was one
        for file in folder(scope).glob("*.*[dn]"):
            pysup("secret", "rm", "vault", file.stem)
    assert not [*folder(scope).glob("*")]


def folder(scope: Scope) -> Path:
    state = Path("/var/lib") if scope is Scope.SYSTEM else Path.home() / ".local/state"
    return state / "pysup/secrets/vault"


def start(pysup: Command, where: Path, *options: str) -> None:
    pysup("start", str(where / "program.py"), "--name", "vault", "--interpreter", sys.executable, *options)


def told(pysup: Command, where: Path) -> list[dict[str, str]]:
    """What each start of an instance was handed, oldest first."""
    since = f"@{(where / 'program.py').stat().st_mtime:.6f}"
    lines = pysup("logs", "vault", "--raw", "--no-follow", "--since", since, "--lines", "all").stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def put(pysup: Command, name: str, value: bytes, *options: str) -> subprocess.CompletedProcess[str]:
    """Set a secret, from stdin."""
    result = pysup("secret", "set", "vault", name, *options, input=value, text=False)
    return subprocess.CompletedProcess(result.args, result.returncode, result.stdout.decode(), result.stderr.decode())


def test_every_byte_reaches_the_program(pysup: Command, app: Path, scope: Scope) -> None:
    """Binary, line ends, nothing at all, 64 KiB; set before there is an app, from stdin and from a file."""
    (app / "large").write_bytes(VALUES["large"])
    pysup("secret", "set", "vault", "large", "--file", str(app / "large"))
    for name in ("binary", "lines", "empty", "text"):
        put(pysup, name, VALUES[name])
    said = put(pysup, "variable", VALUES["variable"], "--env-name", "V")
    assert "There is no app vault yet" in said.stderr
    start(pysup, app)
    values = {**VALUES, "$V": VALUES["variable"]}
    assert told(pysup, app) == [hashed(**values)]
    kind = "encrypted" if scope is Scope.SYSTEM else "plain"
    listed = {one["name"]: one for one in json.loads(pysup("secret", "list", "vault", "--json").stdout)}
    assert set(listed) == set(VALUES)
    assert listed["variable"]["variable"] == "V"
    assert listed["text"]["encrypted"] is (scope is Scope.SYSTEM)
    files = list(folder(scope).iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert folder(scope).stat().st_mode & 0o777 == 0o700
    assert {file.name for file in files} == {f"{name}.{kind}" for name in VALUES} | {"variable.variable"}
    if scope is Scope.SYSTEM:
        assert not [file for file in files if VALUES["lines"] in file.read_bytes()]
    shown = pysup("describe", "vault").stdout
    assert f"{kind}, in {folder(scope)}/variable.{kind}, and variable V" in shown


def test_a_change_is_handed_over_by_a_rolling_restart_and_else_waits(pysup: Command, app: Path) -> None:
    """Units stay as they are: only the value changes. With --no-restart instances go on with the old one."""
    put(pysup, "key", b"one")
    start(pysup, app, "-i", "2")
    units = pysup("cat", "vault").stdout
    said = put(pysup, "key", b"two")
    assert "replaced" in said.stderr
    assert told(pysup, app) == [hashed(key=b"one")] * 2 + [hashed(key=b"two")] * 2
    assert pysup("cat", "vault").stdout == units
    said = put(pysup, "key", b"three", "--no-restart")
    assert "pysup reload vault" in said.stderr
    assert len(told(pysup, app)) == 4
    pysup("reload", "vault")
    assert told(pysup, app)[4:] == [hashed(key=b"three")] * 2


def test_a_secret_comes_and_goes_with_running_instances(pysup: Command, app: Path) -> None:
    """As a file, then as a variable, too, then not at all."""
    start(pysup, app)
    put(pysup, "key", b"one")
    put(pysup, "key", b"one", "--env-name", "V")
    put(pysup, "key", b"two")  # it stays a variable
    put(pysup, "key", b"two", "--no-env")
    assert "replaced" in pysup("secret", "rm", "vault", "key").stdout
    one, two = hashed(key=b"one"), hashed(key=b"two")
    assert told(pysup, app) == [{}, one, {"$V": one["key"], **one}, {"$V": two["key"], **two}, two, {}]
    assert "no secrets" in pysup("secret", "list", "vault").stdout
    assert pysup("secret", "rm", "vault", "key", check=False).returncode == 1


def test_a_secret_that_the_program_does_not_come_up_with_is_taken_back(pysup: Command, app: Path) -> None:
    """The value, the units, and instances that run."""
    put(pysup, "key", b"good")
    start(pysup, app, "-i", "2", "--restart", "no")
    result = pysup("secret", "set", "vault", "key", input="bad", check=False)
    assert result.returncode == 1
    assert "the secret is as it was before" in result.stderr
    result = pysup("secret", "set", "vault", "other", input="bad", check=False)
    assert result.returncode == 1
    assert [one["name"] for one in json.loads(pysup("secret", "list", "vault", "--json").stdout)] == ["key"]
    assert [one["state"] for one in json.loads(pysup("list", "--json").stdout)] == ["active", "active"]
    assert told(pysup, app)[-1] == hashed(key=b"good")


def test_a_file_names_secrets_and_never_has_them(pysup: Command, app: Path) -> None:
    """One that is not set is an error; apply, scale, save and rollback leave what is kept alone."""
    text = f"[apps.vault]\ncommand = ['{sys.executable}', 'program.py']\nsecrets.key = 'stored'\nsecret_env.V = 'key'\n"
    (app / "pysup.toml").write_text(text)
    result = pysup("apply", "--yes", cwd=app, check=False)
    assert result.returncode != 0
    assert "pysup secret set vault key" in result.stderr
    put(pysup, "key", b"hunter2")
    put(pysup, "more", b"hunter3")
    pysup("apply", "--yes", cwd=app)
    handed = hashed(key=b"hunter2", more=b"hunter3")
    handed = {"$V": handed["key"], **handed}
    assert told(pysup, app) == [handed]
    assert "Nothing to do" in pysup("apply", "--yes", cwd=app).stdout
    put(pysup, "key", b"hunter4", "--no-restart")
    assert "Nothing to do" in pysup("diff", cwd=app).stdout
    (app / "pysup.toml").write_text(text + "nice = 1\n")
    shown = pysup("diff", cwd=app).stdout
    assert "nice" in shown
    assert "hunter" not in shown
    pysup("apply", "--yes", cwd=app)
    pysup("scale", "vault", "2")
    pysup("save", "vault")
    pysup("rollback", "vault")
    pysup("restart", "vault")
    new = hashed(key=b"hunter4", more=b"hunter3")
    assert told(pysup, app)[-1] == {"$V": new["key"], **new}
    assert "hunter" not in pysup("revisions", "vault").stdout


def test_what_cannot_be_handed_over_is_refused(pysup: Command, app: Path) -> None:
    """With what to do, and without a word of the value."""
    for value, options, said in (
        (b"hunter2\0", ("--env-name", "V"), "has a NUL byte"),
        (b"hunter2" * 20000, ("--env-name", "V"), "longer than"),
        (b"hunter2" * 100000, (), f"The most is {LARGEST}"),
        (b"hunter2", ("--env-name", "1V"), "not a variable's name"),
    ):
        result = pysup("secret", "set", "vault", "key", *options, input=value, text=False, check=False)
        assert result.returncode == 2, result
        assert said in result.stderr.decode()
        assert b"hunter" not in result.stdout + result.stderr
    assert pysup("secret", "set", "vault", "../key", input="x", check=False).returncode == 2
    assert pysup("secret", "set", "../vault", "key", input="x", check=False).returncode == 2
    assert pysup("secret", "list", "vault", check=False).returncode == 1
    for _ in range(2):
        put(pysup, "first", b"x" * LARGEST)
    result = pysup("secret", "set", "vault", "second", input="x" * LARGEST, check=False)
    assert "systemd's limit" in result.stderr
    pysup("secret", "rm", "vault", "first")


def test_on_a_terminal_it_is_asked_for_and_not_shown(pysup: Command, app: Path) -> None:
    """The one line that is typed."""
    with OnTerminal("secret", "set", "vault", "key") as command:
        command.expect("Secret key of vault: ")
        command.type("hunter2\n")
        rest = command.rest()
        assert command.ended() == 0
    assert b"7 bytes" in rest
    assert b"hunter" not in rest
    start(pysup, app)
    assert told(pysup, app) == [hashed(key=b"hunter2")]


@pytest.mark.systemd
def test_without_systemd_creds_it_is_kept_for_root_only_and_said(tmp_path: Path) -> None:
    """The reason is told; nothing is guessed."""
    with pytest.raises(creds.CannotEncrypt, match="not installed"):
        creds.encrypt("key", b"hunter2", Scope.SYSTEM, programs=())
    with pytest.raises(creds.CannotEncrypt) as caught:
        creds.encrypt("../key", b"hunter2", Scope.SYSTEM)
    assert "hunter2" not in str(caught.value)


def test_references_become_directives() -> None:
    """One for each kind; a name that ends with * is several."""
    secrets = {
        "a": "credential:/a%b",
        "b": "encrypted:/b",
        "c": f"credential:{'A' * 80}",
        "d": "import",
        "e-*": "import",
        "F": "file:/f",
    }
    app = App(name="web", command=("/a",), secrets=secrets, env={"F": "x"}, secret_env={"V": "a"})
    assert list(reference.directives(app.secrets)) == [
        ("LoadCredential", "a:/a%b"),
        ("LoadCredentialEncrypted", "b:/b"),
        ("SetCredentialEncrypted", f"c: {'A' * 80}"),
        ("LoadCredential", "d"),
        ("ImportCredential", "e-*"),
    ]
    assert app.shown_env == {"F": "(secret)", "V": "(secret)"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a", "stored:x"),
        ("a", "import:/x"),
        ("a*", "stored"),
        ("a/b", "stored"),
        ("a", "encrypted:x"),
        ("a", "credential:/x\nExecStart=/evil"),
        ("a\nb", "import"),
        ("..", "stored"),
        ("a", ""),
    ],
)
def test_what_is_no_reference_is_refused(name: str, text: str) -> None:
    """Nothing of it reaches a unit file."""
    with pytest.raises(SpecError):
        App(name="web", command=("/a",), secrets={name: text})


@pytest.mark.parametrize("held", [{"V": "none"}, {"V": "F"}, {"1": "a"}, {"F": "a"}, {"PYSUP_APP": "a"}, {"V": "i*"}])
def test_a_variable_holds_a_credential_and_is_nothing_else(held: dict[str, str]) -> None:
    """Not one that is set otherwise."""
    secrets = {"a": "credential:/a", "F": "file:/f", "i*": "import"}
    with pytest.raises(SpecError):
        App(name="web", command=("/a",), secrets=secrets, env={"F": "x"}, secret_env=held)


def test_what_is_kept_belongs_to_the_name(tmp_path: Path) -> None:
    """An app gets all that is kept for it and nothing that is kept no longer; its own references stay."""
    vault.put(tmp_path, "new", b"x", is_encrypted=False, variable="N")
    vault.put(tmp_path, "other", b"x", is_encrypted=True, variable="")
    before = App(
        name="web",
        command=("/a",),
        secrets={"gone": f"credential:{tmp_path}/gone.plain", "own": "credential:/own", "other": "stored"},
        secret_env={"G": "gone", "O": "own", "X": "other"},
    )
    after = vault.attach(before, vault.find(tmp_path), tmp_path)
    assert dict(after.secrets) == {
        "new": f"credential:{tmp_path}/new.plain",
        "other": f"encrypted:{tmp_path}/other.encrypted",
        "own": "credential:/own",
    }
    assert dict(after.secret_env) == {"N": "new", "O": "own", "X": "other"}
    assert vault.attach(after, vault.known(after, tmp_path), tmp_path) == after
    vault.put(tmp_path, "other", b"y", is_encrypted=False, variable="")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.plain", "new.variable", "other.plain"]
