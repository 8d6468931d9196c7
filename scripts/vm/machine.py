"""Machine: Debian 13 in qemu, its CPUs emulated, as a context manager; nothing of it is left when it ends.

Its processes are one qemu, which the kernel kills when the caller dies; what it writes to its disk is in a file that
has no name. It has no network: its only way out is the agent's port (guest/agent.py).
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Self, TypedDict, Unpack

from vm import image, recipe

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = f"{recipe.VENV}/bin/python"
PYSUP = f"{recipe.VENV}/bin/pysup"

LOST = -signal.SIGKILL
"""The exit code of what ran when the machine lost its power."""

_BOOT_SECONDS = 180.0  # 8 on an idle machine
_COPIED = ("bench", "docs", "examples", "scripts", "supervisor", "tests", "units", "pyproject.toml", "README.md")
_KERNEL = (
    "console=ttyS0 root=/dev/vda rw panic=-1 mitigations=off nowatchdog tsc=reliable no_timer_check "
    "cryptomgr.notests random.trust_cpu=on loglevel=4 systemd.show_status=no"
)


class MachineError(Exception):
    """The machine does not come up, or is gone; with the end of its console."""


class How(TypedDict, total=False):
    """How a command runs: as *user* or as root, in that user's home unless *cwd* is given, in a clean environment."""

    user: str | None
    cwd: str | None
    env: Mapping[str, str] | None
    input: str


class Command:
    """A command that runs in a machine; ``lines`` is what it writes to stdout, and an empty one is the end."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.lines: SimpleQueue[str] = SimpleQueue()
        self._errors: list[str] = []
        self._code = LOST
        self._ended = Event()
        self._machine = machine
        self._number = number

    @property
    def errors(self) -> str:
        """What it has written to stderr."""
        return "".join(self._errors)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal, when it has ended."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"a command in the machine still runs after {timeout} s; {self.errors}")
        return self._code

    def kill(self) -> None:
        """Kill it and what is in its process group; fine if it has ended."""
        if not self._ended.is_set():
            self._machine.order(id=self._number, signal=signal.SIGKILL)

    def hear(self, said: Mapping[str, Any]) -> None:
        """Take what the agent says of it."""
        match said:
            case {"stdout": line}:
                self.lines.put(line)
            case {"stderr": line}:
                self._errors.append(line)
            case {"end": code}:
                self._code = code
                self.lines.put("")
                self._ended.set()


class Machine:
    """A machine that is up."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._folder = folder
        self._project = stack.enter_context(_packed(folder))
        self._disk = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - closed with the stack
        self._console = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))  # noqa: SIM115 - the same
        self._numbers = itertools.count(1)
        self._commands: dict[int, Command] = {}
        _make_disk(folder, self._disk.fileno())
        stack.callback(self._end)
        self._boot()
        self.run(["tar", "--extract", "--no-same-owner", f"--directory={recipe.PROJECT}", "--file=/dev/vdb"])

    @classmethod
    @contextmanager
    def booted(cls) -> Iterator[Self]:
        """One in which root and USER can run this checkout's pysup, and the systemd of both is up."""
        with ExitStack() as stack:
            yield cls(stack, image.find())

    def run(
        self, command: Sequence[str], *, timeout: float = 120, check: bool = True, **how: Unpack[How]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, and return its output; as Box.run does."""
        running = self.popen(command, **how)
        try:
            code = running.wait(timeout)
        except BaseException:
            running.kill()
            raise
        said = "".join(iter(running.lines.get, ""))
        done = subprocess.CompletedProcess(list(command), code, said, running.errors)
        if check and code:
            raise MachineError(f"{command} ended with {code}:\n{said}{running.errors}")
        return done

    def popen(self, command: Sequence[str], **how: Unpack[How]) -> Command:
        """Start a command."""
        number = next(self._numbers)
        started = self._commands[number] = Command(self, number)
        user, env = how.get("user") or "root", dict(how.get("env") or {})
        what = {"cwd": None, "input": "", **how, "command": list(command), "user": user, "env": env}
        self.order(id=number, run=what)
        return started

    def cut_power(self) -> None:
        """End it without a word to what runs in it, and boot it again: what was not flushed to its disk is lost.

        Returns when the systemd of root and of USER have come up.
        """
        self._end()
        self._boot()

    def order(self, **what: Any) -> None:
        """Send an order to the agent."""
        self._port.sendall(json.dumps(what).encode() + b"\n")

    def _boot(self) -> None:
        self._port, theirs = socket.socketpair()
        self._greeting: SimpleQueue[str] = SimpleQueue()
        fds = (theirs.fileno(), self._disk.fileno(), self._project.fileno())
        with theirs:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *_qemu(self._folder, *fds)],
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
            )
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        try:
            if not self._greeting.get(timeout=_BOOT_SECONDS):
                raise self._broken("ended")
        except Empty:
            raise self._broken(f"is not up after {_BOOT_SECONDS:.0f} s") from None
        lingering = f"user@{self.run(['id', '-u', recipe.USER]).stdout.strip()}.service"
        self.run(["systemctl", "start", lingering])
        for user, manager in (("root", "--system"), (recipe.USER, "--user")):
            state = self.run(["systemctl", manager, "is-system-running", "--wait"], user=user, check=False).stdout
            if state != "running\n":
                failed = self.run(["systemctl", manager, "--failed"], user=user, check=False).stdout
                raise MachineError(f"the systemd of {user} in the machine is {state.strip()}:\n{failed}")

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # qemu was killed
            for line in self._port.makefile("rb"):
                self._hear(json.loads(line))
        self._greeting.put("")

    def _hear(self, said: Mapping[str, Any]) -> None:
        if "hello" in said:
            self._greeting.put(said["hello"])
        elif said["id"] in self._commands:
            self._commands[said["id"]].hear(said)
            if "end" in said:
                del self._commands[said["id"]]

    def _broken(self, how: str) -> MachineError:
        self._console.seek(0)
        return MachineError(f"the machine {how}; the end of its console:\n{self._console.read()[-4000:]}")

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._port.close()
        for number in list(self._commands):
            self._commands.pop(number).hear({"end": LOST})


def _make_disk(folder: Path, disk: int) -> None:
    """Let a file without a name hold what the machine writes, on top of the image."""
    create = ("create", "-q", "-f", "qcow2", "-b", f"{folder}/root.img", "-F", "raw", f"/proc/self/fd/{disk}")
    subprocess.run([*image.tool(folder, "qemu-img"), *create], pass_fds=[disk], check=True)


def _qemu(folder: Path, agent: int, disk: int, project: int) -> list[str]:
    shared = folder / "tools/usr/share"
    return [
        *image.tool(folder, "qemu-system-x86_64"),
        *("-L", f"{shared}/qemu", "-L", f"{shared}/seabios"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"),
        *("-machine", "pc,usb=off,vmport=off,hpet=off", "-accel", "tcg,thread=multi,tb-size=512"),
        *("-cpu", "Nehalem,+rdrand", "-smp", "2", "-m", "2048"),
        *("-kernel", str(folder / "vmlinux"), "-initrd", str(folder / "initrd.img"), "-append", _KERNEL),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=agent,fd={agent}", "-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=agent", "-device", "virtio-rng-pci"),
        *("-drive", f"file=/proc/self/fd/{disk},format=qcow2,if=virtio"),
        *("-drive", f"file=/proc/self/fd/{project},format=raw,if=virtio,readonly=on"),
    ]


@contextmanager
def _packed(folder: Path) -> Iterator[io.FileIO]:
    """This checkout as a tar in a file without a name, which the machine has as its second disk."""
    python = ["env", f"PYTHONHOME={folder}/tools/usr", *image.tool(folder, f"python{recipe.PYTHON}")]
    with io.FileIO(os.memfd_create("project"), "r+") as file:
        words = [str(Path(__file__).with_name("pack.py")), str(ROOT), recipe.PROJECT, *_COPIED]
        subprocess.run([*python, *words], stdout=file, check=True)
        yield file
