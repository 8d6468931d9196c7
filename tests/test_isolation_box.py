"""Real programs under each level, with all that pysup has in a unit: they serve, and cannot do what they must not."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import apps
import grounds
import node_apps
import programs
from pysup import names
from pysup.app import App, Log
from pysup.errors import SpecError, StartFailed
from pysup.events import Exited
from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
from pysup.isolate import Isolation, Level
from pysup.journal import Kind
from pysup.listen import Listen
from pysup.logs import LogOptions
from pysup.sync import Manager
from pysup.unit import Scope
from running import Running

LEVELS = [Level.BASIC, Level.STRICT, Level.PARANOID]

# All three answer what they could do: {"PATH": "ok" or an error} for writing, "home" for what they see of other homes.
NODE = """
const fs = require("fs"), http = require("http");
const tries = process.env.TRIES.split(":"), other = process.env.OTHER;
http.createServer((request, response) => {
  if (request.url === "/hang") for (;;);
  const found = {};
  for (const path of tries)
    try { fs.writeFileSync(path + "/written", "x"); found[path] = "ok"; } catch (error) { found[path] = error.code; }
  found.home = fs.existsSync(other);
  found.pid = process.pid;
  response.end(JSON.stringify(found));
}).listen(Number(process.env.PORT || process.argv[2]));
console.log("out"); console.error("err");
"""
PYTHON = """
import errno, http.server, json, os, sys, time
from pysup import daemon
def look():
    found = {"home": os.path.exists(os.environ["OTHER"]), "pid": os.getpid()}
    for path in os.environ["TRIES"].split(":"):
        try:
            open(path + "/written", "w").close()
            found[path] = "ok"
        except OSError as exc:
            found[path] = errno.errorcode[exc.errno]
    return json.dumps(found).encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = look()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
print("out", flush=True); print("err", file=sys.stderr)
daemon.notify_ready()
import threading
threading.Thread(target=lambda: [print("got", line.strip(), flush=True) for line in sys.stdin], daemon=True).start()
server.serve_forever()
"""
GO = """
package main

import ("fmt"; "net"; "os"; "strings")

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:" + os.Getenv("PORT"))
	if err != nil { panic(err) }
	fmt.Println("out")
	for {
		connection, err := listener.Accept()
		if err != nil { panic(err) }
		connection.Read(make([]byte, 65536))
		body := ""
		for _, path := range strings.Split(os.Getenv("TRIES"), ":") {
			said := "ok"
			if err := os.WriteFile(path + "/written", nil, 0o600); err != nil { said = "refused" }
			body += fmt.Sprintf("%q: %q, ", path, said)
		}
		_, err = os.Stat(os.Getenv("OTHER"))
		body = fmt.Sprintf("{%s\\"home\\": %t, \\"pid\\": %d}", body, err == nil, os.Getpid())
		head := "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n"
		fmt.Fprintf(connection, head+"%s", len(body), body)
		connection.Close()
	}
}
"""


@pytest.fixture
def place(manager: Manager) -> Iterator[Path]:
    """A project in the home of whoever runs the test, with a directory for data; and something else beside it."""
    folder = Path.home() / "isolated"
    (folder / "project/data").mkdir(parents=True)
    (folder / "private").touch()
    yield folder / "project"
    manager.delete("all")
    shutil.rmtree(folder)


def isolated(place: Path, level: Level, command: tuple[str, ...], **fields: Any) -> App:
    """A program in the project, which may write to its data."""
    tries = (place, place / "data", "/tmp", "/etc")
    env = {"TRIES": ":".join(map(str, tries)), "OTHER": str(place.parent / "private")}
    isolation = Isolation(level=level, writable=(str(place / "data"),))
    usual: dict[str, Any] = {
        "name": f"web-{level}",
        "cwd": str(place),
        "env": env,
        "isolate": isolation,
        "command": command,
    }
    return apps.app(**usual | fields)


def get(port: int, path: str = "/") -> dict[str, Any]:
    """What a program says that it could do."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found


def expect_isolated(found: Mapping[str, Any], place: Path, level: Level) -> None:
    """Basic: it writes where its account may; above: where it was allowed to, and sees nothing else of the home."""
    is_basic = level is Level.BASIC
    assert found[str(place / "data")] == found["/tmp"] == "ok"
    assert found["/etc"] != "ok"
    assert (found[str(place)] == "ok") is is_basic
    assert found["home"] is is_basic
    assert not Path("/tmp/written").exists()


def until_other_pid(port: int, pid: int) -> dict[str, Any]:
    """The answer of another process than that."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found = get(port)
        except (OSError, http.client.HTTPException):
            continue
        if found["pid"] != pid:
            return found
    pytest.fail("nobody else answers")


@pytest.mark.parametrize("level", LEVELS)
def test_node_on_a_shared_socket_that_is_asked_and_watched(manager: Manager, place: Path, level: Level) -> None:
    """The preload, the questions, the brake and a reload work inside; a crash and a hang end as outside."""
    (place / "app.cjs").write_text(NODE)
    port = programs.free_port()
    url = f"http://127.0.0.1:{port}/"
    app = isolated(
        place,
        level,
        (node_apps.which(), str(place / "app.cjs"), str(port)),
        instances="per-core",
        listen=(Listen(address=f"127.0.0.1:{port}"),),
        ready=Ready(when=ReadyWhen.HTTP, url=url, timeout=60),
        watchdog=Watchdog(when=WatchdogWhen.HTTP, url=url, interval=0.3, timeout=1, failures=1),
    )
    manager.start(app)
    first = get(port)
    expect_isolated(first, place, level)
    os.kill(first["pid"], signal.SIGKILL)
    until_other_pid(port, first["pid"])
    manager.reload(app.name)
    with manager.watch(app.name) as events, closing(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        next(event for event in events if isinstance(event, Exited) and event.result == "watchdog")
    expect_isolated(get(port), place, level)


def test_python_with_log_files_and_standard_input(manager: Manager, scope: Scope, place: Path) -> None:
    """sd_notify, log files that it could not open itself, its input and its watchdog, at each level."""
    (place / "app.py").write_text(PYTHON)
    for level in LEVELS:
        log = place.parent / f"{level}.log"
        checkout = (str(grounds.ROOT),)  # for pysup.daemon, wherever it is
        app = isolated(
            place,
            level,
            (*programs.PYTHON[:1], str(place / "app.py")),
            isolate=Isolation(level=level, writable=(str(place / "data"),), readable=checkout),
            port=programs.free_port(),
            ready=Ready(when=ReadyWhen.NOTIFY, timeout=60),
            stdin=True,
            log=Log(output=str(log), error=str(log)),
        )
        manager.start(app)
        assert app.port
        expect_isolated(get(app.port), place, level)
        manager.send(app.name, "hello")
        with Running("logs", app.name) as following:
            following.expect("got hello")
        assert log.read_text().split() == ["out", "err", "got", "hello"]
        log.unlink()


def test_go_and_node_on_ports_of_their_own(manager: Manager, place: Path) -> None:
    """Each instance's lines come to the journal as ever; probes ask from where they can."""
    (place / "app.cjs").write_text(NODE)
    (place / "main.go").write_text(GO)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-o", "server", "main.go"], cwd=place, env=env, check=True)
    commands = {"go": (str(place / "server"),), "node": (node_apps.which(), str(place / "app.cjs"))}
    for name, command in commands.items():
        for level in LEVELS[1:]:
            began = time.time()
            app = isolated(
                place,
                level,
                command,
                name=f"{name}-{level}",
                port=programs.free_port(),
                ready=Ready(when=ReadyWhen.TCP),
            )
            manager.start(app)
            assert app.port
            expect_isolated(get(app.port), place, level)
            out = LogOptions(since=began, kinds=frozenset({Kind.OUT}))
            assert [entry.message for entry in manager.logs(app.name, options=out)] == ["out"]


def test_without_network_what_systemd_listens_on_is_served(manager: Manager, place: Path) -> None:
    """And nothing can be reached."""
    port = programs.free_port()
    reach = "try { require('child_process').execFileSync('/bin/sh', ['-c', 'cat /proc/net/route']) } catch {} "
    reach += f"require('net').connect({port}, '127.0.0.1').on('error', e => console.log(e.code));"
    (place / "app.cjs").write_text(NODE + reach)
    isolation = Isolation(level=Level.STRICT, network=("off",), writable=(str(place / "data"),))
    url = f"http://127.0.0.1:{port}/"
    app = isolated(
        place,
        Level.STRICT,
        (node_apps.which(), str(place / "app.cjs"), str(port)),
        isolate=isolation,
        listen=(Listen(address=f"127.0.0.1:{port}"),),
        ready=Ready(when=ReadyWhen.HTTP, url=url, timeout=60),
    )
    began = time.time()
    manager.start(app)
    expect_isolated(get(port), place, Level.STRICT)
    lines = manager.logs(app.name, options=LogOptions(since=began, kinds=frozenset({Kind.OUT})), follow=True)
    assert {next(lines).message, next(lines).message} & {"EPERM", "EACCES", "ECONNREFUSED", "EAFNOSUPPORT"}


def test_credentials_and_environment_files_are_handed_over(manager: Manager, scope: Scope, place: Path) -> None:
    """systemd reads them, wherever they are."""
    (place.parent / "values.env").write_text("FROM_FILE=yes\n")
    (place.parent / "secret").write_text("hidden")
    script = 'echo "$(cat "$CREDENTIALS_DIRECTORY/key") $FROM_FILE $A"; exec sleep infinity'
    began = time.time()
    app = isolated(
        place,
        Level.PARANOID,
        programs.shell(script),
        env={"A": "b"},
        env_files=(str(place.parent / "values.env"),),
        secrets={"key": f"credential:{place.parent / 'secret'}"},
    )
    manager.start(app)
    out = LogOptions(since=began, kinds=frozenset({Kind.OUT}))
    assert next(manager.logs(app.name, options=out, follow=True)).message == "hidden yes b"


@pytest.mark.systemd
def test_a_dynamic_account_has_its_state_and_low_ports(tmp_path: Path) -> None:
    """Over restarts; all instances are the same one, which can be asked over a shared socket; a reload keeps it."""
    folder = Path("/srv/dynamic")
    folder.mkdir()
    (folder / "app.cjs").write_text(NODE)
    port = programs.free_port()
    name = names.state_directory("web")
    state, cache = f"/var/lib/{name}", f"/var/cache/{name}"
    app = apps.app(
        command=(node_apps.which(), str(folder / "app.cjs"), str(port)),
        cwd=str(folder),
        env={"TRIES": f"{folder}:{state}:{cache}", "OTHER": "/root"},
        instances=2,
        listen=(Listen(address=f"127.0.0.1:{port}"),),
        ready=Ready(when=ReadyWhen.HTTP, url=f"http://127.0.0.1:{port}/", timeout=60),
        isolate=Isolation(level=Level.STRICT, dynamic_user=True, bind_low_ports=True),
    )
    with Manager(Scope.SYSTEM) as manager:
        try:
            manager.start(app)
            assert {one.user for one in manager.get("web").instances} <= {"pysup-web"} | {
                str(uid) for uid in range(61184, 65520)
            }
            found = get(port)
            assert [found[str(path)] for path in (folder, state, cache)] == ["EROFS", "ok", "ok"]
            manager.reload("web")
            assert get(port)[state] == "ok"
            manager.start(replace(app, isolate=Isolation()), force=True)  # and back to an ordinary account
            assert all(one.is_up for one in manager.get("web").instances)
        finally:
            manager.delete("web")
            shutil.rmtree(folder)
    assert Path(state, "written").exists()


@pytest.mark.systemd
def test_low_ports_for_an_ordinary_account(tmp_path: Path) -> None:
    """At strict: it is the one right that it has."""
    script = (
        "import http.server as h; h.ThreadingHTTPServer(('127.0.0.1', 81), h.BaseHTTPRequestHandler).serve_forever()"
    )
    command = (*programs.PYTHON, script)
    app = apps.app(command=command, user="ada", isolate=Isolation(level=Level.STRICT))
    with Manager(Scope.SYSTEM) as manager:
        with pytest.raises(StartFailed):
            manager.start(app)
        manager.delete("web")
        manager.start(apps.app(command=command, user="ada", isolate=Isolation(level=Level.STRICT, bind_low_ports=True)))
        assert manager.get("web").instances[0].is_up
        manager.delete("web")


def test_what_is_to_be_writable_must_be_there(manager: Manager) -> None:
    """Said before anything is written."""
    with pytest.raises(SpecError, match="'/srv/nothing' is not there") as caught:
        manager.start(apps.app(isolate=Isolation(level=Level.STRICT, writable=("/srv/nothing",))))
    assert "mkdir" in caught.value.hint


@pytest.mark.parametrize("path", ["/dev", "/etc/passwd"])
def test_only_a_device_is_one(manager: Manager, path: str) -> None:
    """systemd ignores a file, and lets nothing in that is in a directory."""
    with pytest.raises(SpecError, match=f"'{path}' is no device") as caught:
        manager.start(apps.app(isolate=Isolation(level=Level.STRICT, devices=(path,))))
    assert "/dev/dri/renderD128" in caught.value.hint
