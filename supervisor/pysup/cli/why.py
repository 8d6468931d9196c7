"""``pysup why``: the story of the last ends, in plain words."""

from __future__ import annotations

import json as text
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from pysup import cores
from pysup.cli import eventlines, instances, output
from pysup.cli.describe import Row, moment, print_rows
from pysup.cli.options import Json, Scopes, Targets, manager
from pysup.why import Ending, Why

_COLOURS = {"active": output.GREEN, "failed": output.RED, "inactive": output.DIM}


def why(
    targets: Targets,
    scope: Scopes = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, metavar="N", help="How many of its last ends.")] = 1,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many last lines of each.")] = 10,
    json: Json = False,
) -> None:
    """Tell why an app ended: how, by whom, what that means, its last lines, what systemd does next, what to try.

    Looks at the last day. With systemd-coredump, the stack of a process that a signal ended is shown as well.

    Examples:
      pysup why web
      pysup why web@1 --count 3
      pysup why web --json | jq -r '.[].ends[0].meaning'
    """
    with manager(scope) as apps:
        found = apps.why(targets, count=count, lines=lines)
    if json:
        output.echo(text.dumps([_object(one) for one in found], indent=2))
        return
    for index, one in enumerate(found):
        if index:
            output.echo()
        _show(one)


def _show(found: Why) -> None:
    one, now = found.instance, time.time()
    since = f" since {moment(one.since, now)}" if one.since else ""
    state = output.paint(one.state, _COLOURS.get(one.state, output.YELLOW))
    output.echo(f"{output.paint(str(one.name), output.BOLD)}: {state}{since}")
    if not found.endings:
        output.echo("  It has not ended within the last day, as far as the journal knows.")
    for ending in found.endings:
        print_rows(_of_ending(ending, now))
        if ending.log:
            output.echo("  last lines")
        for line in ending.log:
            output.echo(f"    {output.paint('|', output.DIM)} {output.plain(line)}")
        for line in ending.core.stack if ending.core else ():
            output.echo(f"    {output.plain(line)}")
    print_rows(_of_instance(found))


def _of_ending(ending: Ending, now: float) -> Iterator[Row]:
    end = ending.exited
    lived = "" if ending.lived is None else f", after {instances.duration(ending.lived)}"
    yield Row("ended", f"{moment(end.at, now)}{lived}")
    yield Row("how", eventlines.how(end))
    yield Row("asked by", output.plain(ending.asked))
    yield Row("why", output.plain(ending.meaning.what) if ending.meaning else "", "" if end.asked else output.RED)
    if ending.peak is not None:
        yield Row("memory", f"at most {instances.size(ending.peak)} in that run")
    if ending.core:
        yield Row("core dump", f"{output.plain(ending.core.file) or 'not kept'}  ({ending.core.command})")
    elif end.signal is not None and end.by == "itself" and not cores.is_kept():
        yield Row("core dump", f"none. {cores.HOW_TO}")


def _of_instance(found: Why) -> Iterator[Row]:
    memory = found.memory
    if memory.peak is not None:
        killed = f"; killed for want of it {_times(memory.kills)}" if memory.kills else ""
        limit = f" of {instances.size(memory.limit)}" if memory.limit else ""
        yield Row("memory", f"at most {instances.size(memory.peak)}{limit} in this run{killed}")
    often = f"{_times(found.daily)} in the last day, {found.hourly} in the last hour"
    yield Row("how often", often if found.daily else "")
    yield Row("next", found.next)
    yield Row("try", found.remedy)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _object(found: Why) -> dict[str, object]:
    """docs/json.md has the fields."""
    one = found.instance
    return {
        "id": str(one.name),
        "name": one.name.app,
        "instance": one.name.number,
        "unit": one.name.unit,
        "state": one.state,
        "since": one.since,
        "restarts": one.restarts,
        "ends": [_end_object(ending) for ending in found.endings],
        "hourly": found.hourly,
        "daily": found.daily,
        "memory": found.memory._asdict(),
        "next": found.next,
        "remedy": found.remedy or None,
    }


def _end_object(ending: Ending) -> dict[str, object]:
    return {
        **eventlines.as_object(ending.exited),
        "lived": ending.lived,
        "asked_by": ending.asked or None,
        "meaning": ending.meaning.what if ending.meaning else None,
        "log": list(ending.log),
        "core": asdict(ending.core) if ending.core else None,
        "memory_peak": ending.peak,
    }
