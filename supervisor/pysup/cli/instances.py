"""Instances as a table and as JSON: ``pysup list``, and what other commands end with. No typer, for speed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pysup.cli import output
from pysup.cli.output import Cell, Column
from pysup.errors import SpecError
from pysup.explain import exit_words
from pysup.names import InstanceName
from pysup.unit import AppStatus, Instance
from pysup.wording import cpu_percent as cpu_percent
from pysup.wording import duration as duration
from pysup.wording import size as size

MANY = 12
"""An app with more instances than this gets one row."""

FIRST_USE = """There are no apps yet. Start one:

  pysup start app.js                  a script: Node, Python, Ruby, PHP, shell …
  pysup start server.py --per-core    one instance per CPU, each on its own
  pysup start 'npm run serve'         a command line

More: pysup start --help"""

Shares = Mapping[InstanceName, float]
"""Percentages of a CPU, 100 for a whole one."""

_COLUMNS = (
    Column("name", rank=5),
    Column("instance", right=True),
    Column("state"),
    Column("pid", rank=3, right=True),
    Column("cpu", rank=6, right=True),
    Column("uptime", right=True),
    Column("restarts", rank=2, right=True),
    Column("runs", rank=4),
    Column("cpu %", rank=1, right=True),
    Column("memory", right=True),
    Column("user", rank=7),
    Column("scope", rank=8),
)
_COLOURS = {
    **dict.fromkeys(("active", "waiting", "listening"), output.GREEN),
    "failed": output.RED,
    "broken": output.RED,
    "inactive": output.DIM,
}
_NONE = "-"


class Line(NamedTuple):
    """A row before it is text: an instance, or all of an app's (``total`` of them). None: there is none, or many."""

    name: str
    instance: int | None
    total: int
    state: str
    pid: int | None
    cpus: tuple[int, ...]
    uptime: float | None
    restarts: int
    cpu: float | None
    memory: int | None
    user: str
    scope: str
    runs: str = ""


SORTS = ("name", "instance", "state", "pid", "uptime", "restarts", "cpu", "memory", "user")


def show(apps: Sequence[AppStatus], *, expand: bool = False, sort: str = "") -> None:
    """Print the table, and on stderr what is wrong with apps and what this machine cannot do for them."""
    for line in text(apps, expand=expand, sort=sort):
        output.echo(line)
    for app in apps:
        if app.problem:
            output.warn(f"{app.name}: {app.problem}")
        for note in app.notes:
            output.note(f"{app.name}: {note}")


def show_json(apps: Sequence[AppStatus], *, sort: str = "") -> None:
    """Print one object for each instance; docs/json.md has the fields."""
    import json

    now = time.time()
    known = {app.name: app for app in apps}
    each = {one.name: one for app in apps for one in app.instances}
    rows = sort_lines([line for app in apps for line in lines(app, now, expand=True)], sort)
    objects = [_object(known[line.name], line, each.get(InstanceName(line.name, line.instance or 0))) for line in rows]
    output.echo(json.dumps(objects, indent=2))


def text(apps: Sequence[AppStatus], *, expand: bool = False, sort: str = "", shares: Shares | None = None) -> list[str]:
    """The lines of the table; *shares* are those of the last moments, instead of those over the whole life.

    *sort* is one of ``SORTS``, with ``:desc`` behind it for the largest first.
    """
    if not apps:
        return FIRST_USE.splitlines()
    now = time.time()
    rows = [line for app in apps for line in lines(app, now, expand=expand, shares=shares)]
    left_out = {
        title
        for title, is_of_use in (("cpu", "cpus"), ("runs", "runs"))
        if not any(getattr(row, is_of_use) for row in rows)
    }
    shown = [index for index, column in enumerate(_COLUMNS) if column.title not in left_out]
    cells = map(_cells, sort_lines(rows, sort))
    return output.table(
        [_COLUMNS[index] for index in shown], [[row[index] for index in shown] for row in cells], room=output.width()
    )


def lines(app: AppStatus, now: float, *, expand: bool, shares: Shares | None = None) -> list[Line]:
    """A row for each instance, or one for all when there are many and *expand* is False."""
    each = [_line(app, one, now, shares) for one in app.instances]
    if not each:
        user = app.spec.user if app.spec else ""
        state = "inactive" if app.spec else "broken"
        return [Line(app.name, None, 0, state, None, (), None, 0, None, None, user, app.scope.value)]
    return each if expand or len(each) <= MANY else [_together(each)]


def sort_lines(rows: Iterable[Line], sort: str) -> list[Line]:
    """The rows in the order of a field; what has none comes last."""
    field, _, direction = sort.partition(":")
    if not field:
        return list(rows)
    if field not in SORTS or direction not in ("", "asc", "desc"):
        raise SpecError(f"--sort is {sort!r}", hint=f"Use one of {', '.join(SORTS)}; :desc behind it turns it round.")
    known = [row for row in rows if getattr(row, field) is not None]
    unknown = [row for row in rows if getattr(row, field) is None]
    return sorted(known, key=lambda row: getattr(row, field), reverse=direction == "desc") + unknown


def _line(app: AppStatus, one: Instance, now: float, shares: Shares | None) -> Line:
    return Line(
        name=app.name,
        instance=one.name.number,
        total=1,
        state=one.state,
        pid=one.pid or None,
        cpus=one.cpus,
        uptime=max(0.0, now - one.since) if one.is_up and one.since else None,
        restarts=one.restarts,
        cpu=cpu_percent(one, now) if shares is None else shares.get(one.name),
        memory=one.usage.memory,
        user=one.user,
        scope=one.scope.value,
        runs=_runs(app, one, now),
    )


def _runs(app: AppStatus, one: Instance, now: float) -> str:
    """When it will be restarted, or the job run; and when that was, and for a job how it ended."""
    following = f"in {duration(app.next_run - now)}" if app.next_run else ""
    last = last_run(app, one)
    if not last:
        return following
    end = one.last_exit if one.waits else None
    how = "" if end is None else ", ok" if end.code == 0 else f", {exit_words(end)}"
    return f"{following or 'off'} (last {duration(max(0.0, now - last))} ago{how})"


def last_run(app: AppStatus, one: Instance) -> float | None:
    """When its schedule last had it restarted or run; for a job at least when that ended."""
    ended = one.last_exit.at if app.spec and app.spec.is_job and one.last_exit else None
    return app.last_run or ended


def _together(each: Sequence[Line]) -> Line:
    states = [line.state for line in each]
    cpus = [line.cpu for line in each if line.cpu is not None]
    memory = [line.memory for line in each if line.memory is not None]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return each[0]._replace(
        instance=None,
        total=len(each),
        state=states[0] if len(set(states)) == 1 else counts,
        pid=None,
        cpus=tuple(sorted({cpu for line in each for cpu in line.cpus})),
        uptime=min((line.uptime for line in each if line.uptime is not None), default=None),
        restarts=sum(line.restarts for line in each),
        cpu=sum(cpus) if cpus else None,
        memory=sum(memory) if memory else None,
    )


def _cells(line: Line) -> list[Cell]:
    number = str(line.instance) if line.instance is not None else f"×{line.total}"
    return [
        Cell(line.name, output.BOLD),
        Cell(number),
        Cell(line.state, _COLOURS.get(line.state, output.YELLOW)),
        Cell(str(line.pid or _NONE)),
        Cell(_ranges(line.cpus) or _NONE),
        Cell(_NONE if line.uptime is None else duration(line.uptime)),
        Cell(str(line.restarts), output.YELLOW if line.restarts else ""),
        Cell(line.runs or _NONE),
        Cell(_NONE if line.cpu is None else f"{line.cpu:.1f}"),
        Cell(_NONE if line.memory is None else size(line.memory)),
        Cell(line.user or _NONE),
        Cell(line.scope),
    ]


def _ranges(cpus: Sequence[int]) -> str:
    """CPU numbers as the kernel lists them: ``0-3,8``."""
    parts: list[list[int]] = []
    for cpu in cpus:
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1][1:] = [cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)


def _object(app: AppStatus, line: Line, found: Instance | None) -> dict[str, object]:
    own: dict[str, object] = {
        "id": str(found.name) if found else app.name,
        "name": app.name,
        "instance": line.instance,
        "namespace": app.namespace,
        "scope": app.scope.value,
        "unit": found.name.unit if found else None,
        "state": line.state,
        "sub_state": found.sub_state if found else None,
        "result": found.result if found else None,
        "pid": line.pid,
        "since": found.since if found else None,
        "uptime": line.uptime,
        "restarts": line.restarts,
        "cpus": list(line.cpus),
        "port": found.port if found else None,
        "user": line.user or None,
        "cpu_percent": None if line.cpu is None else round(line.cpu, 2),
        "cpu_seconds": found.usage.cpu_seconds if found else None,
        "memory": line.memory,
        "tasks": found.usage.tasks if found else None,
    }
    own["next_run"] = app.next_run
    own["last_run"] = last_run(app, found) if found else app.last_run
    ended = found.last_exit if found and app.spec and app.spec.is_job else None
    own["last_exit"] = exit_words(ended) if ended else None
    return {**own, "saved": app.saved, "problem": app.problem or None}
