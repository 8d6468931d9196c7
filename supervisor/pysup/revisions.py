"""What an app was before: each change of its spec, as a file that only the owner of the units can read.

They are in ``/var/lib/pysup/revisions/APP`` or ``~/.local/state/pysup/revisions/APP``, the last ten, with the values of
the environment: what an app is taken back to must be what it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from pysup import disk, spec, unitfile
from pysup.app import App
from pysup.errors import CorruptUnit, NotFound

KEPT = 10

_why: ContextVar[str] = ContextVar("why", default="")
_is_taken_back: ContextVar[bool] = ContextVar("is_taken_back", default=False)
_is_restoring: ContextVar[bool] = ContextVar("is_restoring", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An app as it was from ``at`` on (seconds since the epoch); ``who`` made it so, by ``why`` (a command)."""

    number: int
    at: float
    who: str
    why: str
    app: App


@contextlib.contextmanager
def because(why: str) -> Iterator[None]:
    """Have changes in the block recorded with this reason."""
    token = _why.set(why)
    try:
        yield
    finally:
        _why.reset(token)


def explain(why: str) -> None:
    """Have changes from now on recorded with this reason."""
    _why.set(why)


@contextlib.contextmanager
def restoring() -> Iterator[None]:
    """Have apps in the block be what they were once: what they were then needs no word of anybody's again."""
    token = _is_restoring.set(True)
    try:
        yield
    finally:
        _is_restoring.reset(token)


def is_restoring() -> bool:
    """Whether this is such a block."""
    return _is_restoring.get()


@contextlib.contextmanager
def taking_back() -> Iterator[None]:
    """The same, and have changes take the newest revision away: what did not come up is nothing to go back to."""
    token = _is_taken_back.set(True)
    try:
        with restoring():
            yield
    finally:
        _is_taken_back.reset(token)


def record(directory: Path, name: str, template: str, environment: str) -> None:
    """Add a revision, unless the newest is the same; the oldest go. Files in *directory* are their owner's alone."""
    lines = [(line.key, line.value) for line in unitfile.parse(template) if line.section == spec.SECTION]
    content = {"spec": [line for line in lines if line[0] != "Digest"], "env": unitfile.parse_environment(environment)}
    folder = directory / name
    there = _numbers(folder)
    if _is_taken_back.get() and len(there) > 1:
        (folder / f"{there.pop()}.json").unlink(missing_ok=True)
    if there and _same(_read(folder, there[-1]), content):
        return
    number = there[-1] + 1 if there else 1
    disk.make(folder, mode=0o700)
    said = {"at": time.time(), "who": _who(), "why": _why.get()}
    staged = folder / ".new"
    staged.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(staged, flags, 0o600), "w", encoding="utf-8") as stream:
        json.dump({**said, **content}, stream)
    staged.rename(folder / f"{number}.json")
    for old in there[: max(0, len(there) + 1 - KEPT)]:
        (folder / f"{old}.json").unlink(missing_ok=True)


def forget(directory: Path, name: str) -> None:
    """Take an app's revisions away."""
    folder = directory / name
    for entry in folder.glob("*") if folder.is_dir() else ():
        entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / ".new").unlink(missing_ok=True)
        folder.rmdir()


def read(directory: Path, name: str) -> list[Revision]:
    """The revisions of an app, oldest first; those that cannot be read any more are left out."""
    folder = directory / name
    found = []
    for number in _numbers(folder):
        content = _read(folder, number)
        with contextlib.suppress(CorruptUnit, KeyError, TypeError, ValueError):
            where = f"{folder}/{number}.json"
            app = spec.decode([(key, text) for key, text in content["spec"]], content["env"], where=where)  # type: ignore[attr-defined,arg-type]
            found.append(
                Revision(
                    number=number,
                    at=float(str(content["at"])),
                    who=str(content["who"]),
                    why=str(content["why"]),
                    app=app,
                )
            )
    return found


def choose(found: list[Revision], name: str, now: App, number: int | None) -> Revision:
    """The revision of that number or, without one, the newest that differs from what is now."""
    fitting = [one for one in found if (one.app != now if number is None else one.number == number)]
    if fitting:
        return fitting[-1]
    said = f"has no revision {number}" if number is not None else "has never been anything else"
    there = f"There are {found[0].number} to {found[-1].number}: " if found and number is not None else ""
    raise NotFound(f"app {name!r} {said}", hint=f"{there}pysup revisions {name}")


def _numbers(folder: Path) -> list[int]:
    try:
        entries = os.listdir(folder)  # noqa: PTH208 (names are wanted)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(stem) for stem in (entry.removesuffix(".json") for entry in entries) if stem.isdecimal())


def _read(folder: Path, number: int) -> Mapping[str, object]:
    try:
        found = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _same(before: Mapping[str, object], content: Mapping[str, object]) -> bool:
    return json.dumps([before.get("spec"), before.get("env")]) == json.dumps([content["spec"], content["env"]])


def _who() -> str:
    """The account that asks, and through sudo whose it was."""
    import pwd  # only who changes something is asked for

    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        account = str(os.getuid())
    before = os.environ.get("SUDO_USER", "")
    return f"{before} (as {account})" if before and before != account else account
