"""For programs that run under systemd: its sockets, readiness, watchdog and stop, after sd-daemon(3).

    from pysup import daemon

    [sock] = daemon.listen_sockets("http")   # what --listen http=8080 made; every instance shares it
    stopping = threading.Event()
    daemon.on_stop(stopping.set)
    daemon.notify_ready()

Without systemd, as on your own machine, there are no sockets and the rest does nothing: a program runs in both places.
Standard library only; the file may be copied into a program that should not depend on pysup.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import stat
from collections.abc import Callable
from typing import Any

__all__ = [
    "listen_sockets",
    "notify",
    "notify_ready",
    "notify_status",
    "notify_stopping",
    "notify_watchdog",
    "on_stop",
    "watchdog",
]


class _Shared(socket.socket):
    """A socket whose accept() waits although the descriptor does not.

    Whether it does is a flag of the one open file that all instances share. systemd sets it for all (NonBlocking=yes),
    so that an instance that lost the race for a connection is not caught in accept(); Python does not ask for it.
    """

    def accept(self) -> tuple[socket.socket, Any]:
        while True:
            try:
                return super().accept()
            except BlockingIOError:
                if self.gettimeout() is not None:  # its user has asked not to wait
                    raise
            poll = select.poll()
            poll.register(self, select.POLLIN)
            poll.poll()


_FIRST = 3  # SD_LISTEN_FDS_START: descriptors come behind stdin, stdout and stderr
_STOP = (signal.SIGTERM, signal.SIGINT)
_callbacks: list[Callable[[], object]] = []


def listen_sockets(name: str | None = None, *, unset_environment: bool = False) -> list[socket.socket]:
    """The sockets that systemd gave this process, those called *name* if one is given; they listen already.

    Each call duplicates the descriptors, so what one has returned may be closed, and asked for again. Neither these nor
    the inherited ones pass to programs that this one executes. Descriptors that are no sockets are left out.

    accept() waits, as usual. Where something else waits for connections and accepts then (select, socketserver), call
    ``setblocking(False)``, and let an accept() that finds none be no error: another instance was faster. asyncio does
    both. Do not call ``setblocking(True)``: it would be for all instances.

    With *unset_environment* nobody finds them again, neither this process nor its children. (Children that check
    ``LISTEN_PID``, as this function does, never find their parent's.)
    """
    found = _given()
    if unset_environment:
        for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(variable, None)
    for fd, _ in found:
        os.set_inheritable(fd, False)
    wanted = [fd for fd, its_name in found if name in (None, its_name) and stat.S_ISSOCK(os.fstat(fd).st_mode)]
    return [_Shared(fileno=os.dup(fd)) for fd in wanted]


def notify(*lines: str) -> bool:
    """Send lines such as ``"READY=1"`` to systemd; True if it was told, False where NOTIFY_SOCKET is not set.

    sd_notify(3) has the lines. A line that holds a newline is a ValueError, for it would be two. OSError if nobody
    listens at NOTIFY_SOCKET.
    """
    if any("\n" in line for line in lines):
        raise ValueError(f"notify: a line must not hold a newline: {lines!r}")
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract address, unix(7)
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(address)
        sock.sendall("\n".join(lines).encode(errors="replace"))
    return True


def notify_ready() -> bool:
    """Say that this process serves now: ``start`` and ``reload`` wait for it, where the app is ready by notify."""
    return notify("READY=1")


def notify_status(text: str) -> bool:
    """Say in one line what this process is doing; ``systemctl status`` and ``pysup describe`` show it."""
    return notify(f"STATUS={text}")


def notify_stopping() -> bool:
    """Say that this process has begun to stop."""
    return notify("STOPPING=1")


def watchdog() -> float | None:
    """The seconds within which systemd wants to hear :func:`notify_watchdog` again and again; None if it does not.

    It ends a process that it did not hear from in time, so tell it twice as often.
    """
    interval = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", "") or str(os.getpid())
    if not _is_number(interval) or not int(interval) or owner != str(os.getpid()):
        return None
    return int(interval) / 1e6


def notify_watchdog() -> bool:
    """Say that this process is alive. Call it where the work is done, not in a thread of its own that never hangs."""
    return notify("WATCHDOG=1")


def on_stop(callback: Callable[[], object]) -> None:
    """Call *callback* once, on the first SIGTERM or SIGINT, after telling systemd that this process stops.

    It runs in a thread of its own, so it may take locks and wait: set an Event, call a server's ``shutdown``. The main
    thread has to call this function. With asyncio use the loop's ``add_signal_handler`` instead. The process goes on
    until it ends by itself, or the app's stop timeout is over; what a callback raises, such as SystemExit, is raised in
    the main thread. Several callbacks are called in the order in which they came.
    """
    _callbacks.append(callback)
    _listening()


@functools.cache
def _listening() -> _Stop:
    stop = _Stop()
    stop.await_it()
    return stop


class _Stop:
    """Hears the first stop signal, in a thread.

    A handler of Python's runs between two instructions of the main thread, maybe while that holds the lock of the very
    Event that a callback sets: then neither goes on. And where the kernel gives the signal to another thread (one that
    is just making a third does take it), nobody wakes a main thread that waits for a lock. So the interpreter writes
    each signal to a pipe by itself (signal.set_wakeup_fd), and so does the handler, for asyncio may have taken that.
    """

    def __init__(self) -> None:
        self._heard, self._writer = os.pipe()
        os.set_blocking(self._writer, False)  # the interpreter insists on it
        self._raised: BaseException | None = None
        self._is_forked = False

    def await_it(self) -> None:
        import threading  # most programs do no more than notify

        for number in _STOP:
            signal.signal(number, self._handle)
        earlier = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if earlier != -1:  # asyncio's
            signal.set_wakeup_fd(earlier)
        os.register_at_fork(after_in_child=self._forget)
        threading.Thread(target=self._listen, name="pysup.daemon.on_stop", daemon=True).start()

    def _listen(self) -> None:
        import threading

        while (number := os.read(self._heard, 1)[0]) not in _STOP:
            pass
        try:
            _stop()
        except BaseException as exc:  # SystemExit above all
            self._raised = exc
        main, pause = threading.main_thread().ident, threading.Event()
        while main and self._raised and signal.getsignal(number) == self._handle:
            signal.pthread_kill(main, number)
            pause.wait(0.1)

    def _handle(self, number: int, _frame: object) -> None:
        if self._raised:
            raised, self._raised = self._raised, None
            raise raised
        if self._is_forked:
            _stop()
        else:
            with contextlib.suppress(BlockingIOError):
                os.write(self._writer, bytes([number]))

    def _forget(self) -> None:
        """In a child: it has no such thread, and its signals are its own."""
        self._is_forked = True
        with contextlib.suppress(ValueError):  # forked by another thread than the main one
            signal.set_wakeup_fd(-1)


def _stop() -> None:
    """Tell systemd, and whoever wants to know."""
    with contextlib.suppress(OSError):  # nobody to tell is no reason not to stop
        notify_stopping()
    while _callbacks:
        _callbacks.pop(0)()


def _given() -> list[tuple[int, str]]:
    """(descriptor, name) of each socket that is for this very process."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not _is_number(count):
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    names += ["unknown"] * (int(count) - len(names))  # as sd_listen_fds_with_names(3) calls them
    return list(zip(range(_FIRST, _FIRST + int(count)), names, strict=False))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
