"""Where tests run that need a systemd, and the pytest in there: in a box, or in the virtual machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, Self

import grounds
import inside
import leftovers
from pysup.box import Box
from vm import recipe
from vm.machine import PYTHON, Command, Machine

# A test that hangs is killed with its pytest, which tells where it hung.
_OPTIONS = ("-p", "no:cacheprovider", "-o", "faulthandler_timeout=180", "-o", "faulthandler_exit_on_timeout=true")


class Ground(Protocol):
    """A place where a systemd is PID 1."""

    def pytest(self, user: str | None, words: Sequence[str]) -> Inner:
        """Start a pytest there, as root or as *user*."""

    def clean(self, user: str | None) -> None:
        """Remove all that tests have left in the systemd of root or *user*."""


class Inner(Protocol):
    """A pytest in there. Nobody need listen to it: what it says is kept. Killed at the end of its context."""

    lines: SimpleQueue[str]  # an empty one is the end

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it wrote to stderr, when it has ended."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class InBox:
    """A box as a ground."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def pytest(self, user: str | None, words: Sequence[str]) -> Inner:
        """See `Ground`."""
        env = grounds.environment(**_environment(user, Path(__file__).parent))
        return Entered(self._box, _pytest(sys.executable, words), user=user, cwd=grounds.ROOT, env=env)

    def clean(self, user: str | None) -> None:
        """See `Ground`."""
        leftovers.manager(self._box, user).clean()


class Entered:
    """A pytest in a box."""

    def __init__(self, box: Box, command: Sequence[str], **options: Any) -> None:
        self.lines: SimpleQueue[str] = SimpleQueue()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the context
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = box.popen(command, text=True, **streams, **options)
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._errors, self._process:
            self._process.kill()
            self._listener.join()

    def end(self) -> tuple[int, str]:
        """See `Inner`."""
        code = self._process.wait()
        self._errors.seek(0)
        return code, self._errors.read()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self.lines.put(line)
        self.lines.put("")


class InMachine:
    """The virtual machine as a ground; there, too, the ordinary user is ada."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def pytest(self, user: str | None, words: Sequence[str]) -> Inner:
        """See `Ground`."""
        env = grounds.environment(Path(PYTHON).parent, **_environment(user, Path(recipe.PROJECT, "tests")))
        return Sent(self._machine.popen(_pytest(PYTHON, words), user=user, cwd=recipe.PROJECT, env=env))

    def clean(self, user: str | None) -> None:
        """See `Ground`."""
        leftovers.manager(self._machine, user).clean()


class Sent:
    """A pytest in the machine."""

    def __init__(self, command: Command) -> None:
        self.lines = command.lines
        self._command = command

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._command.kill()

    def end(self) -> tuple[int, str]:
        """See `Inner`."""
        return self._command.wait(), self._command.errors


def _pytest(python: str, words: Sequence[str]) -> list[str]:
    return [python, "-m", "pytest", "-p", "inside", *_OPTIONS, *words]


def _environment(user: str | None, tests: Path) -> dict[str, str]:
    examples = f"/tmp/hypothesis-{user or 'root'}"
    return {"PYTHONPATH": str(tests), "HYPOTHESIS_STORAGE_DIRECTORY": examples, inside.FLAG: "yes"}
