"""Metrics as text, printed; apart from its command, so that the usual words need no typer."""

from __future__ import annotations

from collections.abc import Sequence

from pysup import __version__, local
from pysup.cli import output
from pysup.host import ground
from pysup.metrics import exposition, sampling
from pysup.metrics.exposition import Format
from pysup.selector import ALL
from pysup.unit import Scope


def quick() -> None:
    """``pysup metrics`` without options."""
    show(ground.default_scope(), ALL, Format.OPENMETRICS)


def show(scope: Scope, selectors: str | Sequence[str], form: Format) -> None:
    """Print a sample of the chosen apps."""
    snapshot = sampling.take(local.store(scope), scope, selectors)
    output.echo(exposition.write(snapshot, form, version=__version__).rstrip("\n"))
