"""``stop``, ``restart`` and ``reload`` of apps by nothing but their names: without typer, for speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pysup import local, revisions
from pysup.cli import instances
from pysup.host import ground
from pysup.sync import Manager
from pysup.unit import AppStatus


def stop(words: Sequence[str]) -> int | None:
    """``pysup stop web api``; None if *words* are more than names of apps."""
    return _do("stop", words, Manager.stop)


def restart(words: Sequence[str]) -> int | None:
    """``pysup restart web``."""
    return _do("restart", words, Manager.restart)


def reload(words: Sequence[str]) -> int | None:
    """``pysup reload web``."""
    return _do("reload", words, Manager.reload)


def _do(command: str, words: Sequence[str], change: Callable[[Manager, Sequence[str]], list[AppStatus]]) -> int | None:
    scope = ground.default_scope()
    if not words or not {*words} <= {*local.store(scope).names()}:
        return None
    revisions.explain(f"pysup {command}")
    with Manager(scope) as apps:
        instances.show(change(apps, words))
    return 0
