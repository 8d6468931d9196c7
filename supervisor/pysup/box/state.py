"""What is known about the boxes of this machine: /run/pysup-box, one folder for each.

A folder's ``flock`` is held as long as its box's holder lives, so whoever gets it knows that the box is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from pysup.errors import BoxError

TOP = Path("/run/pysup-box")


@dataclass(frozen=True, slots=True)
class Share:
    """A file or folder of the machine that is visible inside a box (without what is mounted below it)."""

    host: Path
    inside: Path
    writable: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", Path(self.host).absolute())
        object.__setattr__(self, "inside", Path(self.inside))
        if not self.inside.is_absolute() or ".." in self.inside.parts or self.inside == Path("/"):
            raise BoxError(
                f"{str(self.inside)!r} cannot be where a share is seen in the box",
                hint="Give an absolute path without '..', below /.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A box as its holder wrote it down; ``holder`` and ``init`` are PIDs, 0 while there is none to enter."""

    name: str
    machine_id: str
    shares: tuple[Share, ...] = ()
    holder: int = 0
    init: int = 0

    @property
    def folder(self) -> Path:
        """Where this box keeps its files on the machine."""
        return TOP / self.name

    @property
    def log(self) -> Path:
        """What the holder and the box's console have said."""
        return self.folder / "log"

    def save(self) -> Self:
        """Write this state down, whole or not at all."""
        draft = self.folder / "state.json.new"
        draft.write_text(json.dumps(asdict(self), default=str))
        draft.replace(self.folder / "state.json")
        return self


def load(name: str) -> State | None:
    """The state of a box that lives, else None."""
    try:
        with _opened(TOP / name) as fd:
            return None if _is_free(fd) else _read(TOP / name / "state.json")
    except FileNotFoundError:
        return None


def names() -> list[str]:
    """The names of all boxes that have a folder, dead ones too."""
    return sorted(path.name for path in TOP.iterdir()) if TOP.is_dir() else []


def check_name(name: str) -> str:
    """*name*, if a box can have it."""
    if not re.fullmatch(r"[a-z0-9-]{1,40}", name):
        raise BoxError(f"{name!r} is not a name for a box", hint="Use 1 to 40 of the characters a-z, 0-9 and '-'.")
    return name


def claim(name: str | None, shares: tuple[Share, ...]) -> tuple[State, int]:
    """Make the folder of a new box; the open, locked folder goes to its holder."""
    name = f"box-{secrets.token_hex(4)}" if name is None else check_name(name)
    with registry():
        folder = TOP / name
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError as exc:
            raise BoxError(
                f"box {name!r} exists already", hint=f"Take another name, or end it: pysup box down {name}"
            ) from exc
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        state = State(name=name, machine_id=secrets.token_hex(16), shares=shares)
        state.save()
        return state, fd


@contextlib.contextmanager
def registry() -> Iterator[None]:
    """Hold the lock under which folders of boxes are made, or found dead and cleared."""
    TOP.mkdir(mode=0o755, exist_ok=True)
    with _opened(TOP) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def is_dead(name: str) -> bool:
    """Whether a box's folder is there and nobody holds it; certain only under the registry's lock."""
    try:
        with _opened(TOP / name) as fd:
            return _is_free(fd)
    except FileNotFoundError:
        return False


def clear(name: str) -> None:
    """Remove the folder of a box; fine when it is gone."""
    folder = TOP / name
    with contextlib.suppress(FileNotFoundError):
        for entry in folder.iterdir():
            entry.rmdir() if entry.is_dir() else entry.unlink()
        folder.rmdir()


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: Path) -> State:
    values: dict[str, Any] = json.loads(file.read_text())
    return State(**values | {"shares": tuple(_read_share(share) for share in values["shares"])})


def _read_share(values: dict[str, Any]) -> Share:
    return Share(host=Path(values["host"]), inside=Path(values["inside"]), writable=values["writable"])
