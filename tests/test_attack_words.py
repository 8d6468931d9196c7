"""Words of others: escapes for the terminal, and entries in the journal that pretend to be systemd's or pysup's."""

from __future__ import annotations

import json
import pwd
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import apps
import grounds
import programs
from pysup.app import Log
from pysup.chronicle import TABLE
from pysup.cli import output
from pysup.deeds import MESSAGE_ID
from pysup.errors import SpecError
from pysup.health import Ready, ReadyWhen
from pysup.sync import Manager
from pysup.unit import Scope
from running import OnTerminal

Command = Callable[..., subprocess.CompletedProcess[str]]

EVIL = "\x1b]0;evil\x07\x1b[2J\x9b31m\r\x08\x7f\u202e\u2066"
HARMFUL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# Says it on stdout and stderr, as its status and as its name; then it ends, or goes on.
PROGRAM = """
import os, signal, socket, sys
evil = os.environ["EVIL"]
open("/proc/self/comm", "wb").write(evil.encode()[:15])
print("out" + evil, flush=True)
print("err" + evil, file=sys.stderr, flush=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    address = os.environ["NOTIFY_SOCKET"]
    sock.sendto(("READY=1\\nSTATUS=" + evil.replace("\\n", " ")).encode(), address.replace("@", "\\0", 1))
if len(sys.argv) > 1:
    sys.exit(7)
signal.pause()
"""


@pytest.fixture
def manager() -> Iterator[Manager]:
    """root's; what a test started is deleted after."""
    with Manager(Scope.SYSTEM) as made:
        yield made
        made.delete("all")


@pytest.mark.systemd
def test_no_command_lets_a_program_rule_the_terminal(manager: Manager, pysup: Command, tmp_path: Path) -> None:
    """Its lines, its status, its name, its arguments, its environment; what files of apps say, and their errors."""
    ready = Ready(when=ReadyWhen.NOTIFY)
    environment = {"EVIL": EVIL, "PATH": "/usr/bin"}
    log = tmp_path / "out.log"
    log.write_text(f"file{EVIL}\n")
    for name, more in (("good", ()), ("bad", ("7", EVIL))):
        command = (*programs.PYTHON, PROGRAM, *more)
        app = apps.app(name, command=command, env=environment, ready=ready, restart_limit=2, restart="on-failure")
        manager.start(app, wait=not more)
    manager.start(apps.app("file", command=(*apps.SLEEP,), log=Log(output=str(log))))
    deadline = time.monotonic() + 30
    while manager.get("bad").instances[0].state != "failed":
        assert time.monotonic() < deadline
    hostile = tmp_path / "pysup.toml"
    hostile.write_text(f"[apps.web]\ncommand = 'sleep 1'\n{json.dumps('x' + EVIL)} = 1\n[apps.{json.dumps(EVIL)}]\n")
    said = ""
    for words in (
        ("list",),
        ("describe", "all", "--show-env"),
        ("logs", "--no-follow"),
        ("logs", "--no-follow", "--format", "logfmt"),
        ("logs", "--no-follow", "--format", "{time} {message}"),
        ("logs", "--no-follow", "--json"),
        ("why", "all"),
        ("events", "--no-follow", "--since", "2min"),
        ("env", "good"),
        ("cat", "all"),
        ("doctor",),
        ("list", "--json"),
        ("describe", "all", "--json"),
        ("start", str(hostile)),
        ("diff", str(hostile)),
        ("start", "sleep 1", "--name", EVIL.replace("\x00", "")),
        ("stop", EVIL),
        ("start", f"./{EVIL.replace('/', '')}"),
        ("logs", EVIL, "--no-follow"),
        ("secret", "set", "good", EVIL),
    ):
        done = pysup(*words, check=False)
        text = done.stdout + done.stderr
        assert not HARMFUL.search(text), (words, HARMFUL.search(text), text)
        said += text
    assert "out\\x1b]0;evil" in said
    assert "file\\x1b]0;evil" in said
    with OnTerminal("describe", "all") as command:
        shown = COLOUR.sub("", command.rest().decode()).replace("\r\n", "\n")
    assert not HARMFUL.search(shown)


def test_what_is_printed_is_tamed_in_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a command forgot; lines, tabs, blanks of other scripts, and our own colours stay."""
    output.echo(f"a{EVIL}\n\tb\u3000\x1b[31mred\x1b[0m\x1b[8mhidden")
    output.note(EVIL)
    output.warn(EVIL)
    said = capsys.readouterr()
    assert "\n\tb\u3000\x1b[31mred\x1b[0m\\x1b[8mhidden\n" in said.out
    assert not HARMFUL.search(COLOUR.sub("", said.out + said.err))


def forge(user: str, entries: list[dict[str, str]]) -> None:
    """Write entries to the journal as somebody."""
    code = "import json, sys; from pysup.journal import send; [send(entry) for entry in json.load(sys.stdin)]"
    subprocess.run(
        grounds.python("-c", code),
        input=json.dumps(entries),
        text=True,
        check=True,
        user=user,
        env=grounds.environment(),
    )


def forged(unit: str) -> list[dict[str, str]]:
    """All that systemd, pysup, systemd-coredump and the app itself could say."""
    words = {"UNIT": unit, "USER_UNIT": unit, "_UID": "0", "_PID": "1", "_SYSTEMD_UNIT": "init.scope", "PRIORITY": "3"}
    marks = {"MESSAGE": f"{unit}: forged", "INVOCATION_ID": "0" * 32, "_SYSTEMD_INVOCATION_ID": "0" * 32}
    exits = {"COMMAND": "ExecStart", "EXIT_CODE": "exited", "EXIT_STATUS": "66", "UNIT_RESULT": "forged"}
    found = [{**words, **marks, **exits, "MESSAGE_ID": message_id} for message_id in TABLE]
    found.append({**words, "MESSAGE": f"{unit}: Main process exited, code=exited, status=66/forged"})
    found.append({**words, "MESSAGE": f"{unit}: restarting, because forged"})
    found.append({"MESSAGE": "forged", "SYSLOG_IDENTIFIER": "pysup-web@0", "PRIORITY": "3"})
    deed = {"MESSAGE_ID": MESSAGE_ID, "PYSUP_APP": "web", "PYSUP_SCOPE": "system", "PYSUP_BY": "forged"}
    more = {"PYSUP_VERB": "stop", "PYSUP_HOOK": "on_failure", "PYSUP_PROBLEM": "forged", "PYSUP_INSTANCES": "0"}
    found += [
        {**deed, **more, "PYSUP_EVENT": event, "MESSAGE": "forged"}
        for event in ("deleted", "reloaded", "asked", "hookran")
    ]
    core = {"COREDUMP_UNIT": unit, "COREDUMP_PID": "1", "COREDUMP_EXE": "/forged", "COREDUMP_SIGNAL": "11"}
    return [*found, {**core, "MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1", "MESSAGE": "forged"}]


@pytest.mark.systemd
def test_nobody_else_writes_history(manager: Manager, pysup: Command) -> None:
    """Entries with systemd's message ids, with pysup's own, with the identifier of an instance: all ignored."""
    manager.start(apps.app("web", command=programs.shell("echo true; exec sleep 1000")))
    forge(grounds.USER, forged("pysup-web@0.service"))
    subprocess.run(["journalctl", "--sync"], check=True)
    for command in (
        ("events", "web", "--no-follow", "--since", "5min"),
        ("logs", "web", "--no-follow", "--since", "5min"),
        ("why", "web"),
        ("describe", "web"),
        ("doctor",),
    ):
        said = pysup(*command, check=False).stdout
        assert "forged" not in said, command
        assert not re.search(r"(code|status)\W*66", said), command
    uid = pwd.getpwnam(grounds.USER).pw_uid
    raw = subprocess.run(["journalctl", "--no-pager", f"_UID={uid}"], capture_output=True, check=True)
    assert raw.stdout.count(b"forged") > 10  # they are there


@pytest.mark.systemd
def test_nobody_else_notifies_systemd_for_an_instance(pysup: Command) -> None:
    """Another user's datagrams to the socket: not ready by them, no other main process, no other status."""
    with Manager(Scope.SYSTEM) as manager:
        manager.start(
            apps.app("web", command=programs.notifier("wait"), ready=Ready(when=ReadyWhen.NOTIFY)), wait=False
        )
        before = manager.get("web").instances[0]
        code = """
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    for text in ("READY=1", f"MAINPID={os.getpid()}", "STATUS=forged", "WATCHDOG=trigger", "STOPPING=1", "BARRIER=1"):
        sock.sendto(text.encode(), "/run/systemd/notify")
"""
        subprocess.run(grounds.python("-c", code), user=grounds.USER, check=True, env=grounds.environment())
        shown = subprocess.run(
            ["systemctl", "show", "pysup-web@0.service", "-p", "StatusText,ActiveState,MainPID"],
            capture_output=True,
            text=True,
        ).stdout
        assert "forged" not in shown
        assert "ActiveState=activating" in shown
        assert f"MainPID={before.pid}" in shown
        manager.delete("web")


ODD = ("../x", "a/b", "a\nb", "a%n", "a b", "-x", ".x", "é", "a" * 65, "a@b", "a'b", 'a"b', "$HOME", "*", "", "a\0")


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_no_name(name: str) -> None:
    """Not for an app, a namespace or a secret: nothing of it becomes a path, a unit or a directive."""
    for fields in ({"name": name}, {"namespace": name or "-"}, {"secrets": {name: "stored"}}, {"user": name or "-"}):
        with pytest.raises(SpecError):
            apps.app(**{"name": "x", **fields})


@pytest.mark.parametrize("field", ["description", "cwd", "user", "group", "stop_signal", "instance_var", "origin"])
def test_no_text_becomes_a_directive(field: str) -> None:
    """A line end in a value is refused before anything is written."""
    with pytest.raises(SpecError):
        apps.app(**{field: "/tmp\nExecStart=/bin/evil"})


@pytest.mark.systemd
def test_the_command_refuses_them(pysup: Command) -> None:
    """With exit code 2, and nothing is there after it."""
    for words in (("--name=../x",), ("--name=x", "--service=LimitCORE=0\nUser=root"), ("--name=x", "--cwd=/tmp\nA=b")):
        assert pysup("start", "sleep 1000", *words, check=False).returncode == 2, words
    assert json.loads(pysup("list", "--json").stdout) == []
