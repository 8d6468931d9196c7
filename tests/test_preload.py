"""The preload: unmodified Node programs get the sockets that systemd holds, say that they are ready, stop gently."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import hammer
from activated import Client, Manager, listening, port_of
from node_apps import PRELOAD, Node, certificate, installed, program

ANSWER = "c => c.end(String(process.pid))"


def script(text: str) -> tuple[str, str]:
    """``node -e TEXT``."""
    return "-e", textwrap.dedent(text)


@pytest.mark.parametrize(
    "arguments",
    [
        "PORT",
        "String(PORT)",
        "PORT, '0.0.0.0'",
        "PORT, 'localhost', 100",
        "PORT, 100",
        "PORT, undefined, 100",
        "{port: PORT}",
        "{port: String(PORT), host: '::', backlog: 5}",
        "{fd: 3}",
    ],
)
def test_every_shape_of_listen_gets_the_socket(arguments: str) -> None:
    """Port and descriptor count, not the host; address, event and callback come as ever."""
    text = f"""
        const PORT = Number(process.env.PORT)
        const server = require('net').createServer({ANSWER})
        server.on('listening', () => console.log('event', server.listening))
        const returned = server.listen({arguments}, () => console.log(JSON.stringify(server.address())))
        console.log(returned === server)
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        said = ["true", "event true", f'{{"address":"127.0.0.1","family":"IPv4","port":{port_of(sock)}}}']
        assert said == [node.line() for _ in said]
        assert node.pid == _pid_behind(port_of(sock))


@pytest.mark.parametrize("argument", ["PATH", "{path: PATH}", "require('path').relative('.', PATH)"])
def test_a_path_gets_the_socket(tmp_path: Path, argument: str) -> None:
    """However it is written, address() answers it; and the file survives a close()."""
    path = str(tmp_path / "x.sock")
    text = f"""
        const PATH = {path!r}
        const server = require('http').createServer((q, r) => r.end('hi')).listen({argument}, () => {{
          console.log(server.address())
          server.close(() => server.listen(PATH, () => console.log('again')))
        }})
    """
    with listening(path) as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert [path, "again"] == [node.line(), node.line()]
        with hammer.load(path, clients=1) as tally:
            tally.wait_for(3)
    assert tally.failures == []


def test_other_ports_are_none_of_its_business() -> None:
    """Neither a free one nor one that was named."""
    text = """
        const net = require('net')
        net.createServer().listen(0, '127.0.0.1', function () {
          const { port } = this.address()
          const show = function () { console.log(this.address().port === port) }
          this.close(() => net.createServer().listen(port, 'localhost', show))
          console.log(port !== Number(process.env.PORT))
        })
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert [node.line(), node.line()] == ["true", "true"]


def test_what_comes_on_its_own_socket_is_for_the_same_server(tmp_path: Path) -> None:
    """As if it had come over the shared one, from this machine; while that is closed, it is turned away."""
    text = """
        const server = require('http').createServer((q, r) => {
          r.end([q.url, q.socket.remoteAddress, q.socket.server === server].join(' ') + '\\n')
          if (q.url === '/close') server.close(() => console.log('closed'))
        })
        server.listen(process.env.PORT, () => console.log('open', process.env.PYSUP_PROBE))
    """
    own = str(tmp_path / "own")
    with listening() as sock, listening(own) as asked:
        sockets = {"web": sock, "pysup-probe": asked}
        with Node(*script(text), sockets=sockets, PYSUP_LISTEN=f"web={port_of(sock)}", PYSUP_PROBE="web") as node:
            assert node.line() == "open undefined"
            with Client(port_of(sock)) as shared, Client(own) as alone:
                assert shared.ask("/").answer() == ("keep-alive", "/ 127.0.0.1 true")
                assert alone.ask("/").answer() == ("keep-alive", "/ 127.0.0.1 true")
                alone.ask("/close").answer()
                assert shared.is_ended()
            with Client(own) as late:
                assert late.is_ended()


def test_a_stand_in_for_a_port_looks_like_one(tmp_path: Path) -> None:
    """Where a new version is tried apart from all clients, it listens on a unix socket and need not know."""
    text = """
        const server = require('http').createServer((q, r) => r.end(q.socket.remoteAddress + '\\n'))
        server.listen(8080, () => console.log(JSON.stringify(server.address())))
    """
    own = str(tmp_path / "own")
    with listening(own) as sock, Node(*script(text), sockets={"web": sock}, PYSUP_LISTEN="web=127.0.0.1:8080") as node:
        assert node.line() == '{"address":"127.0.0.1","port":8080,"family":"IPv4"}'
        with Client(own) as client:
            assert client.ask("/").answer() == ("keep-alive", "127.0.0.1")


def test_the_watchdog_is_told_from_the_event_loop(tmp_path: Path) -> None:
    """At once, and again and again; not while the loop hangs."""
    text = "setTimeout(() => { console.log('hangs'); for (;;); }, 1000)"
    env = {"WATCHDOG_USEC": "300000"}
    with Manager(tmp_path) as manager, Node(*script(text), NOTIFY_SOCKET=manager.address, **env) as node:
        assert [manager.next() for _ in range(4)] == ["WATCHDOG=1"] * 4
        assert node.line() == "hangs"
        while manager.next(0.5):
            pass
        assert manager.next(0.5) is None


def test_a_socket_is_had_once_at_a_time() -> None:
    """The second to ask is told what Node tells it everywhere."""
    text = """
        const net = require('net')
        net.createServer().listen(process.env.PORT)
        net.createServer().listen(process.env.PORT, 'localhost').on('error', error =>
          console.log(error.code, error.syscall, error.errno, error.address, error.port, error instanceof Error))
        const other = net.createServer().listen(0)
        try { other.listen(process.env.PORT) } catch (error) { console.log(error.code) }
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert node.line() == "ERR_SERVER_ALREADY_LISTEN"
        assert node.line() == f"EADDRINUSE listen -98 localhost {port_of(sock)} true"


def test_close_and_listen_again() -> None:
    """While it is closed it accepts nothing, what comes in between waits; and an unreferenced server stays so."""
    text = """
        const server = require('http').createServer((q, r) => r.end(String(process.pid)))
        let closed = false
        server.on('connection', () => closed && console.log('accepted'))
        const again = () => server.listen(process.env.PORT, () => {
          closed = false
          console.log('open')
          setTimeout(() => {
            closed = true
            server.close(() => { console.log('closed'); setTimeout(again, 100) })
          }, 100)
        })
        again()
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        with hammer.load(port_of(sock), clients=2) as tally:
            seen = [node.line() for _ in range(10)]
        assert seen == ["open", "closed"] * 5
        assert tally.failures == []


def test_a_program_that_closes_ends() -> None:
    """A socket that nobody listens on keeps no process alive, nor does one whose server is unreferenced."""
    text = """
        const server = require('net').createServer().listen(process.env.PORT, () =>
          server.close(() => server.listen(process.env.PORT).unref()))
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert node.ended() == 0


def test_an_abort_signal_closes() -> None:
    """listen({signal}) works as without."""
    text = """
        const stop = new AbortController()
        require('net').createServer()
          .listen({ port: process.env.PORT, signal: stop.signal }, () => stop.abort())
          .on('close', () => console.log('closed'))
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert node.rest() == "closed"


def test_several_sockets(tmp_path: Path) -> None:
    """By port, by host where two have the same port, by path; each server gets its own."""
    text = """
        const net = require('net')
        const show = function () { console.log(JSON.stringify(this.address())) }
        const [port, path] = process.argv.slice(1)
        net.createServer().listen(Number(port), '::1', show)
        net.createServer().listen(Number(port), show)
        net.createServer().listen(path, show)
    """
    path = str(tmp_path / "x.sock")
    with listening() as four, listening(path) as unix, listening(port_of(four), "::1") as six:
        sockets = {"a": four, "b": six, "c": unix}
        with Node(*script(text), str(port_of(four)), path, sockets=sockets) as node:
            assert f'{{"address":"::1","family":"IPv6","port":{port_of(six)}}}' == node.line()
            assert f'{{"address":"127.0.0.1","family":"IPv4","port":{port_of(four)}}}' == node.line()
            assert f'"{path}"' == node.line()


def test_only_the_named_process_has_the_sockets() -> None:
    """Its children and threads have neither descriptors nor the word of pysup; LISTEN_PID tells the rest."""
    text = """
        const { spawnSync } = require('child_process')
        const { Worker } = require('worker_threads')
        const listen = "require('net').createServer().listen(process.env.PORT).on('error', e => console.log(e.code))"
        require('net').createServer().listen(process.env.PORT)
        const child = words => console.log(spawnSync(words[0], words.slice(1), { encoding: 'utf8' }).stdout.trim())
        child([process.execPath, ...process.execArgv.filter(word => word.startsWith('--require')), '-e', listen])
        child(['sh', '-c', 'echo $LISTEN_FDS $PYSUP_LISTEN; readlink /proc/$$/fd/3'])
        console.log(process.env.LISTEN_PID === String(process.pid))
        new Worker(listen, { eval: true })
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert [node.line() for _ in range(4)] == ["EADDRINUSE", "1", "true", "EADDRINUSE"]


def test_without_sockets_it_changes_nothing() -> None:
    """No patched function, no listener, nothing to see."""
    text = """
        console.log(require('net').Server.prototype.listen.toString().includes('fitting'), process.send,
          process.listenerCount('SIGTERM'), Object.keys(globalThis).some(name => /pysup/i.test(name)))
    """
    with Node(*script(text)) as node:
        assert node.rest() == "false undefined 0 false"


def test_a_shared_backlog_is_not_made_smaller() -> None:
    """Node's own 511 is for all who share the socket; pysup's --backlog holds, else the kernel's most."""
    text = "require('net').createServer().listen(process.env.PORT, () => console.log('ok'))"
    with listening() as sock:
        for env, expected in [
            ({}, Path("/proc/sys/net/core/somaxconn").read_text()),
            ({"PYSUP_BACKLOG": "web=77"}, "77"),
        ]:
            with Node(*script(text), sockets={"web": sock}, **env) as node:
                assert node.line() == "ok"
                shown = subprocess.check_output(["ss", "-Hltn", f"sport = {port_of(sock)}"], text=True)
                assert shown.split()[2] == expected.strip()


def test_ready_when_it_listens(tmp_path: Path) -> None:
    """Once, on the first of its sockets, and nothing but READY=1: the main process stays who it is."""
    text = """
        const net = require('net')
        net.createServer().listen(0, () => setTimeout(() => {
          console.log('first')
          const server = net.createServer()
          server.listen(process.env.PORT, () => server.close(() => server.listen(process.env.PORT)))
        }, 100))
    """
    with (
        Manager(tmp_path) as manager,
        listening() as sock,
        Node(*script(text), sockets={"web": sock}, NOTIFY_SOCKET=manager.address) as node,
    ):
        assert node.line() == "first"
        assert manager.next() == "READY=1"
        assert manager.next(0.3) is None


def test_ready_when_it_says_so(tmp_path: Path) -> None:
    """PM2's way; other messages go nowhere, callbacks are called."""
    go = tmp_path / "go"
    with (
        Manager(tmp_path) as manager,
        listening() as sock,
        Node(
            program("late.cjs"), sockets={"web": sock}, NOTIFY_SOCKET=manager.address, PYSUP_READY="send", GO=str(go)
        ) as node,
    ):
        assert node.pid == _pid_behind(port_of(sock), http=True)
        assert manager.next(0.3) is None
        go.touch()
        assert manager.next() == "READY=1"


def test_ready_without_sockets(tmp_path: Path) -> None:
    """process.send works for any program that systemd waits for."""
    text = """
        console.log(process.send({ type: 'process:msg' }), process.connected)
        process.send('ready', undefined, {}, error => console.log('sent', error))
        process.send('ready')
    """
    with Manager(tmp_path) as manager, Node(*script(text), NOTIFY_SOCKET=manager.address) as node:
        assert node.rest() == "true undefined\nsent null"
        assert manager.next() == "READY=1"
        assert manager.next(0.2) is None


def test_a_readiness_that_cannot_be_told_is_a_warning(tmp_path: Path) -> None:
    """The program goes on; its stderr says why systemd waits."""
    text = "setTimeout(() => console.log('on'), 500); process.send('ready')"
    with Node(*script(text), NOTIFY_SOCKET=str(tmp_path / "nobody")) as node:
        said = node.rest()
    assert "on" in said
    assert "Warning: systemd-notify: exit code 1: systemd does not know that this process is ready" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered(number: int) -> None:
    """With Connection: close; what comes meanwhile waits for others who share the socket; exit code 0."""
    with listening() as sock, Node(program("http.cjs"), sockets={"web": sock}) as node:
        port = port_of(sock)
        with Client(port) as slow, Client(port) as fresh:
            slow.ask("/400")
            assert fresh.ask().answer() == ("keep-alive", str(node.pid))
            node.stop(number)
            answers = iter(lambda: fresh.ask().answer()[0], "close")  # the signal takes its time
            assert set(answers) <= {"keep-alive"}
            assert fresh.is_ended()
            with Client(port) as late:
                late.ask()
                assert slow.answer() == ("close", str(node.pid))
                assert slow.is_ended()
                assert node.ended() == 0
                with Node(program("http.cjs"), sockets={"web": sock}) as successor:
                    assert late.answer()[1] == str(successor.pid)


def test_silent_connections_are_ended() -> None:
    """Those that ask nothing for half a second, kept from an earlier request; and for two, never used."""
    with listening() as sock, Node(program("http.cjs"), sockets={"web": sock}) as node:
        with Client(port_of(sock)) as kept, Client(port_of(sock)) as unused:
            assert kept.ask().answer() == ("keep-alive", str(node.pid))
            node.stop()
            assert kept.is_ended()
            assert unused.is_ended()
        assert node.ended() == 0


def test_a_first_request_that_takes_its_time_is_answered() -> None:
    """Its connection was accepted, and then the client was slow, or the network lost it once: that takes a second."""
    with listening() as sock, Node(program("http.cjs"), sockets={"web": sock}) as node:
        with Client(port_of(sock)) as kept, Client(port_of(sock)) as late:
            assert kept.ask().answer() == ("keep-alive", str(node.pid))
            node.stop()
            assert kept.is_ended()
            assert late.ask().answer() == ("close", str(node.pid))
        assert node.ended() == 0


def test_a_handler_of_its_own_is_left_to_it() -> None:
    """One by once() too; a program that handles SIGTERM alone still drains on SIGINT."""
    text = """
        const server = require('http').createServer((q, r) => setTimeout(() => r.end('hi\\n'), 300))
        process.once('SIGTERM', () => console.log('mine'))
        server.listen(process.env.PORT, () => console.log('open'))
    """
    with listening() as sock, Node(*script(text), sockets={"web": sock}) as node:
        assert node.line() == "open"
        node.stop()
        assert node.line() == "mine"
        with Client(port_of(sock)) as client:
            assert client.ask().answer() == ("keep-alive", "hi")  # it serves as ever
            client.ask()
            node.stop(signal.SIGINT)
            assert client.answer()[1] == "hi"
        assert node.ended() == 0


def test_cleaning_up_is_no_handler() -> None:
    """signal-exit, which half of npm loads, listens to signals: the drain comes first, its cleaning up at the exit."""
    text = """
        require(process.argv[1]).onExit((code, signal) => console.log('clean', code, signal))
        require('http').createServer((q, r) => setTimeout(() => r.end('hi\\n'), 300)).listen(process.env.PORT)
          .on('connection', () => console.log('connected'))
    """
    package = installed("node_modules/signal-exit")
    with listening() as sock, Node(*script(text), str(package), sockets={"web": sock}) as node:
        with Client(port_of(sock)) as client:
            client.ask()
            assert node.line() == "connected"
            node.stop()
            assert client.answer() == ("close", "hi")
        assert node.rest() == "clean 0 null"


def test_other_protocols_are_waited_for() -> None:
    """Nobody knows when a plain connection is done but its two ends."""
    with listening() as sock, Node(program("net.cjs"), sockets={"web": sock}) as node:
        with Client(port_of(sock)) as client:
            for sent in (b"one", b"two"):
                client.sock.sendall(sent)
                assert client.sock.recv(9) == sent
                node.stop()
        assert node.ended() == 0


def test_upgraded_connections_are_waited_for_only_so_long() -> None:
    """A WebSocket is not idle when it is silent; PYSUP_DRAIN bounds the whole."""
    text = """
        const server = require('http').createServer().on('upgrade', (q, socket) => {
          socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n')
          socket.on('data', data => socket.write(data))
        }).listen(process.env.PORT)
    """
    with (
        listening() as sock,
        Node(*script(text), sockets={"web": sock}, PYSUP_DRAIN="1.6") as node,
        Client(port_of(sock)) as client,
    ):
        client.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        assert client.sock.recv(999).startswith(b"HTTP/1.1 101")
        node.stop()
        client.sock.settimeout(1.2)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        client.sock.sendall(b"x")
        assert client.sock.recv(1) == b"x"
        assert client.is_ended()
        assert node.ended() == 0


def test_before_it_listens_a_signal_ends_it() -> None:
    """There is nothing to drain yet."""
    with (
        listening() as sock,
        Node(*script("setInterval(() => {}, 9); console.log('up')"), sockets={"web": sock}) as node,
    ):
        assert node.line() == "up"
        node.stop()
        assert node.ended() == -signal.SIGTERM


def test_tls_is_drained_too(tmp_path: Path) -> None:
    """Requests in flight get their answer, silent connections an end."""
    keys = certificate(tmp_path)
    context = ssl.create_default_context(cafile=keys["CERT"])
    with listening() as sock, Node(program("https.cjs"), sockets={"web": sock}, **keys) as node:
        with Client(port_of(sock)) as slow, Client(port_of(sock)) as silent:
            for client in (slow, silent):
                client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
            assert silent.ask().answer() == ("keep-alive", str(node.pid))
            slow.ask("/300")
            assert silent.ask().answer()[0] == "keep-alive"  # so the slow one's request has arrived, too
            node.stop()
            assert slow.answer() == ("close", str(node.pid))
            assert silent.is_ended()
        assert node.ended() == 0


@pytest.mark.parametrize("face", [{}, {"STREAM": "1"}])
def test_http2_streams_that_are_open_are_answered(face: dict[str, str]) -> None:
    """The session is told to go away, and ends when they are done."""
    text = """
        const session = require('http2').connect(`http://127.0.0.1:${process.argv[1]}`)
        const ask = path => session.request({ ':path': path })
          .on('data', data => console.log(path, String(data).trim()))
          .on('error', error => console.log(path, error.code))
        session.on('remoteSettings', () => { ask('/400'); ask('/0') })
        session.once('goaway', code => console.log('goaway', code)).on('close', () => console.log('closed'))
    """
    with listening() as sock, Node(program("http2.cjs"), sockets={"web": sock}, **face) as node:
        with Node(*script(text), str(port_of(sock))) as client:
            assert client.line() == f"/0 {node.pid}"
            node.stop()
            assert client.rest().splitlines() == ["goaway 0", f"/400 {node.pid}", "closed"]
        assert node.ended() == 0


def test_http2_streams_that_are_on_their_way_are_answered() -> None:
    """A client that asks all the time, and connects anew when it is told to, misses nothing while servers change.

    Node's client refuses by itself (REFUSED_STREAM: not sent, ask again) what it had not sent when it was told to go.
    """
    text = """
        const { connect } = require('http2')
        let session, told = 0
        const ask = () => {
          if (!session || session.closed)
            session = connect(`http://127.0.0.1:${process.argv[1]}`).on('error', console.log)
          let body = ''
          const stream = session.request().on('data', data => body += data).on('error', () => {}).on('close', () => {
            if (body && ++told % 100 === 0) console.log('on')
            if (!body && stream.rstCode !== 7) console.log('lost', stream.rstCode)
            ask()
          })
        }
        for (let i = 0; i < 20; i++) ask()
    """
    with listening() as sock, ExitStack() as stack:
        servers = [stack.enter_context(_ready(program("http2.cjs"), sock))]
        client = stack.enter_context(Node(*script(text), str(port_of(sock))))
        for _ in range(4):
            assert {client.line() for _ in range(3)} == {"on"}
            servers.append(stack.enter_context(_ready(program("http2.cjs"), sock)))
            old = servers.pop(0)
            old.stop()
            assert old.ended() == 0
        assert {client.line() for _ in range(3)} == {"on"}


PROGRAMS = ["http.cjs", "https.cjs", "esm.mjs", "express.mjs", "fastify.cjs"]


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_one_after_the_other_is_replaced_without_a_failed_request(name: str, keep_alive: bool, tmp_path: Path) -> None:
    """Two processes share the socket, each is replaced twice; neither kind of client notices."""
    env = certificate(tmp_path) if name == "https.cjs" else {}
    tls = ssl.create_default_context(cafile=env["CERT"]) if env else None
    file = installed(name)
    with listening() as sock, ExitStack() as stack:
        running = [stack.enter_context(_ready(file, sock, **env)) for _ in range(2)]
        with hammer.load(port_of(sock), keep_alive=keep_alive, tls=tls) as tally:
            for _ in range(4):
                tally.wait_for(50)
                running.append(stack.enter_context(_ready(file, sock, **env)))
                old = running.pop(0)
                old.stop()
                assert old.ended() == 0
            tally.wait_for(50)
    assert tally.failures == []
    assert len(tally.answers) >= 4


def test_a_cluster_program_works_as_ever() -> None:
    """Its primary listens for its workers, so it is the one that has the socket; its end is its own affair."""
    with listening() as sock, Node(program("cluster.cjs"), sockets={"web": sock}) as node:
        with hammer.load(port_of(sock), clients=4) as tally:
            tally.wait_for(100)
            assert _eventually_two(tally)
        assert tally.failures == []
        assert str(node.pid) not in tally.answers
        node.stop()
        assert node.ended() == -signal.SIGTERM


_UNITS = Path("/run/systemd/system")
_SOCKET = """
[Socket]
ListenStream=127.0.0.1:{port}
FileDescriptorName=web
Service=preload@0.service
TriggerLimitIntervalSec=0
"""
_SERVICE = """
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
NonBlocking=yes
Sockets=preload.socket
Environment=PORT={port} PYSUP_LISTEN=web={port} {more}
ExecStart=node --require={preload} {program}
TimeoutStartSec=5
"""


@contextmanager
def _units(name: str, port: int, more: str = "") -> Iterator[None]:
    """A socket unit and a template that shares it, both instances started, one after the other."""
    files = {"preload.socket": _SOCKET, "preload@.service": _SERVICE}
    for file, text in files.items():
        (_UNITS / file).write_text(text.format(port=port, preload=PRELOAD, program=program(name), more=more))
    try:
        _systemctl("start", "preload.socket")
        yield
    finally:
        _systemctl("stop", "preload.socket", "preload@*.service", check=False)
        _systemctl("reset-failed", "preload@*.service", check=False)
        for file in files:
            (_UNITS / file).unlink()
        _systemctl("daemon-reload")


@pytest.mark.systemd
@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("name", ["http.cjs", "esm.mjs"])
def test_a_rolling_restart_loses_nothing(name: str, keep_alive: bool) -> None:
    """Each of two instances five times, under eight clients; the main process is Node, and ends as it should."""
    with _units(name, 8123):
        _systemctl("start", "preload@0", "preload@1")
        with hammer.load(8123, keep_alive=keep_alive) as tally:
            for turn in range(10):
                tally.wait_for(50)
                _systemctl("restart", f"preload@{turn % 2}")
                assert _property(turn % 2, "Result") == "success"
            tally.wait_for(50)
        pids = {_property(number, "MainPID") for number in (0, 1)}
    assert tally.failures == []
    assert len(tally.answers) >= 10
    assert tally.slowest < hammer.STALL, f"{tally.slowest} s"
    assert len(pids) == 2


@pytest.mark.systemd
def test_start_waits_for_a_program_that_says_when(tmp_path: Path) -> None:
    """activating until process.send('ready'), active after it."""
    with _units("late.cjs", 8124, f"PYSUP_READY=send GO={tmp_path}/go"):
        starting = subprocess.Popen(["systemctl", "start", "preload@0"])
        with hammer.load(8124, clients=1) as tally:
            tally.wait_for(3)  # it listens
        assert _property(0, "ActiveState") == "activating"
        (tmp_path / "go").touch()
        assert starting.wait(10) == 0
        assert _property(0, "ActiveState") == "active"
        assert _property(0, "MainPID") in tally.answers


@pytest.mark.systemd
def test_start_fails_for_a_program_that_never_does() -> None:
    """After its start timeout."""
    with _units("http.cjs", 8125, "PYSUP_READY=send\nTimeoutStartSec=1"):
        assert _systemctl("start", "preload@0", check=False) == 1
        assert _property(0, "Result") == "timeout"


def _systemctl(*arguments: str, check: bool = True) -> int:
    return subprocess.run(["systemctl", "--quiet", *arguments], check=check).returncode


def _property(number: int, name: str) -> str:
    return subprocess.check_output(["systemctl", "show", "--value", "-p", name, f"preload@{number}"], text=True).strip()


def _ready(file: Path, sock: socket.socket, **env: str) -> Node:
    """A program that has said that it is ready."""
    with TemporaryDirectory() as directory, Manager(Path(directory)) as manager:
        node = Node(file, sockets={"web": sock}, NOTIFY_SOCKET=manager.address, **env)
        assert manager.next() == "READY=1"
    return node


def _pid_behind(port: int, *, http: bool = False) -> int:
    with Client(port) as client:
        return int(client.ask().answer()[1] if http else client.sock.recv(99))


def _eventually_two(tally: hammer.Tally) -> bool:
    """Whether two processes answer, once both have come up."""
    while len(tally.answers) < 2 and tally.requests < 5000:
        tally.wait_for(50)
    return len(tally.answers) == 2
