"""pysup.daemon: what plain Python programs need under systemd, and do not miss without it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import grounds
import hammer
from activated import Activated, Manager, listening, port_of
from pysup import daemon

PROGRAM = grounds.ROOT / "examples/hello/sockets.py"


@pytest.fixture(autouse=True)
def _without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


def python(text: str, **options: socket.socket | str) -> str:
    """What a program says that was given the sockets among the options; the others are environment."""
    sockets = {name: value for name, value in options.items() if isinstance(value, socket.socket)}
    env = {name: value for name, value in options.items() if isinstance(value, str)}
    words = (sys.executable, "-c", "import os\nfrom pysup import daemon\n" + textwrap.dedent(text))
    with Activated(*words, sockets=sockets, **env) as program:
        return program.rest()


def test_sockets_come_in_order_and_by_name() -> None:
    """As systemd numbers and names them."""
    text = """
        show = lambda *name: print(*(sock.getsockname()[1] for sock in daemon.listen_sockets(*name)))
        show(), show("b"), show("c")
    """
    with listening() as one, listening() as two:
        first, second = port_of(one), port_of(two)
        assert python(text, a=one, b=two) == f"{first} {second}\n{second}"


def test_sockets_may_be_closed_and_had_again() -> None:
    """What is returned waits for connections, is not inherited, and is the caller's own."""
    text = """
        os.set_blocking(3, False)  # as NonBlocking=yes has it
        for _ in range(2):
            [sock] = daemon.listen_sockets()
            connection, _ = sock.accept()
            connection.sendall(f"{sock.get_inheritable()} {os.get_inheritable(3)}\\n".encode())
            connection.close(), sock.close()
    """
    with (
        listening() as sock,
        Activated(
            sys.executable, "-c", "import os\nfrom pysup import daemon\n" + textwrap.dedent(text), sockets={"web": sock}
        ) as program,
    ):
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port_of(sock)), timeout=20) as client:
                assert client.makefile().read() == "False False\n"
        assert program.ended() == 0


def test_a_socket_that_shall_not_wait_does_not() -> None:
    """Who asks for it gets what any socket does."""
    text = """
        [sock] = daemon.listen_sockets()
        for timeout in (0, 0.01):
            sock.settimeout(timeout)
            try:
                sock.accept()
            except OSError as exc:
                print(type(exc).__name__)
    """
    with listening() as sock:
        assert python(text, web=sock) == "BlockingIOError\nTimeoutError"


def test_sockets_of_another_process_are_not_ours() -> None:
    """LISTEN_PID says whose they are."""
    with listening() as sock:
        assert python("os.environ['LISTEN_PID'] = '1'; print(daemon.listen_sockets())", web=sock) == "[]"


def test_sockets_can_be_had_for_good() -> None:
    """unset_environment leaves nothing to find, for nobody."""
    text = """
        print(len(daemon.listen_sockets(unset_environment=True)), len(daemon.listen_sockets()))
        print([name for name in os.environ if name.startswith("LISTEN_")])
    """
    with listening() as sock:
        assert python(text, web=sock) == "1 0\n[]"


def test_descriptors_that_are_no_sockets_are_left_out() -> None:
    """systemd hands over FIFOs and stored files, too."""
    text = """
        os.dup2(os.open("/dev/null", os.O_RDONLY), 3)
        print(len(daemon.listen_sockets()))
    """
    with listening() as sock:
        assert python(text, web=sock) == "0"


@pytest.mark.parametrize("count", ["", "x", "-1", "²"])
def test_a_count_that_is_none_means_no_sockets(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the environment."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    assert daemon.listen_sockets() == []


def test_without_systemd_nothing_happens() -> None:
    """A program needs no condition around these calls."""
    assert daemon.listen_sockets() == []
    assert [daemon.notify("X=1"), daemon.notify_ready(), daemon.notify_status("up")] == [False] * 3
    assert [daemon.notify_stopping(), daemon.notify_watchdog(), daemon.watchdog()] == [False, False, None]


def test_what_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of sd_notify(3)."""
    with Manager(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        told = [daemon.notify("A=1", "B=ä"), daemon.notify_ready(), daemon.notify_status("50 %")]
        told += [daemon.notify_stopping(), daemon.notify_watchdog()]
        assert told == [True] * 5
        said = [manager.next() for _ in told]
    assert said == ["A=1\nB=ä", "READY=1", "STATUS=50 %", "STOPPING=1", "WATCHDOG=1"]


def test_abstract_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd writes their NUL as @."""
    name = f"pysup-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert daemon.notify_ready()
        assert sock.recv(99) == b"READY=1"


def test_a_line_cannot_become_two() -> None:
    """A status that came from outside must not say READY=1."""
    with pytest.raises(ValueError, match="must not hold a newline"):
        daemon.notify_status("x\nREADY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [("2500000", None, 2.5), ("2500000", "own", 2.5), ("2500000", "1", None), ("0", None, None), ("x", None, None)],
)
def test_watchdog(usec: str, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval, for the process that it is meant for."""
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert daemon.watchdog() == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_on_stop(number: int, tmp_path: Path) -> None:
    """systemd is told, then the program; it ends as it likes, even if nobody is there to be told."""
    text = """
        import threading
        stopping = threading.Event()
        daemon.on_stop(stopping.set)
        print("up", flush=True)
        stopping.wait()
        print("down")
    """
    for address in (str(tmp_path / "notify"), "/nowhere"):
        with Manager(tmp_path) as manager:
            words = (sys.executable, "-c", "from pysup import daemon\n" + textwrap.dedent(text))
            with Activated(*words, NOTIFY_SOCKET=address) as program:
                assert program.line() == "up"
                program.stop(number)
                assert program.rest() == "down"
                assert program.ended() == 0
            assert address == "/nowhere" or manager.next() == "STOPPING=1"
        (tmp_path / "notify").unlink()


def test_on_stop_wakes_a_main_thread_that_waits() -> None:
    """The kernel may give the signal to any thread; Python's handlers are the main thread's."""
    text = """
        import signal, threading
        stopping = threading.Event()
        daemon.on_stop(lambda: print("first"))
        daemon.on_stop(stopping.set)
        def other():
            while not stopping.wait(0.2):
                signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        threading.Thread(target=other).start()
        stopping.wait()
        print("down")
    """
    assert python(text) == "first\ndown"


def test_on_stop_waits_for_a_lock_that_the_main_thread_holds() -> None:
    """As it does for a moment in each wait() of the Event that is to be set: a handler would wait for ever."""
    text = """
        import signal, threading
        lock, done = threading.Lock(), threading.Event()
        def stop():
            with lock:
                done.set()
        daemon.on_stop(stop)
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
            print(done.wait(0.2))
        print(done.wait(20))
    """
    assert python(text) == "False\nTrue"


def test_what_a_callback_raises_is_raised_in_the_main_thread() -> None:
    """So SystemExit ends the process, whatever it waits for."""
    text = """
        import signal, sys, threading
        daemon.on_stop(lambda: sys.exit("enough"))
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(20)
        except SystemExit as exc:
            print(exc)
    """
    assert python(text) == "enough"


def test_the_signals_of_a_child_are_its_own() -> None:
    """A worker that was forked and is terminated does not take its parent with it."""
    text = """
        import signal, threading
        daemon.on_stop(lambda: print("stopping", flush=True))
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(0.3)
            os._exit(0)
        os.waitpid(child, 0)
        threading.Event().wait(0.3)
        print("up")
    """
    assert python(text) == "stopping\nup"


def test_it_imports_next_to_nothing() -> None:
    """Of pysup only the package itself, and nothing that takes long."""
    text = """
        import sys
        print(sorted(name for name in sys.modules if name.startswith("pysup")))
        print([name for name in ("asyncio", "dataclasses", "typing", "subprocess", "logging") if name in sys.modules])
    """
    assert python(text) == "['pysup', 'pysup.daemon']\n['typing']"


_UNITS = Path("/run/systemd/system")
_FILES = {
    "daemon.socket": """
[Socket]
ListenStream=127.0.0.1:8131
FileDescriptorName=http
Service=daemon@0.service
TriggerLimitIntervalSec=0
""",
    "daemon@.service": f"""
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NonBlocking=yes
WatchdogSec=20
Sockets=daemon.socket
ExecStart={sys.executable} {PROGRAM}
""",
}


@contextmanager
def _units() -> Iterator[None]:
    for file, text in _FILES.items():
        (_UNITS / file).write_text(text)
    try:
        _systemctl("start", "daemon.socket")
        yield
    finally:
        _systemctl("stop", "daemon.socket", "daemon@*.service")
        for file in _FILES:
            (_UNITS / file).unlink()
        _systemctl("daemon-reload")


@pytest.mark.systemd
@pytest.mark.parametrize("keep_alive", [False, True])
def test_a_rolling_restart_of_a_python_program_loses_nothing(keep_alive: bool) -> None:
    """The example, which is all made of the helper: two instances, each restarted three times under eight clients."""
    with _units():
        _systemctl("start", "daemon@0", "daemon@1")
        with hammer.load(8131, keep_alive=keep_alive) as tally:
            for turn in range(6):
                tally.wait_for(50)
                _systemctl("restart", f"daemon@{turn % 2}")
            tally.wait_for(50)
        shown = subprocess.check_output(["systemctl", "show", "-p", "StatusText,NRestarts", "daemon@0"], text=True)
    assert tally.failures == []
    assert len(tally.answers) >= 6
    assert set(shown.split("\n")) >= {"NRestarts=0", "StatusText=serving"}


def _systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", "--quiet", *arguments], check=True)
