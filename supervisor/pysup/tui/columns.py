"""Which columns of the table fit into a width, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pysup.tui import spark
from pysup.tui.history import LENGTH, Trace
from pysup.tui.rows import Order, Row
from pysup.wording import size

_GAP = 1
_NAME = (12, 32)
_SPARK = (6, LENGTH)
_CPU_FLOOR = 10.0  # percent: what is less than that is not drawn as much
_MEMORY_ROOM = 2  # what stays the same is drawn at half the height


class Cell(NamedTuple):
    """Text as wide as its column, and what it is, for its colour: a mood, or a column's name."""

    text: str
    kind: str


class Column(NamedTuple):
    """A column: ``rank`` says which go first when there is no room: the highest; 0 never goes.

    ``order`` is what a click on its title sorts by.
    """

    name: str
    title: str
    width: int
    rank: int = 0
    right: bool = True
    order: Order | None = None


_COLUMNS = (
    Column("name", "APP", 0, right=False, order=Order.NAME),
    Column("state", "STATE", 12, right=False),
    Column("pid", "PID", 7, rank=3),
    Column("uptime", "UP", 4, rank=1),
    Column("restarts", "RST", 4, order=Order.RESTARTS),
    Column("cpu", "CPU %", 6, order=Order.CPU),
    Column("cpus", "", 0, rank=2, right=False, order=Order.CPU),
    Column("memory", "MEM", 6, order=Order.MEMORY),
    Column("memories", "", 0, rank=4, right=False, order=Order.MEMORY),
)
_GROWING = ("cpus", "memories")


class Layout(NamedTuple):
    """Columns with their widths."""

    columns: tuple[Column, ...]

    def at(self, x: int) -> Column | None:
        """The column at a place."""
        left = 0
        for column in self.columns:
            if left <= x < left + column.width + _GAP:
                return column
            left += column.width + _GAP
        return None


def fitting(room: int, longest: int) -> Layout:
    """Those that fit; the name is as wide as the *longest* if it can be, bars get what is left."""
    kept = list(_COLUMNS)
    while kept and _least(kept) > room and any(column.rank for column in kept):
        kept.remove(max(kept, key=lambda column: column.rank))
    left = max(0, room - _least(kept))
    name = min(left, max(0, min(longest, _NAME[1]) - _NAME[0]))
    bars = [column for column in kept if column.name in _GROWING]
    each = min(_SPARK[1] - _SPARK[0], (left - name) // len(bars)) if bars else 0
    widths = {"name": min(_NAME[0], room) + name, **{column.name: _SPARK[0] + each for column in bars}}
    return Layout(tuple(column._replace(width=widths.get(column.name, column.width)) for column in kept))


def titles(layout: Layout, order: Order) -> list[Cell]:
    """The line of titles; the one that the rows are sorted by is marked."""
    return [
        _cell(column, f"{column.title}{_arrow(column, order)}", _title_kind(column, order)) for column in layout.columns
    ]


def cells(layout: Layout, row: Row, trace: Trace) -> list[Cell]:
    """What stands in a row."""
    return [_cell(column, *_VALUES[column.name](row, trace, column.width)) for column in layout.columns]


def _least(columns: list[Column]) -> int:
    widths = {"name": _NAME[0], **dict.fromkeys(_GROWING, _SPARK[0])}
    return sum(widths.get(column.name, column.width) for column in columns) + _GAP * (len(columns) - 1)


def _arrow(column: Column, order: Order) -> str:
    return ("↑" if order is Order.NAME else "↓") if column.order is order and column.title else ""


def _title_kind(column: Column, order: Order) -> str:
    return "sorted" if column.order is order else "title"


def _cell(column: Column, text: str, kind: str) -> Cell:
    cut = text if len(text) <= column.width else text[: max(0, column.width - 1)] + "…"
    return Cell(cut.rjust(column.width) if column.right else cut.ljust(column.width), kind)


def name(row: Row) -> str:
    """``▾ web ×4``; below an app, just the number of the instance."""
    if row.fold:
        return f"{'▾' if row.fold == '-' else '▸'} {row.app} ×{row.instances}"
    return f"  {row.app}" if row.key == row.app else f"    @{row.number}"


def _cpus(_: Row, trace: Trace, width: int) -> tuple[str, str]:
    top = max([_CPU_FLOOR, *(value for value in trace.cpu if value is not None)])
    return spark.line(trace.cpu, width, top=top), "cpu"


def _memories(_: Row, trace: Trace, width: int) -> tuple[str, str]:
    top = _MEMORY_ROOM * max((value for value in trace.memory if value is not None), default=1)
    return spark.line(trace.memory, width, top=top), "memory"


_VALUES: dict[str, Callable[[Row, Trace, int], tuple[str, str]]] = {
    "name": lambda row, *_: (name(row), "name" if row.key == row.app else "number"),
    "state": lambda row, *_: (row.state, row.mood.value),
    "pid": lambda row, *_: (str(row.pid or ""), "number"),
    "uptime": lambda row, *_: (row.uptime, "number"),
    "restarts": lambda row, *_: (str(row.restarts or "·"), "busy" if row.restarts else "number"),
    "cpu": lambda row, *_: ("" if row.cpu is None else f"{row.cpu:.1f}", "value"),
    "cpus": _cpus,
    "memory": lambda row, *_: ("" if row.memory is None else size(row.memory), "value"),
    "memories": _memories,
}
