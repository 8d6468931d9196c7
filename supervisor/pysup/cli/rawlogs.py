"""``pysup logs --raw --no-follow``, for programs that read much: without typer, for speed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pysup import journal, local, logs, selector
from pysup.host import ground
from pysup.journal import Kind, Query
from pysup.store import Store

_FLAGS = {"--raw": "raw", "--no-follow": "now", "--nostream": "now"}
_LINES = ("--lines", "-n")


def quick(words: Sequence[str]) -> int | None:
    """Print the lines if *words* (behind ``logs``) are just apps, these two flags and a number; else None."""
    asked = _asked(words)
    if asked is None:
        return None
    scope, (names, lines) = ground.default_scope(), asked
    store = local.store(scope)
    options = logs.LogOptions(lines=lines, kinds=frozenset({Kind.OUT, Kind.ERR}))
    query = logs.query(store, scope, names or selector.ALL, options)
    if not query.sources or _has_files(store, query):
        return None
    journal.write_raw(query, sys.stdout.buffer)
    return 0


def _has_files(store: Store, query: Query) -> bool:
    found = (store.find(name) for name in {source.instance.app for source in query.sources})
    specs = [stored.app for stored in found if stored and stored.app]
    return any(place.startswith("/") for app in specs for place in (app.log.output, app.log.error))


def _asked(words: Sequence[str]) -> tuple[list[str], int | None] | None:
    names: list[str] = []
    flags: set[str] = set()
    lines: int | None = 15
    rest = iter(words)
    for word in rest:
        if word in _FLAGS:
            flags.add(_FLAGS[word])
        elif word in _LINES:
            count = next(rest, "")
            if count != "all" and not (count.isascii() and count.isdigit()):
                return None
            lines = None if count == "all" else int(count)
        elif word.startswith("-"):
            return None
        else:
            names.append(word)
    return (names, lines) if flags == {"raw", "now"} else None
