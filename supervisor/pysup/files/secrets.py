"""Secrets by reference: where their paths begin, and the values of those that become variables."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pysup.errors import SpecError
from pysup.files.source import text_of
from pysup.secret.reference import blob


def reference(text: str, base: str) -> str:
    """A reference with a whole path; what systemd-creds prints may have blanks and line ends in it."""
    kind, colon, where = text.partition(":")
    if not colon or blob(text):
        return blob(text) or text
    return f"{kind}:{os.path.normpath(os.path.join(base, os.path.expanduser(where)))}"  # noqa: PTH111, PTH118


def values(references: Mapping[str, str]) -> dict[str, str]:
    """The variables that are in files; a line end at the end of one is not the value's. Raises SpecError."""
    found = {}
    for name, text in references.items():
        kind, _, file = text.partition(":")
        if kind == "file":
            if not file.startswith("/"):
                raise SpecError(f"secrets.{name} is no reference", hint="Write file:PATH.")
            found[name] = text_of(file).removesuffix("\n").removesuffix("\r")
    return found
