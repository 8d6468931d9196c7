"""``pysup secret``: values reach the program byte for byte, and nobody else; with a real systemd."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import apps
import programs
from pysup import local, parse, vault
from pysup.app import App
from pysup.entrust import LARGEST
from pysup.errors import Conflict, NotFound, SpecError, StartFailed
from pysup.host import creds
from pysup.journal import Kind
from pysup.logs import LogOptions
from pysup.secret import reference, variables
from pysup.sync import Manager
from pysup.unit import Scope
from running import OnTerminal, Running, wait_until

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
def manager(scope: Scope) -> Iterator[Manager]:
    """A manager; the app ``vault`` and what is kept for it are taken away in the end."""
    with Manager(scope) as made:
        yield made
        if any(one.name == "vault" for one in made.list()):
            made.delete("vault")
            assert not folder(scope).exists()
        for file in folder(scope).glob("*.*[dn]"):
            made.remove_secret("vault", file.stem)


@pytest.fixture
def began() -> float:
    """When the test began."""
    return time.time()


def folder(scope: Scope) -> Path:
    state = Path("/var/lib") if scope is Scope.SYSTEM else Path.home() / ".local/state"
    return state / "pysup/secrets/vault"


def program(**fields: Any) -> App:
    return apps.app("vault", command=(*programs.PYTHON, PROGRAM), **fields)


def told(manager: Manager, began: float) -> list[dict[str, str]]:
    """What each start of an instance was handed, oldest first."""
    options = LogOptions(lines=None, since=began, kinds=frozenset({Kind.OUT}))
    return [json.loads(entry.message) for entry in manager.logs("vault", options=options)]


def test_every_byte_reaches_the_program(manager: Manager, pysup: Command, began: float, tmp_path: Path) -> None:
    """Binary, line ends, nothing at all, 64 KiB; set before there is an app, by the command and by the library."""
    (tmp_path / "large").write_bytes(VALUES["large"])
    pysup("secret", "set", "vault", "large", "--file", str(tmp_path / "large"))
    said = pysup("secret", "set", "vault", "variable", "--env-name", "V", input=VALUES["variable"], text=False)
    assert b"There is no app vault yet" in said.stderr
    for name in ("binary", "lines", "empty", "text"):
        manager.set_secret("vault", name, VALUES[name])
    manager.start(program())
    assert told(manager, began) == [hashed(**VALUES, **{"$V": VALUES["variable"]})]
    is_system = manager.scope is Scope.SYSTEM
    kind = "encrypted" if is_system else "plain"
    listed = {one["name"]: one for one in json.loads(pysup("secret", "list", "vault", "--json").stdout)}
    assert set(listed) == set(VALUES)
    assert listed["variable"]["variable"] == "V"
    assert listed["text"]["encrypted"] is is_system
    kept = folder(manager.scope)
    files = list(kept.iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in files} == {f"{name}.{kind}" for name in VALUES} | {"variable.variable"}
    if is_system:
        assert not [file for file in files if VALUES["lines"] in file.read_bytes()]
    assert f"{kind}, in {kept}/variable.{kind}, and variable V" in pysup("describe", "vault").stdout


def test_a_change_is_handed_over_by_a_rolling_restart_and_else_waits(manager: Manager, began: float) -> None:
    """Units stay as they are: only the value changes. Unless asked for, instances go on with the old one."""
    manager.set_secret("vault", "key", b"one")
    manager.start(program(instances=2))
    store = local.store(manager.scope)
    units = [file.read_text() for file in store.files("vault")]
    assert manager.set_secret("vault", "key", b"two").is_handed_over
    assert told(manager, began) == [hashed(key=b"one")] * 2 + [hashed(key=b"two")] * 2
    assert [file.read_text() for file in store.files("vault")] == units
    assert not manager.set_secret("vault", "key", b"three", restart=False).is_handed_over
    assert len(told(manager, began)) == 4
    manager.reload("vault")
    assert told(manager, began)[4:] == [hashed(key=b"three")] * 2


def test_a_secret_comes_and_goes_with_running_instances(manager: Manager, pysup: Command, began: float) -> None:
    """As a file, then as a variable, too, then not at all."""
    manager.start(program())
    assert "were replaced" in pysup("secret", "set", "vault", "key", input="one").stderr
    manager.set_secret("vault", "key", b"one", variable="V")
    manager.set_secret("vault", "key", b"two")  # it stays a variable
    manager.set_secret("vault", "key", b"two", variable="W", restart=False)
    assert [one.variable for one in manager.secrets("vault")] == ["W"]
    assert dict(manager.get("vault").spec.secret_env) == {"W": "key"}  # type: ignore[union-attr]
    manager.set_secret("vault", "key", b"two", variable="")
    assert "replaced" in pysup("secret", "rm", "vault", "key").stdout
    one, two = hashed(key=b"one"), hashed(key=b"two")
    assert told(manager, began) == [{}, one, {"$V": one["key"], **one}, {"$V": two["key"], **two}, two, {}]
    assert "no secrets" in pysup("secret", "list", "vault").stdout
    with pytest.raises(NotFound):
        manager.remove_secret("vault", "key")


def test_a_secret_that_the_program_does_not_come_up_with_is_taken_back(
    manager: Manager, pysup: Command, began: float
) -> None:
    """The value, the units, and instances that run."""
    manager.set_secret("vault", "key", b"good")
    manager.start(program(instances=2, restart="no"))
    result = pysup("secret", "set", "vault", "key", input="bad", check=False)
    assert result.returncode == 1
    assert "the secret is as it was before" in result.stderr
    with pytest.raises(StartFailed):
        manager.set_secret("vault", "other", b"bad")
    assert [one.name for one in manager.secrets("vault")] == ["key"]
    assert [one.state for one in manager.get("vault").instances] == ["active", "active"]
    assert told(manager, began)[-1] == hashed(key=b"good")


def test_ctrl_c_says_who_has_the_secret_yet(manager: Manager, tmp_path: Path) -> None:
    """It is kept; instances get it by what is told to type."""
    (tmp_path / "value").write_text("new")
    manager.start(replace(program(instances=2), ready=parse.ready("2s")))
    with Running("secret", "set", "vault", "key", f"--{manager.scope}", "--file", str(tmp_path / "value")) as command:
        wait_until(lambda: manager.secrets("vault"))
        assert command.interrupt() == 130
        assert "have what they had; pysup reload vault" in command.complaints()
    assert [one.name for one in manager.secrets("vault")] == ["key"]


def test_a_secret_of_an_app_that_is_busy_is_as_it_was(manager: Manager) -> None:
    """It could not be handed over, so it is not kept either."""
    manager.set_secret("vault", "key", b"one")
    manager.start(program())
    before = manager.get("vault").spec
    store = local.store(manager.scope)
    file = store.secrets("vault")["key"].path
    content = file.read_bytes()
    with store.claim("vault", "reload"):
        for name, variable in (("key", "V"), ("new", "W")):
            with pytest.raises(Conflict, match=r"is busy.*the secret is as it was before"):
                manager.set_secret("vault", name, b"two", variable=variable)
        with pytest.raises(Conflict, match="is busy"):
            manager.remove_secret("vault", "key")
    assert manager.get("vault").spec == before
    assert len(manager.revisions("vault")) == 1
    assert [one.name for one in manager.secrets("vault")] == ["key"]
    assert file.read_bytes() == content


def test_nothing_on_stdin_is_no_secret(pysup: Command) -> None:
    """Such as from a command in a pipe that failed."""
    result = pysup("secret", "set", "vault", "key", input="", check=False)
    assert (result.returncode, "nothing came on stdin" in result.stderr) == (2, True)


def test_a_file_names_secrets_and_never_has_them(
    manager: Manager, pysup: Command, began: float, tmp_path: Path
) -> None:
    """One that is not set is an error; apply, scale, save and rollback leave what is kept alone."""
    (tmp_path / "program.py").write_text(PROGRAM)
    text = f"[apps.vault]\ncommand = ['{sys.executable}', 'program.py']\nsecrets.key = 'stored'\nsecret_env.V = 'key'\n"
    (tmp_path / "pysup.toml").write_text(text)
    result = pysup("apply", "--yes", cwd=tmp_path, check=False)
    assert result.returncode != 0
    assert "pysup secret set vault key" in result.stderr
    manager.set_secret("vault", "key", b"hunter2")
    manager.set_secret("vault", "more", b"hunter3")
    pysup("apply", "--yes", cwd=tmp_path)
    handed = hashed(key=b"hunter2", more=b"hunter3")
    assert told(manager, began) == [{"$V": handed["key"], **handed}]
    manager.set_secret("vault", "key", b"hunter4", restart=False)
    assert "Nothing to do" in pysup("apply", "--yes", cwd=tmp_path).stdout
    (tmp_path / "pysup.toml").write_text(text + "nice = 1\n")
    shown = pysup("diff", cwd=tmp_path).stdout
    assert "nice" in shown
    assert "hunter" not in shown
    pysup("apply", "--yes", cwd=tmp_path)
    manager.scale("vault", 2)
    manager.save("vault")
    manager.rollback("vault")
    manager.restart("vault")
    new = hashed(key=b"hunter4", more=b"hunter3")
    assert told(manager, began)[-1] == {"$V": new["key"], **new}
    assert "hunter" not in repr(manager.revisions("vault"))


def test_what_cannot_be_handed_over_is_refused(manager: Manager, pysup: Command) -> None:
    """With what to do, and without a word of the value."""
    for value, variable, said in (
        (b"hunter2\0", "V", "has a NUL byte"),
        (b"hunter2" * 20000, "V", "longer than"),
        (b"hunter2" * 100000, None, f"of {7 * 100000} bytes"),
        (b"hunter2", "1V", "not a variable's name"),
    ):
        with pytest.raises(SpecError, match=said) as caught:
            manager.set_secret("vault", "key", value, variable=variable)
        assert "hunter" not in str(caught.value) + caught.value.hint
    result = pysup("secret", "set", "vault", "../key", input="hunter2", check=False)
    assert (result.returncode, "hunter" in result.stderr) == (2, False)
    for words in (("key=hunter2",), ("key", "hunter2")):
        result = pysup("secret", "set", "vault", *words, input="x", check=False)
        assert (result.returncode, "hunter" in result.stderr) == (2, False)
        assert "among the arguments" in result.stderr
    result = pysup("start", "true", "--secret", "hunter2", check=False)
    assert (result.returncode, "hunter" in result.stderr, "NAME=file:PATH" in result.stderr) == (2, False, True)
    with pytest.raises(SpecError):
        manager.set_secret("../vault", "key", b"x")
    with pytest.raises(NotFound):
        manager.secrets("vault")
    manager.set_secret("vault", "first", b"x" * LARGEST)
    with pytest.raises(SpecError, match="systemd's limit"):
        manager.set_secret("vault", "second", b"x" * LARGEST)


def test_on_a_terminal_it_is_asked_for_and_not_shown(manager: Manager, began: float) -> None:
    """The one line that is typed."""
    with OnTerminal("secret", "set", "vault", "key") as command:
        command.expect("Secret key of vault: ")
        command.type("hunter2\n")
        rest = command.rest()
        assert command.ended() == 0
    assert b"7 bytes" in rest
    assert b"hunter" not in rest
    manager.start(program())
    assert told(manager, began) == [hashed(key=b"hunter2")]


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


@pytest.mark.parametrize("handed", [{"v": "key"}, {"value": "key"}])
def test_the_shell_that_sets_variables_takes_none_away(handed: dict[str, str], tmp_path: Path) -> None:
    """Neither one that it sets, nor one of such a name that the program has anyway."""
    (tmp_path / "key").write_bytes(b"two\n\n")
    command = variables.argv(handed, (sys.executable, "-c", "import os; print(dict(os.environ))"))
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PATH": os.environ["PATH"], "v": "one", "value": "one"}
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    found = ast.literal_eval(shown)
    assert {name: found[name] for name in ("v", "value")} == {"v": "one", "value": "one"} | dict.fromkeys(
        handed, "two\n\n"
    )


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
