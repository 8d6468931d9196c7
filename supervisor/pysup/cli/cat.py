"""``pysup cat``."""

from __future__ import annotations

from pathlib import Path

from pysup import local, names, selector, status
from pysup.cli import output
from pysup.cli.options import Scopes, Targets, chosen_scope
from pysup.errors import CorruptUnit, NotPermitted
from pysup.unitfile import parse_environment


def cat(targets: Targets, scope: Scopes = None) -> None:
    """Show the unit files of apps, each with its path above; of the environment the names only.

    Examples:
      pysup cat web
      pysup cat web | grep -i exec
    """
    store = local.store(chosen_scope(scope))
    chosen = selector.select(targets, status.known(status.read(store)))
    shown = [file for one in chosen for file in store.files(one.app)]
    for index, file in enumerate(shown):
        if index:
            output.echo()
        output.echo(output.paint(f"# {file}", output.DIM))
        output.echo(_text(file).rstrip("\n"))


def _text(file: Path) -> str:
    is_environment = file.name.startswith(names.PREFIX) and file.suffix == ".env"
    try:
        text = file.read_text(errors="replace")
    except PermissionError as exc:
        if is_environment:
            return "# for its owner only"
        raise NotPermitted(f"{file} may not be read", hint="Type sudo before the command.") from exc
    if not is_environment:
        return "\n".join(output.plain(line) for line in text.split("\n"))
    try:
        return "\n".join(f"{name}=…" for name in parse_environment(text)) + "\n# values: pysup env"
    except ValueError as exc:
        raise CorruptUnit(f"{file} cannot be read back: {exc}", hint="Start the app again, with its options.") from exc
