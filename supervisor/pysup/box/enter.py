"""Run a command inside a box: its command line, its environment, and a Popen that signals the right process."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pysup.box.ground import tool
from pysup.box.init import FORBIDDEN
from pysup.errors import BoxError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SET_BY_SHELLS = ("OLDPWD", "PWD", "SHLVL", "_")  # on the way in; PWD would be the caller's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of a box."""

    name: str
    uid: int
    gid: int
    home: str

    def environment(self) -> dict[str, str]:
        """What a command of this user finds in its environment."""
        common = {"PATH": _PATH, "HOME": self.home, "USER": self.name, "LOGNAME": self.name, "LANG": "C.UTF-8"}
        if self.uid == 0:
            return common
        runtime = f"/run/user/{self.uid}"
        return common | {
            "XDG_RUNTIME_DIR": runtime,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
        }


class Entered(subprocess.Popen):  # type: ignore[type-arg]
    """A command inside a box; its exit code or signal is this process's, and signals sent here reach it.

    What runs on the machine is nsenter, which waits for the command: it is the parent of the process meant.
    """

    def send_signal(self, sig: int) -> None:
        """Send *sig* to the command in the box."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._command_pid() or self.pid, sig)

    def _command_pid(self) -> int:
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return int(children[0]) if children else 0


def account(init: int, name: str) -> Account:
    """The account *name* of the box whose systemd has the PID *init*."""
    found = find_account(init, name)
    if found is None:
        raise BoxError(
            f"user {name!r} does not exist in the box",
            hint=f"Boot one that has it: pysup box up --create-user {name}. In Python: Box.create_user({name!r}).",
        )
    return found


def find_account(init: int, name: str) -> Account | None:
    """The account *name* of a box, or None."""
    for line in Path(f"/proc/{init}/root/etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) == 7:
            return Account(name=name, uid=int(fields[2]), gid=int(fields[3]), home=fields[5])
    return None


def command_line(init: int, groups: Sequence[Path], user: Account, argv: Sequence[str], cwd: str) -> list[str]:
    """What to run on the machine so that *argv* runs as *user*, in the cgroups *groups*, in the box of *init*."""
    if isinstance(argv, str) or not argv:
        raise BoxError(f"{argv!r} is not a command line", hint="Give a list: the command, then its arguments.")
    forbidden = ",".join(f"-{name}" for name in FORBIDDEN)
    moves = "".join(f"echo 0 >{shlex.quote(str(group))}/cgroup.procs && " for group in groups)
    return [
        *("/bin/sh", "-c", moves + 'exec "$@"', "sh"),
        *(tool("nsenter"), f"--target={init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"),
        *("setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups", "--inh-caps=-all"),
        *(f"--bounding-set={forbidden}", "--pdeathsig=KILL", "--"),
        *("env", *(f"--unset={name}" for name in _SET_BY_SHELLS), "--default-signal=INT,QUIT", f"--chdir={cwd}", "--"),
        *argv,
    ]


def environment(user: Account, extra: Mapping[str, str] | None) -> dict[str, str]:
    """The whole environment of a command: the user's, then *extra*."""
    return {**user.environment(), **(extra or {})}
