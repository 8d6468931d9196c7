"""``pysup --version``."""

from __future__ import annotations

from pysup import __version__
from pysup.cli import output


def version() -> None:
    """Print the version."""
    output.echo(f"pysup {__version__}")
