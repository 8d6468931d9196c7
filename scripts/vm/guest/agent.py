"""In the machine: runs commands that come over a virtio-serial port, one JSON object a line, and tells how they went.

In: ``{"id", "run": {command, user, cwd, env, input}}``, ``{"id", "signal"}``.
Out: ``{"id", "stdout"}``, ``{"id", "stderr"}``, ``{"id", "end": code}``, and at first ``{"hello": boot id}``.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import subprocess
from threading import Lock, Thread
from typing import IO, Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Agent:
    """Both ends of the port, and what runs."""

    def __init__(self, port: str) -> None:
        fd = os.open(port, os.O_RDWR | os.O_CLOEXEC)
        self._orders = open(fd, "rb")
        self._out = open(os.dup(fd), "wb")
        self._lock = Lock()
        self._running: dict[int, subprocess.Popen[str]] = {}

    def serve(self) -> None:
        """Obey, as long as the machine is up."""
        with open("/proc/sys/kernel/random/boot_id") as file:
            self._tell(hello=file.read().strip())
        for line in self._orders:
            self._obey(**json.loads(line))

    def _obey(self, id: int, run: dict[str, Any] | None = None, signal: int = 0) -> None:
        if run:
            try:
                self._running[id] = _start(run)
            except (OSError, KeyError) as error:
                self._tell(id=id, stderr=f"{error}\n")
                self._tell(id=id, end=127)
            else:
                Thread(target=self._follow, args=(id, self._running[id], run["input"])).start()
        elif id in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running[id].pid, signal)

    def _follow(self, id: int, process: subprocess.Popen[str], text: str) -> None:
        streams = [
            Thread(target=self._forward, args=(id, "stdout", process.stdout)),
            Thread(target=self._forward, args=(id, "stderr", process.stderr)),
        ]
        for stream in streams:
            stream.start()
        with contextlib.suppress(BrokenPipeError), process.stdin or contextlib.nullcontext() as stdin:
            if stdin:
                stdin.write(text)
        code = process.wait()
        for stream in streams:
            stream.join(5)  # what the command has left running may hold them open
        del self._running[id]
        self._tell(id=id, end=code)

    def _forward(self, id: int, name: str, stream: IO[str]) -> None:
        for line in stream:
            self._tell(id=id, **{name: line})

    def _tell(self, **said: object) -> None:
        with self._lock:
            self._out.write(json.dumps(said).encode() + b"\n")
            self._out.flush()


def _start(what: dict[str, Any]) -> subprocess.Popen[str]:
    account = pwd.getpwnam(what["user"])
    name, home = account.pw_name, account.pw_dir
    env = {"PATH": PATH, "HOME": home, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8"}
    options: dict[str, Any] = {}
    if account.pw_uid:
        runtime = f"/run/user/{account.pw_uid}"
        env |= {"XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus"}
        groups = os.getgrouplist(name, account.pw_gid)
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    options |= {"text": True, "errors": "surrogateescape", "start_new_session": True, "umask": 0o022} | streams
    return subprocess.Popen(what["command"], cwd=what["cwd"] or home, env=env | what["env"], **options)


if __name__ == "__main__":
    Agent(glob.glob("/dev/vport*p*")[0]).serve()
