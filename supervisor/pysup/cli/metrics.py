"""``pysup metrics``: what apps use and how they are, for Prometheus."""

from __future__ import annotations

from typing import Annotated

import typer

from pysup.cli.options import OptionalTargets, Scopes, chosen_scope
from pysup.selector import ALL


def metrics(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    text: Annotated[
        bool, typer.Option("--text", help="Print Prometheus' older text format, as promtool check metrics wants it.")
    ] = False,
) -> None:
    """Print what apps and instances use, and how they are, as OpenMetrics text.

    docs/metrics.md has the metrics, a dashboard and rules for alerts.

    Examples:
      pysup metrics
      pysup metrics web
      pysup metrics --text | promtool check metrics
    """
    from pysup.cli import scrape
    from pysup.metrics.exposition import Format

    scrape.show(chosen_scope(scope), targets or ALL, Format.TEXT if text else Format.OPENMETRICS)
