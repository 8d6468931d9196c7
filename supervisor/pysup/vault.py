"""The values of secrets as they are kept on disk, by app: encrypted by systemd-creds, or plain, for their owner only.

They are in ``/var/lib/pysup/secrets/APP`` or ``~/.local/state/pysup/secrets/APP``: a file for each, ``NAME.encrypted``
or ``NAME.plain``, and ``NAME.variable`` with the name of the variable that is to hold it, if one is. They belong to the
app's name: whatever the app is made from, and whenever, it has them until it is deleted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pysup import disk
from pysup.app import App
from pysup.errors import NotPermitted, SpecError
from pysup.secret import reference

_ENCRYPTED, _PLAIN, _VARIABLE = "encrypted", "plain", "variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A secret as it is kept: since when (seconds since the epoch), and the variable that is to hold it, or empty."""

    name: str
    path: Path
    is_encrypted: bool
    at: float
    variable: str = ""

    @property
    def size(self) -> int:
        """How many bytes it has at most: those of an encrypted one are base64, and a little more."""
        size = self.path.stat().st_size
        return size * 3 // 4 if self.is_encrypted else size

    @property
    def reference(self) -> str:
        """What an app has for it."""
        return f"{reference.ENCRYPTED if self.is_encrypted else reference.CREDENTIAL}:{self.path}"


def find(folder: Path) -> dict[str, Kept]:
    """The secrets in a folder, by name. Raises NotPermitted."""
    found: dict[str, Kept] = {}
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as exc:
        raise NotPermitted(f"{folder} may not be read", hint="Run as its owner, or with sudo.") from exc
    for path in entries:
        name, _, kind = path.name.rpartition(".")
        if kind in (_ENCRYPTED, _PLAIN) and not name.startswith("."):
            variable = disk.read(folder / f"{name}.{_VARIABLE}") or ""
            encrypted, at = kind == _ENCRYPTED, path.stat().st_mtime
            found[name] = Kept(name=name, path=path, is_encrypted=encrypted, at=at, variable=variable)
    return found


def put(folder: Path, name: str, value: bytes, *, is_encrypted: bool, variable: str) -> None:
    """Keep a value in the place of another; who reads meanwhile finds the old or the new."""
    with disk.writing(folder):
        disk.make(folder, mode=0o700)
        if variable:
            disk.replace_bytes(folder, f"{name}.{_VARIABLE}", variable.encode(), 0o600)
        else:
            (folder / f"{name}.{_VARIABLE}").unlink(missing_ok=True)
        kind, other = (_ENCRYPTED, _PLAIN) if is_encrypted else (_PLAIN, _ENCRYPTED)
        disk.replace_bytes(folder, f"{name}.{kind}", value, 0o600)
        (folder / f"{name}.{other}").unlink(missing_ok=True)
        disk.sync(folder)


def take(folder: Path, name: str) -> Mapping[str, bytes]:
    """The files of a secret as they are, to be put back if need be."""
    files = (folder / f"{name}.{kind}" for kind in (_ENCRYPTED, _PLAIN, _VARIABLE))
    return {file.name: file.read_bytes() for file in files if file.exists()}


def put_back(folder: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Have a secret as ``take`` found it."""
    with disk.writing(folder):
        for file, content in files.items():
            disk.replace_bytes(folder, file, content, 0o600)
        for kind in (_ENCRYPTED, _PLAIN, _VARIABLE):
            if f"{name}.{kind}" not in files:
                (folder / f"{name}.{kind}").unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Take all secrets of an app away."""
    with disk.writing(folder):
        for name in disk.entries(folder):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def attach(app: App, kept: Mapping[str, Kept], folder: Path) -> App:
    """The app with what is kept for its name, and without what is kept no longer.

    Raises SpecError for a secret that it has as ``stored`` and nobody has set.
    """
    missing = [name for name, text in app.secrets.items() if text == reference.STORED and name not in kept]
    if missing:
        raise SpecError(
            f"app {app.name!r}: secret {missing[0]!r} is not set",
            hint=f"Type: pysup secret set {app.name} {missing[0]}",
        )
    gone = {name for name, text in app.secrets.items() if _is_in(folder, text) and name not in kept}
    own = {name: text for name, text in app.secrets.items() if name not in gone and not is_kept(folder, text)}
    secrets = {**{name: one.reference for name, one in kept.items()}, **own}
    held = {one.variable: name for name, one in kept.items() if one.variable and name not in own}
    explicit = {variable: name for variable, name in app.secret_env.items() if name in secrets}
    return replace(app, secrets=secrets, secret_env={**held, **explicit})


def known(app: App | None, folder: Path) -> dict[str, Kept]:
    """What is kept as far as the app tells, for who may not look."""
    found: dict[str, Kept] = {}
    held = {name: variable for variable, name in app.secret_env.items()} if app else {}
    for name, text in app.secrets.items() if app else ():
        kind, where = reference.read(text)
        if _is_in(folder, text):
            encrypted, variable = kind == reference.ENCRYPTED, held.get(name, "")
            found[name] = Kept(name=name, path=Path(where), is_encrypted=encrypted, at=0.0, variable=variable)
    return found


def is_kept(folder: Path, text: str) -> bool:
    """Whether a reference is to what is kept in the folder, or to be kept there."""
    return text == reference.STORED or _is_in(folder, text)


def _is_in(folder: Path, text: str) -> bool:
    where = reference.read(text).where
    return where.startswith("/") and Path(where).parent == folder
