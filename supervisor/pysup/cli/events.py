"""``pysup events``: what happened, and what happens."""

from __future__ import annotations

import json as text
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pysup import moments
from pysup.cli import eventlines, output
from pysup.cli.options import OptionalTargets, Scopes, chosen_scope
from pysup.selector import ALL
from pysup.unit import Scope

if TYPE_CHECKING:
    from pysup.events import Event

_DAY = 86400.0


def events(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            "-S",
            metavar="WHEN",
            help="First what happened since: 1h, yesterday …",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", "-U", metavar="WHEN", help="Not after this.", show_default=False),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow/--no-follow", "-f", help="Go on as things happen; if not: the last day.", show_default="follow"
        ),
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """Tell what happens to apps: starts, exits, restarts, failures, limits, and what pysup commands do; Ctrl-C ends.

    What happened while nobody watched is in the journal: --since. Limits, and PIDs of what has ended, are known of
    what is watched only.

    Examples:
      pysup events
      pysup events web@2 api
      pysup events --since '1 hour ago' --no-follow
      pysup events web --json | jq 'select(.event == "exited").code'
    """
    now = time.time()
    start = None if since is None else moments.moment(since, "--since", now=now)
    end = None if until is None else moments.moment(until, "--until", now=now)
    show = _show_json if json else _show
    chosen = chosen_scope(scope)
    if follow and end is None:
        import asyncio  # not for those who read what is there

        asyncio.run(_follow(chosen, targets or ALL, start, show))
        return
    from pysup.sync import Manager

    with Manager(chosen) as manager:
        for event in manager.events(targets or ALL, since=now - _DAY if start is None else start, until=end):
            show(event)


async def _follow(scope: Scope, selectors: str | list[str], since: float | None, show: Callable[[Event], None]) -> None:
    """Until Ctrl-C, or until nobody reads any more."""
    import asyncio

    from pysup.manager import Manager

    async with Manager(scope) as manager, manager.watch(selectors, since=since) as stream:
        if stream.blind:
            output.note(f"What pysup commands do is not shown: {stream.blind.message}. {stream.blind.hint}")
        telling = asyncio.create_task(_tell(stream, show), name="pysup events")
        gone = asyncio.create_task(_reader_gone(), name="pysup events: reader")
        done, left = await asyncio.wait({telling, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()


async def _tell(stream: AsyncIterator[Event], show: Callable[[Event], None]) -> None:
    async for event in stream:
        show(event)
        sys.stdout.flush()


async def _reader_gone() -> None:
    """Return when nobody reads our stdout any more; only pipes tell: poll(2)."""
    import asyncio

    fd, gone = sys.stdout.fileno(), asyncio.Event()
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        asyncio.get_running_loop().add_reader(fd, gone.set)
    await gone.wait()
    raise BrokenPipeError


def _show(event: Event) -> None:
    output.echo(eventlines.line(event))


def _show_json(event: Event) -> None:
    output.echo(text.dumps(eventlines.as_object(event)))
