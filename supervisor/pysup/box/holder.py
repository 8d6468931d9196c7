"""The process that owns a box: it keeps the copy, boots systemd over it, and takes all away at the end.

``python -m pysup.box.holder NAME LOCK CONTROL OWNER``, where the last three are open file descriptors: the box's locked
folder, the listening socket ``control`` in it, the pidfd of the owner (-1: none). A request is a word on a connection:
``wait``, ``reboot``, ``power-cut`` are answered by ``ok`` once the box is up, or ``error`` and the reason; ``down`` by
this process's PID. The connection ends after the answer, for ``down`` when all is gone.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pysup.box import cgroups, copy, init, kernel, state
from pysup.box.state import State

_REBOOT = signal.SIGRTMIN + 5  # systemd(1): starts reboot.target


class Holder:
    """One box, as a table of descriptors to wait on and what to do about each."""

    def __init__(self, box: State) -> None:
        self.box = box
        self.trees = cgroups.discover()
        self.selector = selectors.DefaultSelector()
        self.waiting: list[socket.socket] = []
        self.is_ended = False
        self.is_up = False
        self.is_reboot_asked = False
        self.boots = 0
        self.root = Path()
        self.init = 0
        self.init_fd = -1
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.console, self.terminal = os.openpty()

    def serve(self, control: socket.socket, owner: int) -> None:
        """Boot, then do what is asked until the end; clean up whatever happens."""
        try:
            self._prepare(control, owner)
            self._boot()
            while not self.is_ended:
                for key, _events in self.selector.select():
                    key.data()
        except Exception:
            traceback.print_exc()
            self._answer("error the holder of the box failed")
        finally:
            self._clean_up()

    def _prepare(self, control: socket.socket, owner: int) -> None:
        self.box = replace(self.box, holder=os.getpid()).save()
        self._watch(control.fileno(), lambda: self._watch_client(control.accept()[0]))
        if owner >= 0:
            self._watch(owner, self._end)
        self._watch(self.console, self._log_console)
        self.notify.bind(str(self.box.folder / "notify"))
        self._watch(self.notify.fileno(), self._hear)
        kernel.unshare(kernel.CLONE_NEWNS)
        # Slave: when the machine unmounts something, the holder does not keep it in use.
        kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
        work = self.box.folder / "work"
        work.mkdir()
        self.root = copy.make(work)

    def _boot(self) -> None:
        cgroups.create(self.box.name, self.trees)
        go, goes = os.pipe()
        kernel.unshare(kernel.CLONE_NEWPID)
        self.init = os.fork()
        if self.init == 0:
            os.close(goes)
            _become_or_die(self._plan(), go)
        kernel.rejoin_pid_namespace()
        self.boots += 1
        self.is_reboot_asked = False
        self.init_fd = os.pidfd_open(self.init)
        self._watch(self.init_fd, self._bury)
        os.write(goes, b"1")
        os.close(goes)
        os.close(go)

    def _plan(self) -> init.Plan:
        return init.Plan(
            name=self.box.name,
            machine_id=self.box.machine_id,
            root=self.root,
            notify=self.box.folder / "notify",
            console=self.terminal,
            trees=self.trees,
            shares=self.box.shares,
            is_first_boot=self.boots == 0,
        )

    def _bury(self) -> None:
        """The box's systemd ended: boot it again if that is what was wanted, else end."""
        self.selector.unregister(self.init_fd)
        self.is_up = False
        self.box = replace(self.box, init=0).save()  # before its PID can be another's
        code = os.waitstatus_to_exitcode(os.waitpid(self.init, 0)[1])
        os.close(self.init_fd)
        self.init_fd = -1
        cgroups.remove(self.box.name, self.trees)
        list(self._messages())  # what it still said is not the next one's
        # reboot(2): in a PID namespace, a restart is seen as death by SIGHUP, power-off as SIGINT.
        if self.is_reboot_asked or code == -signal.SIGHUP:
            self._boot()
        else:
            self._answer(f"error systemd in the box ended ({_reason(code)})")
            self._end()

    def _watch(self, fd: int, react: Callable[[], None]) -> None:
        self.selector.register(fd, selectors.EVENT_READ, react)

    def _watch_client(self, client: socket.socket) -> None:
        self._watch(client.fileno(), lambda: self._obey(client))

    def _obey(self, client: socket.socket) -> None:
        request = client.recv(100)
        match request:
            case b"":
                self._forget(client)
            case b"wait":
                self.waiting.append(client)
                if self.is_up:
                    self._answer("ok")
            case b"reboot":
                self._reboot(client, _REBOOT)
            case b"power-cut":
                self._reboot(client, signal.SIGKILL)
            case b"down":
                client.sendall(str(os.getpid()).encode())
                self._end()

    def _reboot(self, client: socket.socket, how: int) -> None:
        self.is_reboot_asked = True
        self.waiting.append(client)
        signal.pidfd_send_signal(self.init_fd, how)

    def _messages(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                yield self.notify.recv(65536)

    def _hear(self) -> None:
        """Listen for systemd's READY=1, which it sends when it has started all it wanted to."""
        is_ready = any(b"READY=1" in message.split(b"\n") for message in self._messages())
        if is_ready and not self.is_up:
            self.is_up = True
            # Not before: until then, to enter the namespaces of that PID may be to enter the machine's.
            self.box = replace(self.box, init=self.init).save()
            self._answer("ok")

    def _answer(self, line: str) -> None:
        for client in self.waiting:
            with contextlib.suppress(OSError):  # it may have stopped waiting
                client.sendall(line.encode() + _log_tail(self.box, line))
                client.shutdown(socket.SHUT_WR)
        self.waiting.clear()

    def _forget(self, client: socket.socket) -> None:
        self.selector.unregister(client)
        if client in self.waiting:
            self.waiting.remove(client)
            self.is_ended |= self.boots <= 1 and not self.is_up  # nobody will ever know of this box
        client.close()

    def _log_console(self) -> None:
        sys.stdout.buffer.write(os.read(self.console, 65536).replace(b"\r\n", b"\n"))
        sys.stdout.buffer.flush()

    def _end(self) -> None:
        self.is_ended = True

    def _clean_up(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.init_fd >= 0:
            signal.pidfd_send_signal(self.init_fd, signal.SIGKILL)
            os.waitpid(self.init, 0)
        cgroups.remove(self.box.name, self.trees)
        work = self.box.folder / "work"
        while work.is_mount():
            kernel.detach(work)
        state.clear(self.box.name)


def _become_or_die(plan: init.Plan, go: int) -> None:
    try:
        init.become(plan, go)
    except BaseException:  # this is a fork: it must not go on as the holder
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _log_tail(box: State, answer: str) -> bytes:
    return b"" if answer == "ok" else b"\n" + b"\n".join(box.log.read_bytes().splitlines()[-20:])


def main(name: str, lock: str, control: str, owner: str) -> None:
    """Become a daemon and hold the box *name*."""
    if os.fork():
        os._exit(0)
    for fd in (lock, control, owner):
        if int(fd) >= 0:
            os.set_inheritable(int(fd), False)
    os.chdir("/")
    os.umask(0o022)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    box = state.load(name)
    if box is None:
        raise SystemExit(f"box {name!r}: nobody claimed it")
    Holder(box).serve(socket.socket(fileno=int(control)), int(owner))


if __name__ == "__main__":
    main(*sys.argv[1:])
