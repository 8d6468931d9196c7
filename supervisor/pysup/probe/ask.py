"""Asks one instance whether it is ready, or time and again whether it lives: python3 -I -S THIS ready|watch WORDS

It is copied beside an app's units and run from there, by any Python from 3.7 on: standard library only, nothing of
pysup's. WORDS are NAME=VALUE: at (HOST:PORT, HOST: for PORT, or the path of a unix socket), what (how to call that in
messages); for HTTP scheme, host, path and statuses; timeout; for watch interval, failures, unit, manager, until.

``ready`` returns 0 once the answer is good, and 1 when the main process has ended. ``watch`` leaves a process behind in
the unit's control group. It tells systemd when answers were bad so often in a row; what is done about it is systemd's.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

AGAIN = 0.1
ENOUGH = 1 << 20  # bytes of an answer that are read, so that the server may finish it
ESTABLISHED, CONNECTING = "01", "02"  # proc_net_tcp; SS_CONNECTING of a unix socket
NOBODYS = "0"  # the inode of a connection that no process has accepted yet


class Question:
    """What is asked; ``fault()`` is what is wrong with the answer, empty for a good one."""

    def __init__(self, words: dict[str, str]) -> None:
        self.at = words["at"] + os.environ.get("PORT", "") if words["at"].endswith(":") else words["at"]
        port = os.environ.get("PORT", "")
        self.what = words.get("what", self.at).replace("{port}", port)
        self.scheme = words.get("scheme", "")
        self.host, self.path = words.get("host", "").replace("{port}", port), words.get("path", "/")
        self.statuses = [int(code) for code in words.get("statuses", "").split(",") if code]
        self.timeout = float(words.get("timeout", "5"))
        self.last = f"{self.what}: not asked yet"
        self.sock: socket.socket | None = None  # while an answer is waited for

    def fault(self) -> str:
        self.last = self._try()
        self.sock = None
        return self.last

    def so_far(self) -> str:
        return self.last if self.sock is None else f"{self.what}: {_unheard(self.sock) or 'no answer'} yet"

    def _try(self) -> str:
        until = time.monotonic() + self.timeout
        try:
            with _connected(self.at, self.timeout) as sock:
                self.sock = sock
                try:
                    return self._http(sock, until) if self.scheme else _accepted(sock, until)
                except socket.timeout:  # noqa: UP041 (the same from Python 3.10 on)
                    return f"{self.what}: {_unheard(sock) or 'no answer'} within {self.timeout:g} s"
        except (OSError, ValueError) as exc:
            return f"{self.what}: {getattr(exc, 'strerror', None) or exc or type(exc).__name__}"

    def _http(self, sock: socket.socket, until: float) -> str:
        if self.scheme == "https":
            import ssl  # 20 ms, which plain questions need not pay

            # As with other supervisors' probes, the certificate is not looked at: no secret is told.
            context = ssl._create_unverified_context()  # noqa: S323
            sock = context.wrap_socket(sock, server_hostname=self.host.partition(":")[0] or None)
        lines = (f"GET {self.path} HTTP/1.1", f"Host: {self.host}", "User-Agent: pysup", "Accept: */*")
        sock.sendall(("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode())
        answer, piece = b"", b""
        while b"\n" not in answer:
            sock.settimeout(max(until - time.monotonic(), 0.001))
            piece = sock.recv(65536)
            answer += piece
            if not piece or len(answer) > ENOUGH:
                return f"{self.what}: no HTTP answer"
        _finish(sock, len(answer), until)
        first = answer.split(b"\n", 1)[0].split()
        status = int(first[1]) if len(first) > 1 and first[0].startswith(b"HTTP/") and first[1].isdigit() else 0
        if status in self.statuses or (not self.statuses and 200 <= status < 400):
            return ""
        wanted = " or ".join(map(str, self.statuses)) or "200 to 399"
        return f"{self.what}: answered {status or 'no HTTP'}, wanted {wanted}"


def _connected(at: str, timeout: float) -> socket.socket:
    if not at.startswith("/"):
        host, _, port = at.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    try:
        sock.connect(at)
    except BaseException:
        sock.close()
        raise
    return sock


def _accepted(sock: socket.socket, until: float) -> str:
    """The kernel connects, as long as a socket listens; whether the program is there shows when it accepts."""
    while _unheard(sock):
        if time.monotonic() > until:
            raise socket.timeout  # noqa: UP041
        time.sleep(AGAIN / 4)
    return ""


def _unheard(sock: socket.socket) -> str:
    """Words for a connection that still waits to be accepted; empty if it does not, or nobody can tell."""
    try:
        if sock.family == socket.AF_UNIX:
            path = sock.getpeername()
            waits = any(row[5:] == [CONNECTING, NOBODYS, path] for row in _rows("unix"))
            return "nobody accepts on its own socket (pysup-probe)" if waits else ""
        ends = [f":{end[1]:04X}" for end in (sock.getpeername(), sock.getsockname())]
        for row in _rows("tcp") + _rows("tcp6"):
            if [row[1][-5:], row[2][-5:]] == ends:
                return "no connection is accepted" if (row[3], row[9]) == (ESTABLISHED, NOBODYS) else ""
    except (OSError, IndexError):
        pass
    return ""


def _rows(table: str) -> list[list[str]]:
    try:
        with open("/proc/net/" + table) as stream:  # noqa: PTH123 (pathlib is 10 ms)
            return [line.split() for line in stream][1:]
    except OSError:  # no IPv6
        return []


def _finish(sock: socket.socket, count: int, until: float) -> None:
    try:
        while count < ENOUGH:
            sock.settimeout(max(until - time.monotonic(), 0.001))
            piece = sock.recv(65536)
            count += len(piece)
            if not piece:
                return
    except OSError:
        pass


def _is_alive() -> bool:
    try:
        os.kill(int(os.environ["MAINPID"]), 0)
    except ProcessLookupError:
        return False
    except (KeyError, ValueError, OSError):
        pass
    return True


def _say(text: str) -> None:
    """To where the app's stderr goes; in the journal, as an error."""
    stderr = os.fstat(2)
    prefix = "<3>" if os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}" else ""
    os.write(2, (prefix + text + "\n").encode())


def ready(question: Question) -> int:
    def look(*_: object) -> None:
        if not _is_alive():
            os._exit(1)

    def give_up(*_: object) -> None:
        _say("not ready: " + question.so_far())
        os._exit(1)

    signal.signal(signal.SIGTERM, give_up)  # TimeoutStartSec= is over
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
    while question.fault():
        look()
        time.sleep(AGAIN)
    return 0 if _is_alive() else 1


def watch(question: Question, words: dict[str, str]) -> int:
    if os.fork():
        return 0
    os.chdir("/")
    # systemd's signal to the control group of a program that hangs; a core of this one helps nobody.
    signal.signal(signal.SIGABRT, lambda *_: os._exit(0))
    interval, allowed = float(words["interval"]), int(words["failures"])
    failures = 0
    while True:
        time.sleep(interval)
        if words.get("until") == "main" and not _is_alive():
            return 0
        fault = question.fault()
        failures = failures + 1 if fault else 0
        if fault and not _is_stopping(words):
            _say(f"watchdog: {fault} ({failures} of {allowed})")
            if failures >= allowed:
                _notify("WATCHDOG=trigger")
                failures = 0


def _is_stopping(words: dict[str, str]) -> bool:
    """Whether the unit is on its way down, where a program may answer no more (KillMode= spares this process then)."""
    import subprocess  # only when something is wrong

    command = ["systemctl", words["manager"], "show", "--property=ActiveState", "--value", words["unit"]]
    try:
        shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return shown.stdout.strip() in (b"deactivating", b"inactive")


def _notify(line: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(line.encode())


def main(kind: str, *pairs: str) -> int:
    words = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    question = Question(words)
    return ready(question) if kind == "ready" else watch(question, words)


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))  # at once: Python's own end would let the next SIGALRM kill it
