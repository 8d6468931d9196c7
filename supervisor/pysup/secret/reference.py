"""References to secrets: the text that an App has for each, and the directives that it becomes.

The value itself is never in an App, but for that of ``file:``, which becomes a variable of its environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pysup import check
from pysup.errors import SpecError

FILE = "file"
CREDENTIAL = "credential"
ENCRYPTED = "encrypted"
IMPORT = "import"
STORED = "stored"
"""What ``pysup secret set`` has kept: replaced by the file that it is in before units are written."""

SHAPES = "file:PATH, credential:PATH, encrypted:PATH, credential: and what systemd-creds encrypt prints, import, stored"

_BLOB = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")  # base64, longer than any name that looks like it
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_GLOB = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\*")


class Reference(NamedTuple):
    """Where a secret is: a path, what systemd-creds has encrypted, or nothing more than its name."""

    kind: str
    where: str = ""

    @property
    def is_blob(self) -> bool:
        """Whether it is the encrypted secret itself."""
        return self.kind == CREDENTIAL and not self.where.startswith("/")

    @property
    def is_encrypted(self) -> bool:
        """Whether systemd has to decrypt it."""
        return self.kind == ENCRYPTED or self.is_blob


def read(text: str) -> Reference:
    """The reference that a text is; whether it can be one is for ``check_secret`` to say."""
    kind, _, where = text.partition(":")
    return Reference(kind, where)


def path(text: str) -> str:
    """The file that a reference names; empty if it names none."""
    where = read(text).where
    return where if where.startswith("/") else ""


def blob(text: str) -> str:
    """An encrypted secret without the blanks and line ends that systemd-creds prints; empty if it is none."""
    kind, _, where = text.partition(":")
    together = "".join(where.split())
    return f"{kind}:{together}" if kind == CREDENTIAL and _BLOB.fullmatch(together) else ""


def check_name(name: str) -> None:
    """Raise SpecError for what cannot be a credential's name."""
    if not _NAME.fullmatch(name):
        shown = name.partition("=")[0][:60]  # what follows is a value that somebody has written where none belongs
        raise SpecError(f"secrets: {shown!r} cannot be a credential's name", hint="Use A-Z a-z 0-9 _ . and -.")


def check_secret(name: str, text: str) -> None:
    """Raise SpecError for a name or a reference that cannot be."""
    found = read(text) if isinstance(text, str) else Reference("")
    field = f"secrets.{name}"
    if found.kind == FILE:
        check.env_name(name, "secrets")
        check.path(found.where, field)
        return
    if not (found.kind == IMPORT and _GLOB.fullmatch(name)):
        check_name(name)
    if found.kind in (CREDENTIAL, ENCRYPTED) and found.where.startswith("/"):
        check.path(found.where, field)
    elif not (found.is_blob and _BLOB.fullmatch(found.where)) and text not in (IMPORT, STORED):
        raise SpecError(f"{field} is no reference", hint=f"Write one of: {SHAPES}.")


def check_variable(variable: str, name: str, secrets: Mapping[str, str]) -> None:
    """Raise SpecError for a variable that is to hold a secret, and cannot."""
    check.env_name(variable, "secret_env")
    if name not in secrets or read(secrets[name]).kind == FILE or name.endswith("*"):
        raise SpecError(
            f"secret_env.{variable}: there is no credential {name!r} among the secrets",
            hint="Name one of secrets; those of file: are variables already.",
        )


def directives(secrets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What has systemd hand them over, in a directory of the service's own: $CREDENTIALS_DIRECTORY.

    ``%`` in the values stands for itself, and is still to be doubled.
    """
    for name, text in secrets.items():
        found = read(text)
        if found.kind == IMPORT:
            yield "ImportCredential" if name.endswith("*") else "LoadCredential", name
        elif found.is_blob:
            yield "SetCredentialEncrypted", f"{name}: {found.where}"
        elif found.kind in (CREDENTIAL, ENCRYPTED):
            directive = "LoadCredentialEncrypted" if found.is_encrypted else "LoadCredential"
            yield directive, f"{name}:{found.where}"


def said(name: str, text: str) -> str:
    """Where a secret is, in a few words."""
    found = read(text)
    if found.is_blob:
        return "encrypted, in the unit file"
    return {
        FILE: f"variable {name}, from {found.where}",
        CREDENTIAL: f"plain, in {found.where}",
        ENCRYPTED: f"encrypted, in {found.where}",
        IMPORT: "from systemd's credential store",
    }.get(found.kind, text)
