"""``pysup logs``: which lines are meant, and printing them as they come."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from pysup import journal, local, logfiles, moments, status
from pysup import logs as library
from pysup.cli import instances, lines, output
from pysup.cli.options import OptionalTargets, Scopes, chosen_scope
from pysup.errors import SpecError
from pysup.host import ground
from pysup.journal import Kind, Line, Query
from pysup.logfiles import FileLine, LogFile
from pysup.logs import LogOptions
from pysup.selector import ALL

_LAST = 15
_PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


def logs(
    targets: OptionalTargets = None,
    scope: Scopes = None,
    count: Annotated[
        str | None,
        typer.Option(
            "--lines", "-n", metavar="N|all", help="The last N lines; 15, or all with --since.", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f/--nostream", help="Go on as lines come.", show_default="follow")
    ] = True,
    since: Annotated[
        str | None,
        typer.Option("--since", "-S", metavar="WHEN", help="Not before: 10min, yesterday, 10:30 …", show_default=False),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", "-U", metavar="WHEN", help="Not after.", show_default=False)
    ] = None,
    grep: Annotated[
        str | None,
        typer.Option("--grep", "-g", metavar="REGEX", help="Lines in which this is found.", show_default=False),
    ] = None,
    err: Annotated[bool, typer.Option("--err", help="Only stderr, and what is logged as an error.")] = False,
    out: Annotated[bool, typer.Option("--out", help="Only stdout.")] = False,
    priority: Annotated[
        str | None,
        typer.Option("--priority", metavar="P", help="As bad as this or worse: err, warning … or 0 to 7."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print messages alone, their bytes as they are.")] = False,
    style: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="name, time, logfmt, json, or a template: '{time} {message}'."),
    ] = "name",
) -> None:
    """Show the last lines of apps, and follow them, in order of time; systemd's words about them in between.

    Each line has its instance before it: | stands before what the app wrote (in red: on stderr), - before what systemd
    says. Control characters in messages are shown as escapes, but for --raw. Ctrl-C ends.

    Examples:
      pysup logs
      pysup logs web@2 api
      pysup logs web --since '10 min ago' --err
      pysup logs web --since yesterday --until 06:00 --grep 'time ?out'
      pysup logs web -n 100 --no-follow --format time
      pysup logs web --json | jq -r 'select(.kind == "systemd").message'
      pysup logs web --format '{time} {instance} {message}'
    """
    now = time.time()
    wanted = LogOptions(
        lines=_count(count, since, until),
        since=None if since is None else moments.moment(since, "--since", now=now),
        until=None if until is None else moments.moment(until, "--until", now=now),
        priority=None if priority is None else _priority(priority),
        grep=grep,
        kinds=_kinds(err=err, out=out, raw=raw),
    )
    chosen = chosen_scope(scope)
    store = local.store(chosen)
    query = library.query(store, chosen, targets or ALL, wanted)
    if not query.sources:
        ground.require_systemd()
        output.note(instances.FIRST_USE)
        return

    def files_of(question: Query) -> list[LogFile]:
        return logfiles.of(question, status.read(store))

    files = files_of(query)
    for file in files:
        output.note(f"{file.app} writes to {file.path}")
    goes_on = follow and (wanted.until is None or wanted.until > now)
    if raw and not goes_on and not files:
        journal.write_raw(query, sys.stdout.buffer)
        return
    if goes_on:
        more = library.Newcomers(store, chosen, targets or ALL, wanted, query)
        found = _following(logfiles.follow(query, files_of, lines=wanted.lines, more=more, wake_fd=_reader_gone()))
    else:
        found = _now(query, files, wanted.lines)
    passing = (one for one in found if not isinstance(one, FileLine) or _passes(query, one))
    if raw:
        _print_raw(passing)
    else:
        _print(passing, lines.formatter("json" if json else style, map(str, (s.instance for s in query.sources))))


def _now(query: Query, files: Sequence[LogFile], count: int | None) -> Iterator[Line | FileLine]:
    for file in files:
        yield from logfiles.last(file, count)
    yield from journal.lines(query)


def _following(batches: Iterator[list[Line | FileLine]]) -> Iterator[Line | FileLine]:
    """What comes; stdout is flushed whenever nothing more is there for now."""
    for found in batches:
        yield from found
        sys.stdout.flush()


def _print(found: Iterator[Line | FileLine], text: lines.Formatter) -> None:
    write = sys.stdout.write
    for one in found:
        write(text(lines.line(one if isinstance(one, FileLine) else one[1])) + "\n")


def _print_raw(found: Iterator[Line | FileLine]) -> None:
    write = sys.stdout.buffer.write
    for one in found:
        write((one.message if isinstance(one, FileLine) else one[0].data("MESSAGE")) + b"\n")


def _passes(query: Query, line: FileLine) -> bool:
    import re

    return query.grep is None or re.search(query.grep, line.message.decode("utf-8", "backslashreplace")) is not None


def _reader_gone() -> int | None:
    """The descriptor whose readiness means that nobody reads our stdout any more; only pipes tell: poll(2)."""
    fd = sys.stdout.fileno()
    return fd if stat.S_ISFIFO(os.fstat(fd).st_mode) else None


def _count(text: str | None, since: str | None, until: str | None) -> int | None:
    if text is None:
        return _LAST if since is None and until is None else None
    if text == "all":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise SpecError(f"--lines is {text[:40]!r}", hint="Write a number, or all.")
    return int(text)


def _priority(text: str) -> int:
    wanted = {"error": "err", "warn": "warning"}.get(text, text)
    if wanted in _PRIORITIES:
        return _PRIORITIES.index(wanted)
    if text.isascii() and text.isdigit() and int(text) < len(_PRIORITIES):
        return int(text)
    raise SpecError(f"--priority is {text!r}", hint=f"Use one of: {', '.join(_PRIORITIES)}; or 0 to 7.")


def _kinds(*, err: bool, out: bool, raw: bool) -> frozenset[Kind]:
    """What is asked for; if nothing is, all, and in raw output what the app wrote."""
    asked = {kind for kind, wanted in ((Kind.ERR, err), (Kind.OUT, out)) if wanted}
    usual = {Kind.OUT, Kind.ERR} if raw else set(Kind)
    return frozenset(asked or usual)
