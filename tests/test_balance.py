"""Balancers before programs that only know a PORT: the real HAProxy and nginx on a real systemd, under load."""

from __future__ import annotations

import csv
import http.client
import operator
import os
import random
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

import apps
import hammer
import node_apps
import port_program
import programs
import running
from pysup import balancers, parse, spec
from pysup.app import App
from pysup.balance import Balance, Mode, Program
from pysup.balancing import Wish
from pysup.converge import configuration
from pysup.errors import Conflict, JobFailed, NotFound, SpecError, StartFailed
from pysup.events import Started
from pysup.host import balancers as installed
from pysup.listen import Listen
from pysup.reload import ReloadOptions
from pysup.sync import Manager
from pysup.unit import AppStatus, Scope

PROGRAMS = pytest.mark.parametrize("program", list(Program))
READY = parse.ready("tcp", timeout=60)


@pytest.fixture
def system() -> Iterator[Manager]:
    """The machine's."""
    with Manager(Scope.SYSTEM) as made:
        yield made
        made.delete("all")


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nothing listens on; none that ``programs.free_port`` gives."""
    while True:
        first = random.randrange(10000, 20000 - count)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def web(port: int, version: str = "one", **fields: object) -> App:
    """Three instances, each on a port of its own."""
    command = (sys.executable, "-S", port_program.__file__, version)
    return apps.app(**{"command": command, "instances": 3, "port": port, "ready": READY, **fields})


def wish(port: int, program: Program, **fields: object) -> Wish:
    """A balancer on a port."""
    return Wish(listen=(Listen(address=str(port)),), program=program, **fields)  # type: ignore[arg-type]


def pids(status: AppStatus) -> set[int]:
    """The main processes of an app."""
    return {one.pid for one in status.instances}


def instances(tally: hammer.Tally) -> set[str]:
    """Which of them have answered."""
    return {answer.split()[1] for answer in tally.answers}


def kill(manager: Manager, number: int) -> None:
    """Kill an instance, and see it started again."""
    with manager.watch("web") as events:
        manager.send_signal(f"web@{number}", "KILL")
        next(event for event in events if isinstance(event, Started) and event.name.number == number)


def balancer(program: Program, mode: Mode = Mode.HTTP, **fields: object) -> App:
    """An app that is one; named so that its name needs care."""
    modules = installed.stream_modules() if (program, mode) == (Program.NGINX, Mode.TCP) else ()
    found = {"argv": installed.argv(program.value), "modules": modules, "account": installed.account(program.value)}
    balance = Balance(app="my-web.2", program=program, mode=mode, **found, **fields)  # type: ignore[arg-type]
    listen = (Listen(address="29000"), Listen(address="127.0.0.1:29001"), Listen(address="[::1]:29002"))
    return apps.app("b-1", balance=balance, listen=listen, command=balancers.command(balance, len(listen)))


def part(program: Program, include: str, **fields: object) -> App:
    """An app that is a part of the machine's own server."""
    given = {"argv": (f"/usr/sbin/{program}",), "binds": ("29000",), **fields}
    balance = Balance(app="my-web.2", program=program, include=include, **given)  # type: ignore[arg-type]
    return apps.app("b-1", balance=balance)


@PROGRAMS
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("sticky", [False, True])
def test_the_programs_themselves_take_the_configuration(
    tmp_path: Path, program: Program, mode: Mode, sticky: bool
) -> None:
    """All kinds of it, with health checks where there are some, and for an app on a unix socket, too."""
    health = "/health?a=b%20c" if program is Program.HAPROXY and mode is Mode.HTTP else ""
    made = balancer(program, mode, sticky=sticky, health=health)
    assert made.balance
    shared = apps.app(listen=(Listen(address="/run/web.sock"),))
    tmp_path.chmod(0o755)
    for behind in (apps.app(port=9001, instances=5), shared, apps.app(listen=(Listen(address="8080"),))):
        file = tmp_path / "config"
        file.write_text(configuration(made, behind, range(5)))
        ((_, checking), *_) = balancers.service_section(made.balance, str(file))
        said = subprocess.run(
            shlex.split(checking.removeprefix(":")),
            env={"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0, said.stderr


def test_haproxy_takes_a_part_beside_the_machines_own_file(tmp_path: Path) -> None:
    """It sets no defaults, which would be for what comes after it, and needs none."""
    for mode in Mode:
        made = part(Program.HAPROXY, "/etc/haproxy/x.cfg", mode=mode, binds=("29000", "127.0.0.1:29001"), sticky=True)
        file = tmp_path / "x.cfg"
        file.write_text(configuration(made, apps.app(port=9001), range(3)))
        assert "defaults" not in file.read_text()
        words = ["haproxy", "-c", "-q", "-f", "/etc/haproxy/haproxy.cfg", "-f", str(file)]
        subprocess.run(words, check=True, env={"PATH": "/usr/sbin:/usr/bin"})


def test_a_part_of_the_machines_server_does_not_listen_itself() -> None:
    """The server does; nginx cannot balance TCP there."""
    with pytest.raises(SpecError, match="listens itself"):
        replace(part(Program.NGINX, "/etc/x"), listen=(Listen(address="9000"),))
    with pytest.raises(SpecError, match="http block"):
        part(Program.NGINX, "/etc/x", mode=Mode.TCP)
    with pytest.raises(SpecError, match="no address"):
        part(Program.NGINX, "/etc/x", binds=())


@PROGRAMS
def test_a_balancer_is_read_back_from_its_unit(program: Program) -> None:
    """With all that it was asked for."""
    made = balancer(program, Mode.TCP, sticky=True, timeout=5.0)
    assert spec.decode(spec.encode(made), {}, where="here") == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("health", "/a b"),
        ("health", "/a\nserver evil 1.2.3.4:80"),
        ("health", "/a;"),
        ("host", "a b"),
        ("host", "127.0.0.1;"),
        ("account", "root\n"),
        ("app", "a b"),
        ("program", "caddy"),
        ("timeout", 0),
        ("argv", ("haproxy",)),
        ("argv", ()),
        ("modules", ("/a; evil",)),
        ("binds", ("/a b",)),
    ],
)
def test_what_could_be_more_than_a_value_is_refused(field: str, value: object) -> None:
    """No text of a user's becomes a line of the configuration."""
    usual = {"app": "web", "program": "haproxy", "argv": ("/usr/sbin/haproxy",)}
    with pytest.raises(SpecError):
        Balance(**{**usual, field: value})  # type: ignore[arg-type]


def test_a_path_that_could_be_more_than_one_word_is_refused() -> None:
    """Of a socket that the app listens on."""
    with pytest.raises(SpecError, match="address"):
        configuration(balancer(Program.HAPROXY), apps.app(listen=(Listen(address="/run/a b", name="a"),)), [0])


def test_nginx_asks_nobody_for_health_and_listens_on_no_file() -> None:
    """It cannot; and it removes the file of a socket that systemd holds."""
    with pytest.raises(SpecError, match="health"):
        balancer(Program.NGINX, health="/health")
    with pytest.raises(SpecError, match="unix socket"):
        replace(balancer(Program.NGINX), listen=(Listen(address="/run/x.sock"),))


def test_a_balancer_is_one_instance() -> None:
    """And listens."""
    for fields in ({"instances": 2}, {"listen": ()}):
        with pytest.raises(SpecError, match="is a balancer"):
            replace(balancer(Program.HAPROXY), **fields)  # type: ignore[arg-type]


@PROGRAMS
def test_the_talks_demo(scope: Scope, pysup: Callable[..., object], program: Program) -> None:
    """Three programs behind one port by one command: killed in turn, reloaded, scaled; the client sees nothing."""
    base, port = free_ports(16), programs.free_port()
    with Manager(scope) as manager:
        try:
            manager.start(web(base))
            pysup("balance", "web", "--with", program.value, "--port", str(port))
            with hammer.load(port) as tally:
                tally.wait_for(100)
                assert instances(tally) == {"0", "1", "2"}
                for number in range(3):
                    kill(manager, number)
                    tally.wait_for(100)
            killed = tally.failures
            with hammer.load(port) as tally:
                before = manager.get("web")
                manager.reload("web")
                assert not pids(before) & pids(manager.get("web"))
                for count in (2, 4, 1):
                    manager.scale("web", count)
                    tally.wait_for(100)
            assert tally.failures == []
            assert instances(tally) == {"0", "1", "2", "3"}
            assert len(killed) <= 3 * 8  # requests in flight, at most
            assert manager.delete("web") == ["web", "web-balancer"]
        finally:
            manager.delete("all")


@pytest.mark.systemd
def test_reloads_behind_haproxy_fail_no_request(system: Manager) -> None:
    """Of a program that only knows a PORT and ends at once: 16 clients that connect each time, 256 that keep theirs."""
    base, port = free_ports(16), programs.free_port()
    system.start(web(base, instances=2))
    system.balance("web", wish(port, Program.HAPROXY))
    with hammer.load(port, clients=16) as new, hammer.load(port, clients=256, keep_alive=True) as kept:
        for _ in range(3):
            new.wait_for(20)
            kept.wait_for(200)
            system.reload("web")
        new.wait_for(100)
        kept.wait_for(300)
    assert (new.failures, kept.failures) == ([], [])
    assert not system._store.has_spare("web")


@pytest.mark.systemd
def test_instances_that_stand_still_for_a_moment_are_not_taken_for_dead(system: Manager) -> None:
    """Though many connections to all of them take too long: their own checks decide, which give them half a second."""
    base, port = free_ports(16), programs.free_port()
    system.start(web(base, instances=2, env={"BACKLOG": "4"}))
    system.balance("web", wish(port, Program.HAPROXY))
    with hammer.load(port, clients=32) as tally:
        for _ in range(20):  # until the machine was as quick as that
            tally.wait_for(100)
            downs = counted("chkdown")
            errors = [one + 20 for one in counted("wredis")]
            began = time.monotonic()
            for pid in (stopped := pids(system.get("web"))):
                os.kill(pid, signal.SIGSTOP)
            running.wait_until(lambda wanted=errors: all(map(operator.ge, counted("wredis"), wanted)))
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            if time.monotonic() - began < 0.5:
                break
    assert counted("chkdown") == downs


def counted(what: str) -> list[int]:
    """A counter of HAProxy's for each instance of the app web that serves."""
    with socket.socket(socket.AF_UNIX) as api:
        api.connect("/run/pysup-web-balancer@0/api")
        api.sendall(b"show stat\n")
        text = api.makefile().read()
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return [int(row[what]) for row in rows if row["svname"] in ("web-0", "web-1")]


@pytest.mark.parametrize("broken", ["crash", "mute"])
@pytest.mark.systemd
def test_a_broken_version_touches_nothing(system: Manager, broken: str) -> None:
    """One that ends at once; and one that never listens, which nobody but the balancer would notice."""
    base, port = free_ports(16), programs.free_port()
    app = web(base, instances=2, ready=parse.ready("exec", timeout=2))
    before = system.start(app)
    system.balance("web", wish(port, Program.HAPROXY))
    with hammer.load(port) as tally:
        with pytest.raises(StartFailed, match="nothing else was touched"):
            system.reload(replace(app, command=(*app.command[:-1], broken)))
        tally.wait_for(50)
    after = system.get("web")
    assert (pids(after), after.spec, tally.failures) == (pids(before), app, [])


@pytest.mark.systemd
def test_a_version_that_fails_without_a_spare_is_left_out_and_put_back(system: Manager) -> None:
    """The balancer serves the others meanwhile."""
    base, port = free_ports(16), programs.free_port()
    app = web(base, instances=2)
    system.start(app)
    system.balance("web", wish(port, Program.HAPROXY))
    with hammer.load(port) as tally:
        broken = replace(app, command=(*app.command[:-1], "crash"))
        with pytest.raises(StartFailed, match="old settings are back"):
            system.reload(broken, options=ReloadOptions(surge=False))
        tally.wait_for(100)
    assert tally.failures == []
    assert instances(tally) == {"0", "1"}


@pytest.mark.systemd
def test_all_at_once_the_spares_serve_while_instances_are_replaced(system: Manager) -> None:
    """Blue and green: as many of the new version on spare ports as there are of the old one."""
    base, port = free_ports(16), programs.free_port()
    app = web(base, instances=2)
    system.start(app)
    system.balance("web", wish(port, Program.HAPROXY))
    with hammer.load(port) as tally:
        tally.wait_for(20)
        green = replace(app, command=(*app.command[:-1], "two"))
        system.reload(green, options=ReloadOptions(parallel="100%"))
        tally.wait_for(50)
    assert tally.failures == []
    assert {answer.rpartition(" ")[0] for answer in tally.answers} == {
        *("one 0", "one 1", "two 0", "two 1"),
        *("two 2", "two 3"),  # on the ports behind
    }


@PROGRAMS
@pytest.mark.systemd
def test_changed_ports_are_followed_while_instances_are_replaced(system: Manager, program: Program) -> None:
    """One by one, from the old ports to the new ones."""
    base, other, port = free_ports(16), free_ports(16), programs.free_port()
    app = web(base)
    system.start(app)
    system.balance("web", wish(port, program))
    with hammer.load(port) as tally:
        tally.wait_for(20)
        system.reload(replace(app, port=other, command=(*app.command[:-1], "two")))
        tally.wait_for(100)
    assert tally.failures == []
    assert {answer.split()[0] for answer in tally.answers} == {"one", "two"}


@PROGRAMS
@pytest.mark.systemd
def test_a_balancer_changes_and_even_dies_without_a_refused_connection(system: Manager, program: Program) -> None:
    """systemd holds its socket: it becomes sticky, is killed, and becomes the other program."""
    base, port = free_ports(16), programs.free_port()
    system.start(web(base))
    system.balance("web", wish(port, program))
    with hammer.load(port) as tally:
        for change in (Wish(sticky=True), Wish(program=next(other for other in Program if other is not program))):
            tally.wait_for(50)
            system.balance("web", change)
        tally.wait_for(50)
        assert tally.failures == []
        system.send_signal("web-balancer", "KILL", whom="all")
        tally.wait_for(200)
    assert not [failure for failure in tally.failures if "Refused" in failure]


@contextmanager
def conversation(port: int, *headers: str) -> Iterator[socket.socket]:
    """A connection on which a request was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall("\r\n".join(("GET / HTTP/1.1", "Host: localhost", *headers, "", "")).encode())
        yield sock


def ask(port: int, cookie: str = "") -> tuple[str, str]:
    """(which instance answers, the cookie that it has us keep)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    number = answer.read().decode().split()[1]
    connection.close()
    return number, (answer.getheader("Set-Cookie") or "").partition(";")[0]


@PROGRAMS
@pytest.mark.systemd
def test_sticky_clients_stay_until_their_instance_goes(system: Manager, program: Program) -> None:
    """By a cookie; when the instance is gone they are served by another one."""
    base, port = free_ports(16), programs.free_port()
    system.start(web(base))
    system.balance("web", wish(port, program, sticky=True))
    clients = [ask(port) for _ in range(12)]
    assert len({number for number, _ in clients}) > 1
    for number, cookie in clients:
        assert cookie
        assert {ask(port, cookie) for _ in range(4)} == {(number, "")}
    number, cookie = clients[0]
    system.stop(f"web@{number}")
    assert ask(port, cookie)[0] != number


@PROGRAMS
@pytest.mark.systemd
def test_connections_are_upgraded(system: Manager, program: Program) -> None:
    """As WebSockets are: what is sent after that comes back."""
    base, port = free_ports(16), programs.free_port()
    system.start(web(base))
    system.balance("web", wish(port, program))
    with conversation(port, "Connection: Upgrade", "Upgrade: echo") as sock:
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        sock.sendall(b"ping")
        assert sock.recv(4096) == b"ping"


@PROGRAMS
@pytest.mark.systemd
def test_tls_is_passed_through(system: Manager, program: Program, tmp_path: Path) -> None:
    """With --tcp, the program's own certificate reaches the client; a sticky client stays with its instance."""
    base, port = free_ports(16), programs.free_port()
    files = node_apps.certificate(tmp_path)
    node = ("/usr/bin/env", "node", str(node_apps.program("https.cjs")))
    env = {
        **files,
        "PATH": os.environ["PATH"],
        "NODE_OPTIONS": "--dns-result-order=ipv4first",
    }  # localhost is 127.0.0.1
    system.start(web(base, command=node, env=env))
    system.balance("web", wish(port, program, mode=Mode.TCP, sticky=True))
    with hammer.load(port, tls=ssl.create_default_context(cafile=files["CERT"])) as tally:
        tally.wait_for(30)
        before = dict(tally.answers)
        system.reload("web")
        tally.wait_for(30)
    assert len(before) == 1
    assert tally.failures == []


@pytest.mark.systemd
def test_a_saved_balancer_knows_what_was_scaled(system: Manager) -> None:
    """Its file goes where units stay; it is right when it is started anew, and gone with the app."""
    base, port = free_ports(16), programs.free_port()
    system.start(web(base))
    system.balance("web", wish(port, Program.HAPROXY))
    system.save("all")
    system.scale("web", 2)
    system.stop("web-balancer")
    system.scale("web", 5)
    system.start("web-balancer")
    with hammer.load(port, clients=2) as tally:
        tally.wait_for(60)
        system.scale("web", 9)  # more than it has room for: it is reloaded
        tally.wait_for(100)
    assert tally.failures == []
    assert instances(tally) == set(map(str, range(9)))
    system.delete("web")
    assert not [file for file in system._store.saved.iterdir() if "web" in file.name]


@pytest.fixture
def nginx() -> Iterator[Path]:
    """The machine's own nginx, which runs in the box for a test; the directory that it includes."""
    subprocess.run(["systemctl", "start", "nginx"], check=True)
    yield Path("/etc/nginx/conf.d")
    subprocess.run(["systemctl", "stop", "nginx"], check=True)


@pytest.mark.systemd
def test_a_balancer_can_be_a_part_of_the_machines_own_server(system: Manager, nginx: Path) -> None:
    """It is changed there without a failed request, and leaves nothing behind; what is not ours stays as it is."""
    base, port, file = free_ports(16), programs.free_port(), nginx / "web.conf"
    wished = wish(port, Program.NGINX, include=str(file))
    system.start(web(base, instances=2))
    file.write_text("# mine\n")
    with pytest.raises(Conflict, match="not this balancer's"):
        system.balance("web", wished)
    assert file.read_text() == "# mine\n"
    file.unlink()
    system.balance("web", wished)
    with hammer.load(port) as tally:
        system.reload("web")
        system.scale("web", 3)
        system.balance("web", Wish(sticky=True))
        tally.wait_for(100)
        file.write_text("# mine again\n")
        with pytest.raises(JobFailed, match="goes on with the old one"):
            system.scale("web", 4)
    assert (tally.failures, file.read_text()) == ([], "# mine again\n")
    assert instances(tally) == {"0", "1", "2"}
    file.unlink()
    system.restart("web-balancer")
    system.delete("web")
    assert not file.exists()


@pytest.mark.systemd
def test_what_the_machines_server_does_not_take_is_taken_back(system: Manager, nginx: Path) -> None:
    """Its own check fails, here because of somebody else's file: the balancer is not made."""
    base, file, broken = free_ports(16), nginx / "web.conf", nginx / "a.conf"
    system.start(web(base, instances=1))
    broken.write_text("nonsense;\n")
    try:
        with pytest.raises(StartFailed) as caught:
            system.balance("web", wish(programs.free_port(), Program.NGINX, include=str(file)))
    finally:
        broken.unlink()
    assert "nonsense" in "".join(caught.value.log)
    assert [app.name for app in system.list()] == ["web"]
    assert not file.exists()


@pytest.mark.systemd
def test_what_cannot_be_balanced_is_refused(system: Manager) -> None:
    """Nobody there; nowhere to connect to; a port that instances will have; a name that is taken."""
    base = free_ports(16)
    with pytest.raises(NotFound):
        system.balance("web", Wish())
    system.start(apps.app("other"))
    with pytest.raises(SpecError, match="listens nowhere"):
        system.balance("other", Wish())
    app = web(base)
    system.start(app)
    with pytest.raises(SpecError, match="for instances of"):
        system.balance("web", wish(base + 3, Program.HAPROXY))
    with pytest.raises(Conflict):
        system.balance("web", Wish(name="other"))
    system.balance("web", wish(programs.free_port(), Program.HAPROXY))
    with pytest.raises(SpecError, match="listens nowhere"):
        system.start(replace(app, port=None, ready=parse.ready("exec")), force=True)
    assert system.get("web").spec == app
