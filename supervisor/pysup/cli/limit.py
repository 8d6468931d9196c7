"""``pysup limit``: what apps may use, changed while they run; and how near they come to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer

from pysup.cli import complete, instances, output
from pysup.cli.options import Json, Scopes, manager
from pysup.cli.output import Cell, Column
from pysup.errors import SpecError
from pysup.host.cgroups.parsing import Pressure
from pysup.limiting.view import GroupView, LimitsView
from pysup.limits import Limits
from pysup.limits.table import ROWS, Kind, Row, written
from pysup.selector import ALL
from pysup.sync import Manager

_COLUMNS = (
    Column("name"),
    Column("what"),
    Column("limit"),
    Column("use", right=True),
    Column("peak", rank=2, right=True),
    Column("pressure", rank=1, right=True),
    Column("hit", rank=3),
)


def limit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[APP…] [LIMIT=VALUE…]",
            help="Apps or instances, and what is to change: memory, memory_high, swap, cpu, tasks, nofile, weight, io, "
            "io_read, io_write, cpus, affinity, numa; VALUE unlimited takes a limit away.",
            autocompletion=complete.selectors,
            show_default=False,
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", metavar="NAME", help="All apps of a namespace together.", show_default=False),
    ] = None,
    total: Annotated[
        bool,
        typer.Option("--total/--each", help="All instances of an app together; or each, as is usual."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Also where the kernel would kill what runs for it at once.")
    ] = False,
    scope: Scopes = None,
    json: Json = False,
) -> None:
    """Show what apps may use, what they use and how near they came; or change it while they run.

    What is set holds at once, for instances that run and for those to come, and is kept with the app (pysup save).
    Nothing restarts; where something counts from the next start only, that is said. A weight is an app's share beside
    other apps. Sizes are 300M or 1.5G, CPUs 150% or 1.5; systemd's names (MemoryMax=2G) are understood, too.

    Examples:
      pysup limit web
      pysup limit web memory=2G cpu=150% tasks=200      each instance
      pysup limit web --total memory=6G                 all of them
      pysup limit web weight=200                        twice the usual share
      pysup limit web@0 memory=3G                       it alone, over those of each
      pysup limit web cpus=0-3 io_write=/srv:20M
      pysup limit web memory=unlimited
      pysup limit --namespace shop memory=8G
    """
    selectors = [word for word in words or () if "=" not in word]
    assignments = [word for word in words or () if "=" in word]
    with manager(scope) as apps:
        if namespace is not None:
            found = [_of_namespace(apps, namespace, selectors, assignments, force=force)]
        elif assignments:
            if not selectors:
                raise SpecError("no app is named", hint=f"Write: pysup limit APP {' '.join(assignments)}")
            found = apps.limit(selectors, assignments, total=total, force=force)
        else:
            found = apps.limits(selectors or ALL)
    if json:
        _print_json(found)
    else:
        _show(found)


def _of_namespace(
    apps: Manager, name: str, selectors: Sequence[str], assignments: Sequence[str], *, force: bool
) -> LimitsView:
    if selectors:
        raise SpecError(f"{selectors[0]!r} is an app, and --namespace is about all apps of it", hint="Name one.")
    if assignments:
        return apps.limit_namespace(name, assignments, force=force)
    return apps.namespace_limits(name)


def _show(found: Sequence[LimitsView]) -> None:
    for index, one in enumerate(found):
        if index:
            output.echo()
        for note in one.notes:
            output.note(f"{one.name}: {note}")
        for group in one.groups:
            if group.unmet:
                output.warn(f"{group.group.name}: {', '.join(group.unmet)} is not in force as it is to be")
        output.echo(f"{output.paint(one.name, output.BOLD)}: {_said(one)}")
        fields = [row for group in one.groups for row in rows(group)]
        for line in output.table(_COLUMNS, fields, room=output.width()) if fields else ():
            output.echo(f"  {line}")


def _said(one: LimitsView) -> str:
    """The limits that it has."""
    each, total = _words(one.each), _words(one.total)
    parts = [f"each instance {each}"] if each else []
    parts += [f"{one.name}@{number} {_words(own)}" for number, own in one.single.items()]
    parts += [f"together {total}"] if total else []
    parts += [f"an instance is restarted at {instances.size(one.memory_restart)}"] if one.memory_restart else []
    return "; ".join(parts) or "no limits"


def _words(limits: Limits) -> str:
    values = {row: getattr(limits, row.field) for row in ROWS if row.field in limits.given}
    shown = {row.words[0]: _value(row, value) for row, value in values.items()}
    if limits.cpu_weight is not None and limits.cpu_weight == limits.io_weight:
        del shown["cpu_weight"], shown["io"]
        shown["weight"] = str(limits.cpu_weight)
    return ", ".join(f"{word} {value}" for word, value in shown.items())


def _value(row: Row, value: object) -> str:
    if row.kind is Kind.SIZE and isinstance(value, int):
        return instances.size(value)
    if row.kind is Kind.RATES and isinstance(value, tuple):
        return ",".join(f"{path}:{rate}" for path, rate in map(_rate, value))
    return written(row, value)


def rows(view: GroupView) -> Iterator[Sequence[Cell | str]]:
    """A row for each resource of which there is something to say; the group's name stands in the first."""
    name = view.group.name
    for what, limit, use, peak, pressure, hit in (_memory(view), _cpu(view), _tasks(view), _files(view), _io(view)):
        if limit or use:
            shown = Cell(hit, output.YELLOW)
            yield (Cell(name, output.BOLD), what, limit, use, peak, pressure, shown)
            name = ""


def _memory(view: GroupView) -> tuple[str, ...]:
    now, held = view.reading.memory, view.in_force
    soft = f"slowed down above {instances.size(held.memory_high)}" if held.memory_high is not None else ""
    swap = view.wanted.memory_swap_max
    limits = [_size(held.memory_max), soft, f"swap {instances.size(swap)}" if swap is not None else ""]
    hits = (
        ("OOM kill{s}", now.oom_kills),
        ("time{s} at the limit", now.max_events),
        ("time{s} slowed down", now.high_events),
    )
    return (
        "memory",
        _joined(limits),
        _part(_size(now.current), now.current, held.memory_max),
        _size(now.peak),
        _stalled(view.reading.pressure.memory),
        _joined(_count(what, count) for what, count in hits),
    )


def _cpu(view: GroupView) -> tuple[str, ...]:
    now, held = view.reading.cpu, view.in_force
    quota = f"{held.cpu_quota * 100:g} %" if held.cpu_quota is not None else ""
    weight = f"weight {view.wanted.cpu_weight}" if view.wanted.cpu_weight else ""
    cpus = f"CPUs {held.cpus}" if view.wanted.cpus and held.cpus else ""
    age = time.time() - view.group.since if view.group.since else 0
    use = f"{100 * now.seconds / age:.1f} %" if now.seconds is not None and age > 0 else ""
    throttled = f"throttled {instances.duration(now.throttled_seconds)}" if now.throttled_seconds else ""
    return (
        "cpu",
        _joined([quota, weight, cpus]),
        use,
        "",
        _stalled(view.reading.pressure.cpu),
        _joined([throttled, f"{now.throttled_periods} of {now.periods} periods" if throttled else ""]),
    )


def _tasks(view: GroupView) -> tuple[str, ...]:
    now, most = view.reading.tasks, view.in_force.tasks_max
    limit = str(most) if most is not None else ""
    use = str(now.current) if now.current is not None else ""
    return "tasks", limit, _part(use, now.current, most), "", "", _count("time{s} refused", now.refused)


def _files(view: GroupView) -> tuple[str, ...]:
    """Of the process that has the most open; only where there is a limit of ours."""
    now, wanted = view.reading.descriptors, view.wanted.nofile
    if wanted is None:
        return ("",) * 6
    limit = now.limit if now.limit is not None else wanted
    use = str(now.most) if now.most is not None else ""
    return "open files", str(limit), _part(use, now.most, limit), "", "", ""


def _io(view: GroupView) -> tuple[str, ...]:
    now, wanted = view.reading.io, view.wanted
    weight = f"weight {wanted.io_weight}" if wanted.io_weight else ""
    limits = [*_rates("read", wanted.io_read_max), *_rates("write", wanted.io_write_max)]
    moved = now.read_bytes is not None and now.written_bytes is not None
    use = f"{_size(now.read_bytes)} read, {_size(now.written_bytes)} written" if moved else ""
    return "io", _joined([weight, *limits]), use, "", _stalled(view.reading.pressure.io), ""


def _rates(verb: str, entries: Iterable[str]) -> Iterator[str]:
    for path, rate in map(_rate, entries):
        yield f"{verb} {path} {rate}/s"


def _rate(entry: str) -> tuple[str, str]:
    path, _, rate = entry.rpartition(" ")
    return path, f"{int(rate) / 1e6:g}M"


def _size(value: int | None) -> str:
    return "" if value is None else instances.size(value)


def _part(shown: str, used: int | None, most: int | None) -> str:
    return f"{shown} ({100 * used / most:.0f} %)" if used is not None and most else shown


def _stalled(pressure: Pressure | None) -> str:
    """The share of the last ten seconds in which something waited for it."""
    return f"{pressure.some.avg10 * 100:.1f} %" if pressure and pressure.some else ""


def _count(what: str, count: int | None) -> str:
    return f"{count} {what.format(s='s' if count > 1 else '')}" if count else ""


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)


def _print_json(found: Iterable[LimitsView]) -> None:
    """docs/json.md has the fields."""
    import json

    output.echo(json.dumps([_object(one) for one in found], indent=2))


def _object(one: LimitsView) -> dict[str, object]:
    return {
        "name": one.name,
        "limits": _given(one.each),
        "instance_limits": {number: _given(own) for number, own in one.single.items()},
        "total": _given(one.total),
        "memory_restart": one.memory_restart,
        "notes": list(one.notes),
        "groups": [
            {
                "name": view.group.name,
                "kind": view.group.kind.value,
                "unit": view.group.unit,
                "control_group": view.group.control_group,
                "limits": _given(view.wanted),
                "in_force": view.in_force._asdict(),
                "not_in_force": list(view.unmet),
                **_plain(view.reading),
            }
            for view in one.groups
        ],
    }


def _given(limits: Limits) -> dict[str, object]:
    return {name: getattr(limits, name) for name in limits.given}


def _plain(value: object) -> dict[str, object]:
    """A tree of named tuples as objects."""
    assert isinstance(value, tuple)  # noqa: S101 (who calls has looked)
    pairs = zip(value._fields, value, strict=True)  # type: ignore[attr-defined]
    return {name: _plain(one) if hasattr(one, "_fields") else one for name, one in pairs}
