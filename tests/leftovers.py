"""Units of pysup that a test left in a manager: find them, and clean up so that the next test is unharmed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pysup.box import Box
from vm.machine import Machine

Run = Callable[[Sequence[str]], str]

# Where a manager reads units from that pysup may write; systemd.unit(5).
_SYSTEM = ("/run/systemd/system", "/etc/systemd/system", "/run/systemd/transient")
_USER = ("/run/user/{uid}/systemd/user", "{home}/.config/systemd/user", "/run/user/{uid}/systemd/transient")
_ALIVE = "--state=active,reloading,activating,deactivating,failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """A systemd manager as a test sees it: how to run a command beside it, its switch, its folders."""

    run: Run
    switch: str
    folders: tuple[str, ...]

    def systemctl(self, *words: str) -> str:
        """What systemctl prints."""
        return self.run(["systemctl", self.switch, *words])

    def leftovers(self) -> list[str]:
        """Units that are in any state but inactive, and files and links of units, by their names."""
        listed = self.systemctl("list-units", "--all", "--plain", "--no-legend", _ALIVE, "pysup-*")
        units = [f"{line.split()[0]} is {line.split()[2]}" for line in listed.splitlines()]
        return units + self._files()

    def clean(self) -> None:
        """Stop, forget and remove them all."""
        self.systemctl("kill", "--signal=KILL", "pysup-*")
        self.systemctl("stop", "pysup-*")
        self.systemctl("reset-failed", "pysup-*")
        for file in self._files():
            self.run(["rm", "-rf", "--", file])
        self.systemctl("daemon-reload")

    def _files(self) -> list[str]:
        return self.run(["find", *self.folders, "-name", "pysup-*", "-prune"]).splitlines()


def here(command: Sequence[str]) -> str:
    """Run a command in this very place; what it says of things that are not there is of no interest."""
    program = shutil.which(command[0])
    assert program, command
    return subprocess.run([program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def system(run: Run = here) -> Manager:
    """The system manager."""
    return Manager(run=run, switch="--system", folders=_SYSTEM)


def manager(place: Box | Machine, account: str | None) -> Manager:
    """That of root, or of an ordinary user, in a box or the virtual machine, seen from outside."""

    def run(command: Sequence[str]) -> str:
        return str(place.run(command, user=account, check=False).stdout)

    return user(int(run(["id", "-u"])), Path("/home", account), run) if account else system(run)


def user(uid: int, home: Path, run: Run = here) -> Manager:
    """The manager of a user; *run* runs commands as that user."""
    folders = tuple(folder.format(uid=uid, home=home) for folder in _USER)
    return Manager(run=run, switch="--user", folders=folders)
