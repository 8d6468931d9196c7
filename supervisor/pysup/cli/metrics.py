"""``pysup metrics``: what apps use and how they are, for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pysup import __version__
from pysup.cli import output
from pysup.cli.frame import Command
from pysup.cli.options import OptionalTargets, Scopes, chosen_scope, seconds
from pysup.errors import SpecError
from pysup.selector import ALL
from pysup.unit import Scope

if TYPE_CHECKING:
    from typer import _click as click

metrics = typer.Typer()


class _Command(Command):
    """The command, with ``--listen`` that may have a value or none, which typer cannot say."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Have ``--listen=ADDRESS`` mean ``--listen --address=ADDRESS``."""
        own: list[str] = []
        for arg in args:
            own += ["--listen", f"--address={arg[9:]}"] if arg.startswith("--listen=") else [arg]
        return super().parse_args(ctx, own)


@metrics.command(cls=_Command)
def _metrics(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    text: Annotated[
        bool, typer.Option("--text", help="Print Prometheus' older text format, as promtool check metrics wants it.")
    ] = False,
    listen: Annotated[
        bool, typer.Option("--listen", help="Have systemd answer Prometheus at 127.0.0.1:9713, or --listen=ADDRESS.")
    ] = False,
    address: Annotated[str, typer.Option("--address", hidden=True)] = "",
    textfile: Annotated[
        Path | None,
        typer.Option("--textfile", metavar="DIR", help="Write DIR/pysup.prom, for node_exporter.", show_default=False),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="TIME", help="… and again by a timer: 15s.", show_default=False),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="No more: take --listen and --textfile's timer away.")] = False,
) -> None:
    """Print what apps and instances use, and how they are, as OpenMetrics text; or have systemd keep it at hand.

    docs/metrics.md has the metrics, a dashboard for Grafana, and rules for alerts.

    Examples:
      pysup metrics
      pysup metrics web
      pysup metrics --listen                 Prometheus asks 127.0.0.1:9713
      pysup metrics --listen=/run/pysup.sock
      pysup metrics --textfile /var/lib/prometheus/node-exporter --every 15s
      pysup metrics --off
      pysup metrics --text | promtool check metrics
    """
    chosen = chosen_scope(scope)
    if (listen or textfile or off) and (targets or text):
        raise SpecError(
            "an app or --text goes with neither --listen, --textfile nor --off",
            hint="They have all apps. An address is joined: --listen=9714.",
        )
    if every and not textfile:
        raise SpecError("--every says how often --textfile is written", hint="Add --textfile DIR.")
    interval = seconds(every, "--every")  # before anything is done, for its errors
    if off:
        _off(chosen, listen=listen or not textfile, textfile=bool(textfile) or not listen)
        return
    if listen:
        _listen(chosen, address)
    if textfile:
        _write(chosen, textfile, interval)
    if not listen and not textfile:
        from pysup.cli import scrape
        from pysup.metrics.exposition import Format

        scrape.show(chosen, targets or ALL, Format.TEXT if text else Format.OPENMETRICS)


def _listen(scope: Scope, address: str) -> None:
    from pysup.metrics import exporter

    where = exporter.listen(scope, address or exporter.USUAL)
    output.echo(f"Metrics are at {where}" + ("." if where.startswith("/") else f": curl http://{where}/metrics"))


def _write(scope: Scope, directory: Path, every: float | None) -> None:
    from pysup.metrics import exporter, textfile

    if every is None:
        output.echo(f"Written: {textfile.write(scope, directory, version=__version__)}")
    else:
        exporter.write(scope, directory, every, version=__version__)
        output.echo(f"Metrics are written to {directory} every {every:g} s.")


def _off(scope: Scope, *, listen: bool, textfile: bool) -> None:
    from pysup.metrics import exporter, shipped

    listened = listen and shipped.turn_off(scope, exporter.LISTENS)
    wrote = textfile and shipped.turn_off(scope, exporter.WRITES)
    output.echo("Metrics are kept at hand no more." if listened or wrote else "They were not.")
