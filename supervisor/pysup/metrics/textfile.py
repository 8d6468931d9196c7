"""Metrics as a file for node_exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path

from pysup import disk, local
from pysup.errors import NotPermitted, PysupError, SpecError
from pysup.metrics import exposition, sampling
from pysup.metrics.exposition import Format
from pysup.render import File
from pysup.unit import Scope


def write(scope: Scope, directory: Path, *, version: str) -> Path:
    """Sample all apps into *directory*: the whole file at once, so a reader never sees a part. Returns the file.

    What was there before stays where anything goes wrong; node_exporter tells the age of its files.
    """
    if not directory.is_dir():
        raise SpecError(f"there is no directory {directory}", hint="Name that of --collector.textfile.directory.")
    snapshot = sampling.take(local.store(scope), scope)
    text = exposition.write(snapshot, Format.TEXT, version=version)
    name = "pysup.prom" if scope is Scope.SYSTEM else f"pysup-{snapshot.manager}.prom"
    try:
        disk.replace(directory, name, File(text))
    except PermissionError as exc:
        raise NotPermitted(f"{directory} may not be written to", hint=f"See whose it is: ls -ld {directory}") from exc
    except OSError as exc:
        raise PysupError(f"{directory / name} cannot be written: {exc.strerror}") from exc
    return directory / name
