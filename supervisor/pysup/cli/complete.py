"""What the shell may complete: names of apps, read from their files only, so that it is quick."""

from __future__ import annotations

import os
from collections.abc import Iterator

import typer

from pysup.errors import PysupError


def selectors(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of apps, and behind ``web@`` those of its instances; none when there is nothing to read."""
    try:
        return [name for name in _selectors(ctx, incomplete) if name.startswith(incomplete)]
    except (PysupError, OSError):
        return []


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """What ``start`` takes: names of apps, and files."""
    folder, _, begun = incomplete.rpartition("/")
    where = f"{folder}/" if "/" in incomplete else ""
    try:
        with os.scandir(where or ".") as entries:
            files = [
                f"{where}{entry.name}{'/' if entry.is_dir() else ''}"
                for entry in entries
                if entry.name.startswith(begun) and (begun or not entry.name.startswith("."))
            ]
    except OSError:
        files = []
    return [*selectors(ctx, incomplete), *sorted(files)]


def selectors_and_files(ctx: typer.Context, incomplete: str) -> list[str]:
    """What is known, and once something is typed, files of apps."""
    files = [one for one in targets(ctx, incomplete) if one.endswith((".toml", ".yaml", ".yml", ".json", "/"))]
    return [*selectors(ctx, incomplete), *(files if incomplete else [])]


def _selectors(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    from pysup import local
    from pysup.cli.options import chosen_scope

    said = (context.params.get("scope") for context in (ctx, ctx.find_root()))
    scope = next((scope for scope in said if isinstance(scope, bool)), None)
    store = local.store(chosen_scope(scope))
    app, at, _ = incomplete.partition("@")
    if at:
        stored = store.find(app)
        yield from (f"{app}@{number}" for number in (stored.numbers if stored else ()))
    else:
        yield from store.names()
