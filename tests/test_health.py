"""Instances that are asked whether they are ready and whether they live, and what becomes of those that are silent."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import apps
import grounds
import hammer
import node_apps
import programs
from activated import listening, port_of
from pysup import parse, preload
from pysup.app import App, KillMode
from pysup.errors import SpecError
from pysup.events import Event, Exited, Started
from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
from pysup.listen import Listen
from pysup.render import render
from pysup.sync import Manager
from pysup.unit import Instance, Scope

# A web server on PORT, and on what it inherits. /bad makes it say 500 from then on. Its arguments: how long it takes to
# start; how long after SIGTERM it ends, with its sockets closed. It says WATCHDOG=1 if it is to.
SERVER = """
import os, select, signal, socket, sys, time
from pysup import daemon
time.sleep(float(sys.argv[1]))
socks = daemon.listen_sockets()
if "PORT" in os.environ:
    socks.append(socket.create_server(("127.0.0.1", int(os.environ["PORT"]))))
def stop(*_):
    for sock in socks:
        sock.close()
    time.sleep(float(sys.argv[2]))
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
status, pause, told = "200 OK", daemon.watchdog(), 0
while True:
    if pause and time.monotonic() > told + pause / 3:
        daemon.notify_watchdog()
        told = time.monotonic()
    for sock in select.select(socks, [], [], pause and pause / 3)[0]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            connection, _ = sock.accept()
            connection.setblocking(True)
            if b"/bad" in connection.recv(65536):
                status = "500 Sorry"
            body = str(os.getpid())
            head = f"HTTP/1.1 {status}\\r\\nConnection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
            connection.sendall((head + body).encode())
            connection.close()
        except (BlockingIOError, BrokenPipeError):
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
"""

Command = Callable[..., subprocess.CompletedProcess[str]]

OFTEN = Watchdog(when=WatchdogWhen.HTTP, url="http://127.0.0.1:{port}/health", interval=0.1, timeout=0.5, failures=2)
ASK = grounds.ROOT / "supervisor/pysup/probe/ask.py"


def server(*, slow: float = 0, drain: float = 0, **fields: object) -> App:
    """The server above, with a port of its own unless it listens otherwise."""
    usual: dict[str, object] = {"ready": Ready(when=ReadyWhen.TCP, timeout=20)}
    if "listen" not in fields:
        usual["port"] = programs.free_port()
    return apps.app(command=(sys.executable, "-c", SERVER, str(slow), str(drain)), **usual | fields)


def get(port: int, path: str = "/") -> tuple[int, str]:
    """Status and body of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def until_started(events: Iterator[Event]) -> list[Exited]:
    """The exits up to the next time that an instance is ready."""
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, Started):
            break
    return [event for event in seen if isinstance(event, Exited)]


# ---- what is asked of whom


@pytest.mark.parametrize(
    ("ready", "address"),
    [
        ("http://127.0.0.1:8080/", "8080"),
        ("http://localhost:9090/health", "9090"),
        ("http://localhost/health", "8080"),  # no port 80: the first is meant
        ("http://127.0.0.1:{port}/", "8080"),
        ("tcp", "8080"),
        ("tcp:9090", "9090"),
        ("tcp:5432", None),  # not the app's
        ("http://example.org/", None),
        ("notify", None),
    ],
)
def test_a_question_about_a_shared_address_is_asked_elsewhere(ready: str, address: str | None) -> None:
    """Of each instance on a socket of its own; questions about other addresses go there."""
    app = apps.app(listen=(Listen(address="8080"), Listen(address="9090")), ready=parse.ready(ready))
    assert (app.probed.address if app.probed else None) == address
    assert ("pysup-web:probe@.socket" in render(app, apps.MACHINE, "/run").files) == (address is not None)


def test_ready_and_watchdog_ask_at_one_address() -> None:
    """There is one socket more for each instance, not two."""
    listen = (Listen(address="8080"), Listen(address="9090"))
    with pytest.raises(SpecError, match="8080 and 9090"):
        apps.app(listen=listen, ready=parse.ready("tcp:8080"), watchdog=parse.watchdog("tcp:9090"))


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("30s", Watchdog(interval=30)),
        ("tcp", Watchdog(when=WatchdogWhen.TCP)),
        ("tcp:[::1]:80", Watchdog(when=WatchdogWhen.TCP, host="::1", port=80)),
        ("http://x/ 200,204", Watchdog(when=WatchdogWhen.HTTP, url="http://x/", statuses=(200, 204))),
        ("off", None),
    ],
)
def test_watchdogs_are_read_as_people_write_them(text: str, means: Watchdog | None) -> None:
    """As ready conditions are."""
    assert parse.watchdog(text) == means


def test_what_a_program_cannot_do_is_refused() -> None:
    """Before anything is written: uvicorn takes one socket, gunicorn says no WATCHDOG=1, only Node has process.send."""
    listen = (Listen(address="8080"),)
    uvicorn = apps.app(command=("/usr/bin/uvicorn", "x:y"), listen=listen, ready=parse.ready("tcp"))
    with pytest.raises(SpecError, match="uvicorn takes one socket") as caught:
        render(uvicorn, apps.MACHINE, "/run")
    assert "gunicorn" in caught.value.hint
    with pytest.raises(SpecError, match="gunicorn never tells"):
        render(apps.app(command=("/usr/bin/gunicorn", "x:y"), watchdog=Watchdog()), apps.MACHINE, "/run")
    with pytest.raises(SpecError, match="is not node"):
        render(apps.app(ready=parse.ready("send")), apps.MACHINE, "/run")


def test_hypercorn_is_given_all_its_sockets() -> None:
    """Also that on which it is asked."""
    app = apps.app(command=("/usr/bin/hypercorn", "x:y"), listen=(Listen(address="80"),), ready=parse.ready("tcp"))
    assert preload.argv(app, "", 2)[2:] == ("--bind", "fd://3", "--bind", "fd://4")


# ---- the program that asks, by itself


def ask(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What it says of an instance whose main process is this one."""
    told = {"MAINPID": str(os.getpid()), "PORT": "1"} | env
    command = ("/usr/bin/python3", "-I", "-S", ASK, "ready", *words)
    return subprocess.run(command, capture_output=True, text=True, env=told, check=False, timeout=20)


def ask_for(seconds: float, *words: str) -> str:
    """What it says when systemd ends it, as it does at TimeoutStartSec=."""
    told = {"MAINPID": str(os.getpid())}
    command = ("/usr/bin/python3", "-I", "-S", ASK, "ready", *words)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=told) as asking:
        try:
            asking.wait(seconds)
        except subprocess.TimeoutExpired:
            asking.terminate()
        return asking.communicate()[1].strip()


def test_a_connection_that_nobody_accepts_is_no_answer() -> None:
    """The kernel connects whoever knocks, as long as the socket is there."""
    with listening() as sock:
        assert ask_for(1, f"at=127.0.0.1:{port_of(sock)}") == (
            f"not ready: 127.0.0.1:{port_of(sock)}: no connection is accepted yet"
        )
        connection, _ = sock.accept()
        connection.close()


def test_it_ends_with_the_main_process() -> None:
    """However long the answer may take."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    with listening() as sock:
        asked = ask(f"at=127.0.0.1:{port_of(sock)}", "timeout=60", MAINPID=str(ended.pid))
    assert asked.returncode == 1


def test_https_is_asked_whatever_its_certificate(tmp_path: Path) -> None:
    """As other supervisors' probes do."""
    files = node_apps.certificate(tmp_path)
    with (
        listening() as sock,
        node_apps.Node(node_apps.program("https.cjs"), sockets={"web": sock}, **files),
    ):
        words = ("scheme=https", "host=localhost", "path=/", "statuses=200")
        assert ask(f"at=127.0.0.1:{port_of(sock)}", *words).returncode == 0


def test_what_is_no_http_is_said() -> None:
    """A server of something else."""
    with listening() as sock:
        words = ("what=GET it", "scheme=http", "host=localhost", f"at=127.0.0.1:{port_of(sock)}")
        told = {"MAINPID": str(os.getpid())}
        command = ("/usr/bin/python3", "-I", "-S", ASK, "ready", *words)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=told) as asking:
            for _ in range(2):
                connection, _ = sock.accept()
                connection.sendall(b"220 mail\r\n")
                connection.close()
            asking.terminate()
            assert asking.communicate()[1].startswith("not ready: GET it: ")


# ---- on a real systemd


@pytest.mark.parametrize("how", ["bad", "stopped", "stopped, shared"])
def test_an_instance_that_does_not_answer_is_restarted(manager: Manager, how: str) -> None:
    """It alone; and the events, and what is told of it, say why."""
    watchdog = OFTEN if how == "bad" else replace(OFTEN, when=WatchdogWhen.TCP)
    port = programs.free_port()
    shared = {"listen": (Listen(address=f"127.0.0.1:{port}"),)} if "shared" in how else {"port": port}
    before = manager.start(server(instances=2, watchdog=watchdog, **shared))
    with manager.watch("web@0") as events:
        if how == "bad":
            assert get(port, "/bad")[0] == 500
        else:
            manager.send_signal("web@0", "STOP")
        assert [(end.pid, end.result) for end in until_started(events)] == [(before.instances[0].pid, "watchdog")]
    after = manager.get("web")
    assert [one.restarts for one in after.instances] == [1, 0]
    assert after.instances[1].pid == before.instances[1].pid
    (told,) = manager.describe("web@0")
    (one,) = told.instances
    assert one.why is None
    assert one.ended
    assert "the watchdog ended it: " in one.ended.what
    assert ("answered 500, wanted 200 to 399 (2 of 2)" if how == "bad" else "accept") in one.ended.what


def test_a_watch_leaves_alone_what_starts_and_what_stops(manager: Manager) -> None:
    """A start takes longer than all its patience, and so does an end in which nothing is answered any more."""
    watchdog = replace(OFTEN, timeout=0.1, failures=1)
    for mode in KillMode:
        status = manager.start(server(slow=0.6, drain=0.8, watchdog=watchdog, kill_mode=mode), force=True)
        assert [(one.state, one.restarts) for one in status.instances] == [("active", 0)]
        began = time.monotonic()
        (stopped,) = manager.stop("web")
        assert time.monotonic() - began > 0.8
        assert [(one.state, one.result) for one in stopped.instances] == [("inactive", "success")]


def test_a_watch_comes_and_goes_with_the_app(manager: Manager) -> None:
    """Scaled, saved, reloaded and stopped, it needs nothing of its own; no socket for its questions stays behind."""
    port = programs.free_port()
    app = server(
        instances=2, listen=(Listen(address=f"127.0.0.1:{port}"),), watchdog=replace(OFTEN, url=f"http://x:{port}/")
    )
    manager.start(app)
    assert _watched(manager) == 2
    manager.scale("web", 3)
    manager.save("web")
    assert _watched(manager) == 3
    assert any(file.name == "pysup-web.py" for file in manager.describe("web")[0].files)
    manager.reload("web")
    manager.scale("web", 1)
    assert _watched(manager) == 1
    manager.reload(replace(app, instances=1, ready=Ready(), watchdog=None))
    assert _watched(manager) == 0
    assert _probes(manager.scope) == []
    manager.reload(replace(app, instances=1))
    assert _watched(manager) == 1
    assert _probes(manager.scope) == ["pysup-web:probe@0.socket"]
    manager.stop("web@0")
    assert _probes(manager.scope) == []


def test_a_reload_that_adds_a_watchdog_loses_no_request(manager: Manager) -> None:
    """systemd reads the new units while old instances run that say nothing: it leaves them alone."""
    port = programs.free_port()
    app = server(instances=2, listen=(Listen(address=f"127.0.0.1:{port}"),))
    manager.start(app)
    with hammer.load(port) as tally:
        tally.wait_for(50)
        (after,) = manager.reload(replace(app, watchdog=Watchdog(interval=1)))
        tally.wait_for(500)
    assert tally.failures == []
    assert [(one.state, one.restarts) for one in after.instances] == [("active", 0)] * 2


def test_a_program_that_stops_telling_that_it_lives_is_restarted(manager: Manager) -> None:
    """The watchdog of systemd itself, fed by pysup.daemon."""
    manager.start(server(watchdog=Watchdog(interval=1)))
    with manager.watch() as events:
        manager.send_signal("web", "STOP")
        assert [end.result for end in until_started(events)] == ["watchdog"]


@pytest.mark.systemd
def test_the_command_reports_a_version_that_answers_wrongly(pysup: Command) -> None:
    """Exit code 1; what it answered, what that means for the rest, and the last line; the old one answers on."""
    port = programs.free_port()
    script = f"from http.server import *; import socket, sys; from pysup import daemon\n{ANSWERING}"
    asked = ("--ready", f"http://127.0.0.1:{port}/ 200", "--ready-timeout", "1500ms")
    start = ("start", sys.executable, "--name", "web", "--listen", str(port), *asked)
    try:
        pysup(*start, "--", "-c", script, "200")
        failed = pysup(*start, "--rolling", "--", "-c", script, "503", check=False)
        assert failed.returncode == 1
        assert "was not ready within 1.5 s: GET" in failed.stderr
        assert "answered 503, wanted 200; nothing else was touched" in failed.stderr
        assert "| not ready: GET" in failed.stderr
        assert get(port)[0] == 200
    finally:
        pysup("delete", "all")


@pytest.mark.systemd
def test_a_reload_to_another_account_takes_the_sockets_for_questions_along() -> None:
    """Only the account that an instance runs as may ask it there."""
    port = programs.free_port()
    app = server(listen=(Listen(address=f"127.0.0.1:{port}"),), instances=2)
    with Manager() as manager:
        try:
            manager.start(app)
            with hammer.load(port) as tally:
                tally.wait_for(50)
                (after,) = manager.reload(replace(app, user=grounds.USER))
                tally.wait_for(50)
            assert tally.failures == []
            assert [one.user for one in after.instances] == [grounds.USER] * 2
            assert Path("/run/pysup-probe/web@1").owner() == grounds.USER
        finally:
            manager.delete("all")


@pytest.mark.systemd
def test_a_node_program_whose_event_loop_hangs_is_restarted() -> None:
    """The preload tells systemd from the loop; nothing in the program need know."""
    port = programs.free_port()
    node = (node_apps.which(), "-e", HANGING)
    app = apps.app(command=node, port=port, ready=parse.ready("tcp"), watchdog=Watchdog(interval=1))
    with Manager() as manager:
        try:
            (before,) = manager.start(app).instances
            with manager.watch() as events:
                status, body = get(port)
                assert (status, body) == (200, str(before.pid))
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(b"GET /hang HTTP/1.0\r\n\r\n")
                    ends = until_started(events)
            assert [(end.result, end.signal) for end in ends] == [("watchdog", signal.SIGABRT)]
        finally:
            manager.delete("all")


@pytest.mark.systemd
def test_node_says_when_it_is_ready_or_the_start_fails(tmp_path: Path) -> None:
    """PM2's wait_ready: listening is not enough, process.send('ready') is."""
    port, go = programs.free_port(), tmp_path / "go"
    tmp_path.chmod(0o755)
    command = (node_apps.which(), str(node_apps.program("late.cjs")))
    env = {"PORT": str(port), "GO": str(go)}
    app = apps.app(command=command, env=env, listen=(Listen(address=str(port)),), ready=parse.ready("send", timeout=1))
    with Manager() as manager:
        try:
            with pytest.raises(Exception, match=r"within 1 s: it did not call process.send\('ready'\)"):
                manager.start(app)
            go.touch()
            assert manager.start(app, force=True).instances[0].is_up
        finally:
            manager.delete("all")


# Answers with the status that is its argument, on all of its sockets.
ANSWERING = """
import threading
class Answer(BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(int(sys.argv[1])); self.end_headers()
    def log_message(self, *_): pass
    def address_string(self): return ""
for sock in daemon.listen_sockets():
    server = ThreadingHTTPServer(("", 0), Answer, bind_and_activate=False)
    server.socket = sock
    threading.Thread(target=server.serve_forever).start()
"""

HANGING = """
require('http').createServer((request, response) => {
  if (request.url === '/hang') for (;;);
  response.end(String(process.pid));
}).listen(process.env.PORT)
"""


def _watched(manager: Manager) -> int:
    """How many instances of the app answer, each watched by one process."""
    found = manager.describe("web")[0].instances
    assert all(one.instance.is_up for one in found)
    return sum(_has_watcher(one.instance, one.pids) for one in found)


def _has_watcher(one: Instance, pids: tuple[int, ...]) -> bool:
    others = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in pids if pid != one.pid]
    watchers = [words for words in others if b"watch" in words]
    assert len(watchers) <= 1
    assert all(words[0] == b"/usr/bin/python3" for words in watchers)
    return bool(watchers)


def _probes(scope: Scope) -> list[str]:
    """The sockets for questions that are there."""
    listed = ["systemctl", f"--{scope.value}", "list-units", "--plain", "--no-legend", "pysup-web:probe@*"]
    return [
        line.split()[0]
        for line in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    ]
