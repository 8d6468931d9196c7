"""Box: a private systemd over a throw-away copy of this machine, as a context manager."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pysup.box import cgroups, enter, ground, state
from pysup.box.enter import Entered
from pysup.box.state import Share, State
from pysup.errors import BoxError

_THIS_PROCESS = 0
_DOWN_SECONDS = 30.0


class Box:
    """A machine within this machine: its own systemd, processes, network, files; gone without a trace afterwards.

    Get one from :meth:`up` or :meth:`find`. Leaving its ``with`` block takes it down.
    """

    def __init__(self, box: State) -> None:
        self.name = box.name
        self.shares = box.shares
        self._machine_id = box.machine_id

    @classmethod
    def up(
        cls,
        name: str | None = None,
        *,
        shares: Sequence[Share] = (),
        owner: int | None = _THIS_PROCESS,
        timeout: float = 30,
    ) -> Self:
        """Boot a box and return when systemd in it says ``running``.

        The box ends when the process *owner* does (0: the calling one), even by SIGKILL; with None it lives until
        :meth:`down`. Raises BoxError with what failed (the log's end, or the failed units), NotPermitted without root.
        """
        ground.check_rights()
        ground.check_tools()
        sweep()
        deadline = time.monotonic() + timeout
        claimed, lock = state.claim(name, tuple(map(_existing, shares)))
        box = cls(claimed)
        try:
            _start_holder(claimed, lock, owner)
            box._ask("wait", deadline)
        except BaseException:
            box.down()
            raise
        return box

    @classmethod
    def find(cls, name: str | None = None) -> Self:
        """A box that is up, also one that another process made; without a name the only one there is."""
        ground.check_rights()
        if name is None:
            return cls(_only_one())
        found = state.load(state.check_name(name))
        if found is None:
            raise BoxError(f"there is no box {name!r}", hint=f"Boot it: pysup box up {name}")
        return cls(found)

    @classmethod
    def all(cls) -> list[Self]:
        """Every box that is up, by name; what dead ones left is cleared away."""
        ground.check_rights()
        sweep()
        return [cls(found) for found in _living()]

    @property
    def pid(self) -> int:
        """The PID, on the machine, of the systemd in this box; it changes with every boot."""
        init = self._state().init
        if not init:
            raise BoxError(f"box {self.name!r} is booting", hint="Wait until it is up.")
        return init

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | str | None = None,
        timeout: float | None = None,
        check: bool = True,
        text: bool = True,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a command in the box, as root or as *user*, and return its output; the words are subprocess.run's."""
        streams: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        streams |= {"stdin": subprocess.DEVNULL if input is None else subprocess.PIPE}
        with self.popen(argv, user=user, cwd=cwd, env=env, text=text, **streams) as process:
            try:
                out, err = process.communicate(input, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        result = subprocess.CompletedProcess(list(argv), process.returncode, out, err)
        if check and result.returncode:
            raise subprocess.CalledProcessError(result.returncode, result.args, out, err)
        return result

    def popen(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        **popen_kwargs: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command in the box, as root or as *user*, in that user's home unless *cwd* is given.

        The environment is clean but for *env*. Signals sent through the result reach the command itself.
        """
        init = self.pid
        account = enter.account(init, user or "root")
        command = enter.command_line(init, cgroups.of_entered(self.name), account, argv, os.fspath(cwd or account.home))
        options = {"umask": 0o022} | popen_kwargs
        return Entered(command, env=enter.environment(account, env), **options)

    def enter(self, argv: Sequence[str] = ("/bin/bash", "-l"), *, user: str | None = None) -> int:
        """Run a command in the box on the caller's terminal and return its exit code (128 + N for signal N)."""
        env = {"TERM": os.environ.get("TERM", "dumb")}
        with _interrupts_left_to_the_command(), self.popen(argv, user=user, env=env) as process:
            code = process.wait()
        return 128 - code if code < 0 else code

    def create_user(self, name: str) -> int:
        """An ordinary user whose systemd runs without a login (lingering); returns the uid. Fine if it exists."""
        if enter.find_account(self.pid, name) is None:
            self._must(["useradd", "--create-home", "--shell=/bin/bash", "--", name])
        self._must(["loginctl", "enable-linger", name])
        return self._wait_user(name)

    def reboot(self, *, power_cut: bool = False, timeout: float = 30) -> None:
        """Stop the box's systemd, in order or by SIGKILL, and boot it again: its disk stays, /run and /tmp do not.

        Returns when the systemd of every lingering user is back as well.
        """
        deadline = time.monotonic() + timeout
        self._ask("power-cut" if power_cut else "reboot", deadline)
        for name in self.run(["find", "/var/lib/systemd/linger", "-type", "f", "-printf", "%f\n"]).stdout.split():
            self._wait_user(name)

    def down(self) -> None:
        """End the box and all that runs in it, and return when nothing of it is left. Fine if it is gone."""
        try:
            client = self._control()
        except (BoxError, OSError):
            pass  # it has ended, or its holder was killed
        else:
            with client:
                self._wait_down(client)
        sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def __repr__(self) -> str:
        return f"<Box {self.name}>"

    def _state(self) -> State:
        found = state.load(self.name)
        if found is None or found.machine_id != self._machine_id:
            raise BoxError(f"box {self.name!r} is not up any more", hint="Boot a new one: pysup box up")
        return found

    def _control(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(str(self._state().folder / "control"))
        except BaseException:
            client.close()
            raise
        return client

    def _ask(self, request: str, deadline: float) -> None:
        """Ask the holder for *request*, wait until it says that the box is up, and see whether all is well in it."""
        try:
            with self._control() as client:
                client.sendall(request.encode())
                answer = _receive(client, deadline)
            if answer == "ok":
                return self._check_health(max(deadline - time.monotonic(), 1))
        except ConnectionError:
            answer = ""
        except (TimeoutError, subprocess.TimeoutExpired) as exc:
            raise BoxError(f"box {self.name!r} did not come up in time", hint=_last_lines(self._log())) from exc
        first, _, tail = answer.removeprefix("error ").partition("\n")
        raise BoxError(f"box {self.name!r}: {first or 'its holder died'}", hint=_last_lines(tail or self._log()))

    def _wait_down(self, client: socket.socket) -> None:
        try:
            client.sendall(b"down")
            holder = _receive(client, time.monotonic() + _DOWN_SECONDS)
        except ConnectionError:
            return
        except TimeoutError as exc:
            raise BoxError(f"box {self.name!r} does not end", hint="Look at its processes: ps -ef --forest") from exc
        if holder:
            cgroups.wait_dead(int(holder))

    def _log(self) -> str:
        log = state.TOP / self.name / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _check_health(self, timeout: float) -> None:
        said = self.run(["systemctl", "is-system-running", "--wait"], check=False, timeout=timeout).stdout.strip()
        if said == "running":
            return
        failed = self.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], check=False).stdout
        units = [line.split()[0] for line in failed.splitlines()]
        log = self.run(["journalctl", "--boot", "--priority=warning", "--no-pager", "--lines=20"], check=False).stdout
        raise BoxError(f"box {self.name!r} is {said}: {', '.join(units) or 'no unit'} failed", hint=_last_lines(log))

    def _wait_user(self, name: str) -> int:
        """Wait until the systemd of a lingering user, and her bus, can be used; returns the uid."""
        uid = enter.account(self.pid, name).uid
        self._must(["systemctl", "start", f"user@{uid}.service"])
        self._must(["systemctl", "--user", "start", "dbus.socket"], user=name)
        self.run(["systemctl", "--user", "is-system-running", "--wait"], user=name, check=False)
        return uid

    def _must(self, argv: list[str], user: str | None = None) -> None:
        result = self.run(argv, user=user, check=False)
        if result.returncode:
            raise BoxError(f"box {self.name!r}: {' '.join(argv)} failed", hint=result.stderr.strip())


def sweep() -> None:
    """Clear away what boxes left whose holder was killed."""
    with state.registry():
        for name in filter(state.is_dead, state.names()):
            cgroups.remove(name, cgroups.discover())
            state.clear(name)


def _living() -> list[State]:
    return [found for found in map(state.load, state.names()) if found]


def _only_one() -> State:
    match _living():
        case [found]:
            return found
        case []:
            raise BoxError("there is no box", hint="Boot one: pysup box up")
        case several:
            names = ", ".join(found.name for found in several)
            raise BoxError(f"there are several boxes: {names}", hint="Say which one is meant.")


def _existing(share: Share) -> Share:
    if not share.host.exists():
        raise BoxError(f"{str(share.host)!r} cannot be shared: it does not exist", hint="Share what exists.")
    return replace(share, host=share.host.resolve())


def _start_holder(box: State, lock: int, owner: int | None) -> None:
    """Start the holder, which becomes a daemon; requests can be made at once."""
    with contextlib.ExitStack() as closing:
        closing.callback(os.close, lock)
        control = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        control.bind(str(box.folder / "control"))
        control.listen()
        fds = [lock, control.fileno()]
        if owner is not None:
            fds.append(_open_owner(owner or os.getpid()))
            closing.callback(os.close, fds[-1])
        log = closing.enter_context(box.log.open("ab"))
        numbers = [str(fd) for fd in fds] + ["-1"] * (owner is None)
        # -P and this path: it finds the modules that the caller has found, wherever they are.
        command = [sys.executable, "-P", "-m", "pysup.box.holder", box.name, *numbers]
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        begun = subprocess.run(
            command, env=os.environ | path, pass_fds=fds, start_new_session=True, check=False, **streams
        )
    if begun.returncode:
        raise BoxError(f"the holder of box {box.name!r} cannot start", hint=_last_lines(box.log.read_text()))


def _open_owner(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError as exc:
        raise BoxError(f"process {pid} cannot own a box: it does not exist", hint="Name one that lives.") from exc


def _receive(client: socket.socket, deadline: float) -> str:
    parts: list[bytes] = []
    while True:
        client.settimeout(max(deadline - time.monotonic(), 0.001))
        part = client.recv(65536)
        if not part:
            return b"".join(parts).decode(errors="replace")
        parts.append(part)


def _last_lines(text: str) -> str:
    return "The end of its log:\n" + "\n".join(text.splitlines()[-20:]) if text.strip() else "Its log is empty."


@contextlib.contextmanager
def _interrupts_left_to_the_command() -> Iterator[None]:
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
