"""Hooks: run by systemd when instances fail, restart, are given up, or are well again; a real one, in both scopes."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import apps
import programs
from pysup import hooks, local
from pysup.errors import CorruptUnit, SpecError
from pysup.events import HookRan
from pysup.hooks import Hooks
from pysup.sync import Manager
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE = 60.0


@pytest.fixture
def manager(scope: Scope) -> Iterator[Manager]:
    """A manager for blocking code; apps and hooks are taken away after."""
    with Manager(scope) as made:
        yield made
        made.delete("all")
        made.set_hooks(Hooks())
    subprocess.run(["systemctl", f"--{scope.value}", "stop", "pysup-hook-*"], check=True)  # what waits for a recovery


class Receiver(http.server.ThreadingHTTPServer):
    """Takes what webhooks are sent: path and body; answers with an error as often as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, bytes]] = []
        self.news = threading.Condition()
        self.refuse = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """So many that were taken."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.got) >= count, PATIENCE), self.got
            return list(self.got)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.news:
            is_refused = self.server.refuse > 0
            self.server.refuse -= is_refused
            if not is_refused:
                self.server.got.append((self.path, body))
            self.server.news.notify_all()
        self.send_response(500 if is_refused else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with Receiver() as made:
        yield made
        made.shutdown()


def ran(manager: Manager, since: float, count: int) -> list[HookRan]:
    """So many hooks that have run, as the journal tells; it is asked, for hooks are nobody's children here."""
    deadline = time.monotonic() + PATIENCE
    with manager.watch(since=since) as events:
        found: list[HookRan] = []
        while len(found) < count and time.monotonic() < deadline:
            event = next(events)
            found += [event] if isinstance(event, HookRan) else []
    return found


def test_a_life_with_failures_is_told_to_a_webhook(manager: Manager, receiver: Receiver, pysup: Command) -> None:
    """Failed and restarting, given up, and well again; with the last lines, and though the first try is refused."""
    began = time.time()
    receiver.refuse = 1
    words = [word for name in ("failure", "restart", "give-up", "recover") for word in (f"--on-{name}", receiver.url)]
    said = pysup("hooks", *words).stdout
    assert f"on_failure  webhook at {receiver.url}" in said
    crash = programs.shell("echo about to fail; sleep 0.1; exit 7")
    manager.start(apps.app("bad", command=crash, restart_limit=2, restart_delay=2), wait=False)
    told = {one["event"]: one for one in (json.loads(body) for _, body in receiver.wait_for(3))}
    assert told.keys() == {"on_failure", "on_restart", "on_give_up"}
    assert (told["on_failure"]["id"], told["on_failure"]["code"]) == ("bad@0", 7)
    assert told["on_failure"]["log"][-1] == "about to fail"
    assert "systemd leaves it so" in told["on_give_up"]["message"]
    assert manager.get("bad").instances[0].state == "failed"
    good = apps.app("bad", command=apps.SLEEP)
    manager.start(good, force=True)
    recovered = json.loads(receiver.wait_for(4)[3][1])
    assert (recovered["event"], recovered["message"].split(" on ")[0]) == ("on_recover", "bad@0 runs again")
    assert {(event.hook, event.problem) for event in ran(manager, began, 4)} == {
        (name, "") for name in ("on_failure", "on_restart", "on_give_up", "on_recover")
    }
    manager.stop("bad")
    assert len(receiver.got) == 4


def test_hooks_that_hang_or_fail_hurt_nobody_and_are_seen(manager: Manager, pysup: Command, tmp_path: Path) -> None:
    """The app is back at once; events and doctor tell."""
    began = time.time()
    manager.start(apps.app("web"))
    pysup("hooks", "web", "--on-failure", "/bin/false", "--on-restart", "/bin/sleep infinity")
    manager.restart("web")
    with manager.watch("web") as events:
        manager.send_signal("web", "KILL")
        names = []
        while "started" not in names:
            names.append(type(next(events)).__name__.lower())
    (first,) = ran(manager, began, 1)
    assert (first.app, first.instance, first.hook, first.problem) == ("web", 0, "on_failure", "command: exit code 1")
    said = pysup("doctor", check=False).stdout
    assert "its hook on_failure went wrong: command: exit code 1" in said
    assert "on_failure for instance 0 went wrong" in pysup("events", "--no-follow", "--since", "2min").stdout


def test_ready_made_shapes_and_a_command(manager: Manager, receiver: Receiver, pysup: Command, tmp_path: Path) -> None:
    """What Slack, Discord and ntfy expect, and a program with JSON on its stdin; tried out with --test."""
    manager.start(apps.app("web"))
    told = tmp_path / "told"
    script = tmp_path / "hook"
    script.write_text(f'#!/bin/sh\n{{ echo "$PYSUP_EVENT $PYSUP_ID $1"; cat; }} > {told}\n')
    script.chmod(0o755)
    urls = [f"{kind}:{receiver.url}/{kind}" for kind in ("slack", "discord", "ntfy")]
    words = [word for url in urls for word in ("--on-give-up", url)]
    pysup("hooks", "web", *words, "--on-failure", f"{script} 'two words'")
    pysup("hooks", "web", "--test")
    got = dict(receiver.wait_for(3))
    assert "This is a test of on_give_up" in json.loads(got["/slack"])["text"]
    assert "This is a test of on_give_up" in json.loads(got["/discord"])["content"]
    assert got["/ntfy"].startswith(b"This is a test of on_give_up")
    first, rest = told.read_text().split("\n", 1)
    assert first == "on_failure web@0 two words"
    assert json.loads(rest)["test"] is True


def test_addresses_are_kept_from_others_and_from_eyes(manager: Manager, pysup: Command) -> None:
    """The settings are the owner's alone, are in no unit file, and are shown without what may be a secret."""
    secret = "https://user:pw@hooks.example.org/services/T0/SECRET"
    pysup("hooks", "--on-give-up", f"slack:{secret}")
    place = local.store(manager.scope).saved
    assert (place / hooks.SETTINGS).stat().st_mode & 0o777 == 0o600
    for path in (hooks.DROP_IN, hooks.UNIT, hooks.SHELL, hooks.PYTHON):
        assert "SECRET" not in (place / path).read_text()
        assert "import pysup" not in (place / path).read_text()
    for options in ((), ("--json",)):
        said = pysup("hooks", *options).stdout
        assert "slack at https://hooks.example.org" in said or "hooks.example.org" in said
        assert "SECRET" not in said
        assert "pw" not in said
    pysup("hooks", "--clear")
    assert [*place.glob("pysup-*")] == []
    assert not (place / hooks.UNIT).exists()
    assert pysup("hooks").stdout.startswith("There are no hooks")


def test_hooks_of_one_app_are_not_run_for_another(manager: Manager, receiver: Receiver) -> None:
    """And those for all are run for it as well; stops by hand are no failures."""
    for name in ("one", "two"):
        manager.start(apps.app(name))
    own = hooks.target(f"{receiver.url}/one", "")
    manager.set_hooks(Hooks().replaced("one", {"on_failure": (own,)}))
    manager.restart("all")
    manager.stop("all")
    manager.start("all")
    manager.send_signal("all", "KILL")
    ((path, body),) = receiver.wait_for(1)
    assert (path, json.loads(body)["id"]) == ("/one", "one@0")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://example.org/hook", "webhook"),
        ("slack:https://hooks.slack.com/x", "slack"),
        ("ntfy:https://ntfy.sh/topic", "ntfy"),
        ("mailto:ops@example.org", "mail"),
        ("/bin/true with 'two words'", "command"),
    ],
)
def test_a_target_is_what_it_looks_like(text: str, kind: str) -> None:
    """By its beginning."""
    assert hooks.target(text, "--on-failure")["kind"] == kind


@pytest.mark.parametrize("text", ["", "nobody-has-this-program", "mailto:me", "slack:nothing", "https://", "'open"])
def test_what_is_no_target_is_refused(text: str) -> None:
    """With the option's name."""
    with pytest.raises(SpecError, match="--on-failure"):
        hooks.target(text, "--on-failure")


def test_what_is_wrong_with_a_target_is_said(tmp_path: Path) -> None:
    """A service needs its URL, and a script has to be executable."""
    with pytest.raises(SpecError) as raised:
        hooks.target("slack:nothing", "--on-failure")
    assert raised.value.hint == "Write slack:https://HOST/PATH."
    script = tmp_path / "page.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    with pytest.raises(SpecError, match="it may not be executed") as raised:
        hooks.target(str(script), "--on-failure")
    assert raised.value.hint == f"Type: chmod +x {script}"


def test_hooks_come_back_as_they_were_and_damage_is_said(tmp_path: Path) -> None:
    """For all and for one; an app without any is not there."""
    from pysup.store import Store

    store = Store(tmp_path / "run", tmp_path / "etc", tmp_path / "lock", "x.target")
    (tmp_path / "etc").mkdir()
    one: Any = hooks.target("/bin/true", "")
    wanted = (
        Hooks().replaced(None, {"on_failure": (one,)}).replaced("web", {"on_recover": (one, one), "on_restart": ()})
    )
    assert hooks.write(store, Scope.SYSTEM, wanted, "/usr/bin/python3")
    assert hooks.read(store) == wanted
    assert not hooks.write(store, Scope.SYSTEM, wanted, "/usr/bin/python3")
    (tmp_path / "etc" / hooks.SETTINGS).write_text("{")
    with pytest.raises(CorruptUnit, match="hooks"):
        hooks.read(store)
    assert hooks.write(store, Scope.SYSTEM, Hooks(), "/usr/bin/python3")
    assert [*(tmp_path / "etc").iterdir()] == []
