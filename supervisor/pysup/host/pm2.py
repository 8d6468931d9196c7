"""PM2 on this machine: its daemon, its lists, its command, the sockets that it holds, and its unit of systemd's."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pysup.errors import EnvironmentProblem, PysupError
from pysup.host import users

PIDFD_GETFD = 438  # the same number on every architecture: pidfd_getfd(2)
SECONDS = 120.0

_ATTACH_REUSEPORT_CBPF, _BPF_RETURN = 51, 0x06
_ESTABLISHED, _LISTENING = "01", "0A"


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that the daemon listens on for an app: its address, and the descriptor's number in the daemon."""

    host: str
    port: int
    descriptor: int


class Shared:
    """The daemon's listening socket in our hands; a context manager that lets go of it."""

    def __init__(self, held: socket.socket) -> None:
        self._held = held
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def yield_to_the_other(self) -> None:
        """Have the kernel give new connections to the socket that was bound to the address after this one."""
        import ctypes

        # A BPF program, "return 1", chooses among the sockets of an address: socket(7), SO_ATTACH_REUSEPORT_CBPF.
        program = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 1))
        self._held.setsockopt(
            socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, struct.pack("HP", 1, ctypes.addressof(program))
        )


@dataclass(frozen=True, slots=True)
class Pm2:
    """One PM2 home."""

    home: Path

    @property
    def dump(self) -> Path:
        """What ``pm2 save`` writes."""
        return self.home / "dump.pm2"

    @property
    def kept(self) -> Path:
        """What was in PM2's dump when its apps were taken over, all of them, however often that was begun."""
        return self.home / "dump.pysup-import"

    def keep(self) -> None:
        """Save what PM2 has, and keep it beside what was kept before."""
        if self.pid is not None:
            self.command("save", "--force")
        now = _list(self.dump.read_text(encoding="utf-8"), str(self.dump)) if self.dump.exists() else []
        before = _list(self.kept.read_text(encoding="utf-8"), str(self.kept)) if self.kept.exists() else []
        names = {one.get("name") for one in now}
        self._write(self.kept, [*(one for one in before if one.get("name") not in names), *now])

    def resurrect(self) -> None:
        """Have PM2 start all that was kept and does not run."""
        if self.kept.exists():
            self._write(self.dump, _list(self.kept.read_text(encoding="utf-8"), str(self.kept)))
        self.command("resurrect")
        self.kept.unlink(missing_ok=True)

    @staticmethod
    def _write(file: Path, processes: list[dict[str, Any]]) -> None:
        """For its owner only: it has all that the environments hold."""
        staged = file.with_name(f".{file.name}.new")
        staged.unlink(missing_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as text:
            json.dump(processes, text)
        staged.rename(file)

    @property
    def pid(self) -> int | None:
        """The daemon's, if it runs."""
        with suppress(OSError, ValueError):
            pid = int((self.home / "pm2.pid").read_text())
            if b"God Daemon" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    @property
    def node(self) -> str:
        """The program that runs the daemon, and its cluster's processes; empty if it is the one on PATH."""
        if self.pid is None:
            return ""
        program = os.path.realpath(f"/proc/{self.pid}/exe")
        usual = shutil.which("node")
        return "" if usual and os.path.realpath(usual) == program else program

    def processes(self) -> list[dict[str, Any]]:
        """What runs, if the daemon does; else what was saved. Raises EnvironmentProblem if there is neither."""
        if self.pid is not None:
            said = self.command("jlist")
            return _list(said[said.index("[{") :] if "[{" in said else "[]", "pm2 jlist")
        for file in (self.dump, self.dump.with_suffix(".pm2.bak")):
            if file.exists():
                return _list(file.read_text(encoding="utf-8"), str(file))
        raise EnvironmentProblem(
            f"there is no PM2 here: no daemon runs from {self.home}, and there is no {self.dump.name}",
            hint="Is it another user's? PM2_HOME=/home/NAME/.pm2 pysup import --from-pm2",
        )

    def command(self, *words: str) -> str:
        """Have PM2 do something, and return what it says."""
        env = {**os.environ, "PM2_HOME": str(self.home), "PM2_DISCRETE_MODE": "true", "PM2_NO_INTERACTION": "true"}
        done = subprocess.run(
            [self._program(), *words], env=env, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            last = re.sub(r"\x1b\[[0-9;]*m", "", (done.stderr or done.stdout).strip())[-300:]
            raise PysupError(f"pm2 {' '.join(words)} failed: {last}", hint="pm2 logs PM2 may say more.")
        return done.stdout

    def require_command(self) -> None:
        """Raise EnvironmentProblem if there is no ``pm2`` to be had."""
        self._program()

    def listening(self) -> list[Bound]:
        """The TCP sockets that the daemon listens on; empty if its descriptors may not be seen."""
        known = _sockets(_LISTENING)
        return [Bound(*known[inode], descriptor) for inode, descriptor in _descriptors(self.pid or 0) if inode in known]

    def take(self, bound: Bound) -> Shared | None:
        """The daemon's socket, for others of the same user to bind its address, too; None if it may not be had.

        That is root's right, and the user's own where ptrace is not restricted.
        """
        descriptor = _take(self.pid or 0, bound.descriptor)
        return Shared(socket.socket(fileno=descriptor)) if descriptor >= 0 else None

    def connections(self, pids: Collection[int], ports: Collection[int]) -> int:
        """How many connections to these ports the processes have."""
        known = _sockets(_ESTABLISHED)
        return sum(known[inode][1] in ports for pid in pids for inode, _ in _descriptors(pid) if inode in known)

    def startup_unit(self) -> Path | None:
        """What ``pm2 startup`` has installed for this user."""
        account = users.name(self.home.stat().st_uid if self.home.exists() else os.geteuid())
        unit = Path(f"/etc/systemd/system/pm2-{account}.service")
        return unit if unit.exists() else None

    def _program(self) -> str:
        beside = str(Path(os.path.realpath(f"/proc/{self.pid}/exe")).parent) if self.pid else ""
        found = shutil.which("pm2") or shutil.which("pm2", path=beside)
        if found is None:
            raise EnvironmentProblem(
                "pm2 itself is not on PATH", hint="Put it there: sudo env PATH=$PATH pysup import --from-pm2 …"
            )
        return found


def here() -> Pm2:
    """PM2_HOME, or the one of whoever calls."""
    return Pm2(Path(os.environ.get("PM2_HOME") or Path.home() / ".pm2").absolute())


def _list(text: str, where: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise PysupError(f"{where} is not JSON: {exc}", hint="pm2 save writes it anew.") from exc
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise PysupError(f"{where} is no list of processes", hint="pm2 save writes it anew.")
    return found


def _descriptors(pid: int) -> Iterator[tuple[str, int]]:
    """The inodes of a process's sockets, and their descriptors; none if they may not be seen."""
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if inode := re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink())):
                    yield inode[1], int(entry.name)


def _sockets(state: str) -> dict[str, tuple[str, int]]:
    """Own host and port of every TCP socket in a state, by inode: proc(5), ``/proc/net/tcp``."""
    found = {}
    for file, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with suppress(OSError):
            for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state:
                    address, _, port = words[1].partition(":")
                    found[words[9]] = (_host(address, family), int(port, 16))
    return found


def _host(text: str, family: int) -> str:
    """An address from the kernel's words of four bytes, the machine's own end first."""
    words = [int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))


def _take(pid: int, descriptor: int) -> int:
    """A copy of another process's descriptor; -1 if it may not be had."""
    import ctypes  # Python has no pidfd_getfd of its own

    with suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            return int(ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, descriptor, 0))
        finally:
            os.close(process)
    return -1
