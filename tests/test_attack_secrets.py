"""Another user of the machine looks for secrets everywhere; and secrets after a reboot. In a box of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from secrets import token_hex
from subprocess import CompletedProcess

import pytest

import grounds
from pysup.box import Box

EVE = "eve"
NEEDLE = f"Hunter2-{token_hex(8)}"  # stands in no file of this checkout
SECRETS = {"key": f"{NEEDLE}-as-a-file", "token": f"{NEEDLE}-as-a-variable"}

PROGRAM = """
import hashlib, os, pathlib, signal
value = (pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"]) / "key").read_text()
print(hashlib.sha256((value + os.environ["token"]).encode()).hexdigest(), flush=True)
signal.pause()
"""

# Everything that another user can open, ask or list, searched for what stands in the first argument.
SEARCH = r"""
import os, subprocess, sys
needle = sys.argv[1].encode()
UNITS = "/org/freedesktop/systemd1/unit"
found, seen = [], 0
def look(where, data):
    global seen
    seen += 1
    if needle in data:
        found.append(where)
for top in ("/run", "/etc", "/var", "/tmp", "/home", "/dev/shm", "/root"):
    for folder, _, files in os.walk(top):
        for file in files:
            path = os.path.join(folder, file)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 2**24:
                    with open(path, "rb") as stream:
                        look(path, stream.read())
            except OSError:
                pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    for file in ("environ", "cmdline", "status", "stat", "comm"):
        try:
            with open(f"/proc/{pid}/{file}", "rb") as stream:
                look(f"{pid}/{file}", stream.read())
        except OSError:
            pass
for command in (
    ["systemctl", "show", "pysup-web@0.service"],
    ["systemctl", "cat", "pysup-web@.service"],
    ["systemctl", "status", "--full", "pysup-web@0.service"],
    ["busctl", "introspect", "--full", "org.freedesktop.systemd1", f"{UNITS}/pysup_2dweb_400_2eservice"],
    ["systemd-analyze", "dump"],
    ["journalctl", "--no-pager", "-o", "export"],
    *(["pysup", "--system", *words] for words in (
        ["list", "--json"], ["describe", "web", "--show-env", "--json"], ["env", "web"], ["secret", "list", "web"],
        ["revisions", "web"], ["diff", "/opt/web/pysup.toml"], ["logs", "web", "--no-follow", "--json"],
    ) if sys.argv[2] == "root"),
):
    done = subprocess.run(command, capture_output=True)
    look(" ".join(command), done.stdout + done.stderr)
print(seen, found)
"""


@pytest.fixture(scope="module")
def ground() -> Iterator[Box]:
    """A box with a file of apps, and one more user."""
    with grounds.booted() as box:
        box.run(["useradd", "--create-home", EVE])
        box.run(["mkdir", "-p", "/opt/web"])
        box.run(["tee", "/opt/web/program.py"], input=PROGRAM)
        lines = ("[apps.web]", f"command = ['{grounds.python()[0]}', 'program.py']", "secrets.key = 'stored'")
        box.run(["tee", "/opt/web/pysup.toml"], input="\n".join(lines))
        yield box


def run(box: Box, words: list[str], user: str | None, **options: str) -> CompletedProcess[str]:
    done: CompletedProcess[str] = box.run(words, user=user, env=grounds.environment(), check=False, **options)  # type: ignore[arg-type]
    return done


def pysup(box: Box, *words: str, user: str | None = None, **options: str) -> str:
    done = run(box, ["pysup", *words], user, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_values_that_may_not_be_read_are_not_shown_as_empty(ground: Box) -> None:
    """Their names are for everybody."""
    pysup(ground, "start", "sleep 1000", "-n", "hides", "--uid", "root", "-e", "KEY=x")
    try:
        said = pysup(ground, "describe", "hides", "--system", "--show-env", user=EVE)
        assert "KEY, LANG, PATH (values: for root only)" in said
        (found,) = json.loads(pysup(ground, "describe", "hides", "--system", "--show-env", "--json", user=EVE))
        assert found["spec"]["env"]["KEY"] is None
        assert "KEY=x" in pysup(ground, "describe", "hides", "--show-env")
    finally:
        pysup(ground, "delete", "hides")


@pytest.mark.parametrize("owner", [None, grounds.USER])
def test_nobody_else_finds_a_secret(ground: Box, owner: str | None) -> None:
    """Not in files, processes, D-Bus, the journal or what pysup prints; nor does its owner see one printed."""
    pysup(ground, "secret", "set", "web", "key", user=owner, input=SECRETS["key"])
    pysup(ground, "secret", "set", "web", "token", "--env", user=owner, input=SECRETS["token"])
    try:
        pysup(ground, "apply", "/opt/web/pysup.toml", "--yes", user=owner)
        pysup(ground, "save", "web", user=owner)
        seen, _, found = run(ground, grounds.python("-c", SEARCH, NEEDLE, owner or "root"), EVE).stdout.partition(" ")
        assert (int(seen) > 200, found.strip()) == (True, "[]")
        if owner is None:
            assert "encrypted, in" in pysup(ground, "secret", "list", "web", "--system", user=EVE)
        for words in (
            ("list", "--json"),
            ("describe", "web", "--show-env", "--json"),
            ("cat", "web"),
            ("secret", "list", "web", "--json"),
        ):
            assert NEEDLE not in pysup(ground, *words, user=owner)
        assert "(secret)" in pysup(ground, "env", "web", user=owner)
        whose = [] if owner is None else ["--user"]
        shown = run(ground, ["systemctl", *whose, "show", "pysup-web@0.service"], owner).stdout
        assert "CREDENTIALS_DIRECTORY" in shown or "LoadCredential" in shown
        assert NEEDLE not in shown
        journal = run(ground, ["journalctl", "--no-pager", "-o", "export"], None).stdout
        assert "pysup-web" in journal
        assert NEEDLE not in journal
    finally:
        pysup(ground, "delete", "web", user=owner)


def test_a_saved_app_has_its_secrets_after_a_power_cut(ground: Box) -> None:
    """They are where saved things are, and decrypted by the same machine."""
    pysup(ground, "secret", "set", "web", "key", input=SECRETS["key"])
    pysup(ground, "secret", "set", "web", "token", "--env", input=SECRETS["token"])
    pysup(ground, "apply", "/opt/web/pysup.toml", "--yes")
    pysup(ground, "save", "web")
    before = pysup(ground, "logs", "web", "--raw", "--no-follow").splitlines()[-1]
    ground.reboot(power_cut=True)
    assert [one["state"] for one in json.loads(pysup(ground, "list", "--json"))] == ["active"]
    assert pysup(ground, "logs", "web", "--raw", "--no-follow").splitlines()[-1] == before
    pysup(ground, "delete", "web")
    assert run(ground, ["ls", "/var/lib/pysup/secrets"], None).stdout == ""
