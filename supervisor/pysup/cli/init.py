"""``pysup init``."""

from __future__ import annotations

from pathlib import Path

from pysup.cli import output
from pysup.errors import Conflict


def init() -> None:
    """Write a pysup.toml to begin with, for the project that is here.

    What runs in it is found in Procfile, package.json, pyproject.toml, go.mod or Gemfile; all else is comments. A file
    that is there already is never overwritten.

    Examples:
      pysup init
      pysup diff          what it would do
      pysup apply
    """
    from pysup.files import readers, starter

    there = readers.here()
    if there:
        raise Conflict(f"there is {readers.shown(there)!r} already", hint="pysup diff shows what it would do.")
    text = starter.text(Path.cwd())
    with Path("pysup.toml").open("x", encoding="utf-8") as stream:
        stream.write(text)
    output.echo("Wrote pysup.toml. Look at it, then: pysup apply")
