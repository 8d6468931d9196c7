"""The table of apps and instances: a widget that draws the rows that are to be seen, and of those the changed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from pysup.tui import columns
from pysup.tui.columns import Cell
from pysup.tui.history import History
from pysup.tui.rows import Order, Row

_KINDS = ("name", "number", "value", "title", "sorted", "good", "busy", "bad", "idle", "cpu", "memory")
_HEAD = 1  # line of titles


class _Line(NamedTuple):
    """A line that is to be seen."""

    cells: list[Cell]
    is_chosen: bool = False


class Table(ScrollView, can_focus=True):
    """Rows, one of which is chosen. The first line has the titles and stays where it is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--chosen", *(f"table--{kind}" for kind in _KINDS)}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home,g", "choose(0)", "First", show=False),
        Binding("end,G", "choose(-1)", "Last", show=False),
        Binding("right", "fold(False)", "Unfold", show=False),
        Binding("left", "fold(True)", "Fold", show=False),
        Binding("enter,space", "turn", "Fold or unfold", show=False),
    ]

    class Chosen(Message):
        """Another row is chosen, or none."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

    class Folded(Message):
        """An app is to be folded or unfolded."""

        def __init__(self, app: str, *, fold: bool) -> None:
            super().__init__()
            self.app, self.fold = app, fold

    class Sorted(Message):
        """The rows are to be sorted by something else."""

        def __init__(self, order: Order) -> None:
            super().__init__()
            self.order = order

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: list[Row] = []
        self._history = History()
        self._drawn: dict[int, _Line] = {}
        self._order = Order.NAME
        self._cursor = 0
        self._layout_of = columns.fitting(80, 0)
        self._styles_of: dict[str, Style] = {}

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def rows(self) -> list[Row]:
        """All rows, also those that are scrolled away."""
        return self._rows

    def show(self, rows: Sequence[Row], history: History, order: Order) -> None:
        """Have these rows, and the chosen one stay chosen if it is still there."""
        before, length = self.chosen, len(self._rows)
        self._rows, self._history, self._order = list(rows), history, order
        place = next((index for index, row in enumerate(rows) if before and row.key == before.key), None)
        if place is None and before:  # an instance that was folded away, or gone: its app
            place = next((index for index, row in enumerate(rows) if row.key == before.app), None)
        self._cursor = min(self._cursor, max(0, len(rows) - 1)) if place is None else place
        if len(rows) != length:
            self.virtual_size = Size(0, len(rows) + _HEAD)
        self._draw()
        if (self.chosen and self.chosen.key) != (before and before.key):
            self._scroll_to_cursor()
            self.post_message(self.Chosen(self.chosen))

    def _draw(self) -> None:
        """Draw those of the lines that are to be seen that are others than they were."""
        longest = max((len(columns.name(row)) for row in self._rows), default=0)
        self._layout_of = columns.fitting(self.scrollable_content_region.width - 1, longest)
        for y in range(self.size.height):
            if self._line(y) != self._drawn.get(y):
                self.refresh(Region(0, y, self.size.width, 1))

    def _line(self, y: int) -> _Line:
        """What is to be seen there."""
        if y == 0:
            return _Line(columns.titles(self._layout_of, self._order))
        index = y + self.scroll_offset.y - _HEAD
        if index >= len(self._rows):
            return _Line([])
        row = self._rows[index]
        cells = columns.cells(self._layout_of, row, self._history.trace(row.key))
        return _Line(cells, is_chosen=index == self._cursor)

    def render_line(self, y: int) -> Strip:
        """A line as it is to be seen: the titles, or a row."""
        width, line, base = self.size.width, self._line(y), self._style("base")
        self._drawn[y] = line
        if line.is_chosen:
            base += self._style("chosen")
        segments: list[Segment] = []
        for cell in line.cells:
            style = base if line.is_chosen and cell.kind == "number" else base + self._style(cell.kind)
            segments += [Segment(cell.text, style), Segment(" ", base)]
        return Strip(segments).adjust_cell_length(width, base).crop(0, width)

    def _style(self, kind: str) -> Style:
        if kind not in self._styles_of:
            own = self.rich_style if kind == "base" else self.get_component_rich_style(f"table--{kind}", partial=True)
            self._styles_of[kind] = own
        return self._styles_of[kind]

    def notify_style_update(self) -> None:
        """Forget the styles: the theme is another."""
        super().notify_style_update()
        self._styles_of.clear()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._drawn.clear()
        self._draw()
        self.call_after_refresh(self._scroll_to_cursor)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Choose a row; a click on its mark folds it, one on a title sorts."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            column = self._layout_of.at(offset.x)
            if column and column.order:
                self.post_message(self.Sorted(column.order))
            return
        index = offset.y + self.scroll_offset.y - _HEAD
        if 0 <= index < len(self._rows):
            self._choose(index)
            if offset.x < len("▾ "):
                self.action_turn()

    def _choose(self, index: int) -> None:
        index = max(0, min(index, len(self._rows) - 1))
        if index == self._cursor or not self._rows:
            return
        self._cursor = index
        self._scroll_to_cursor()
        self._draw()
        self.post_message(self.Chosen(self.chosen))

    def _scroll_to_cursor(self) -> None:
        seen = self.size.height - _HEAD
        top = self.scroll_offset.y
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif seen > 0 and self._cursor >= top + seen:
            self.scroll_to(y=self._cursor - seen + 1, animate=False, force=True)

    def action_move(self, by: int) -> None:
        """Choose another row."""
        self._choose(self._cursor + by)

    def action_move_page(self, by: int) -> None:
        """Choose one a page away."""
        self._choose(self._cursor + by * max(1, self.size.height - _HEAD - 1))

    def action_choose(self, index: int) -> None:
        """Choose the first or the last."""
        self._choose(index if index >= 0 else len(self._rows) + index)

    def action_turn(self) -> None:
        """Fold what is unfolded, and the other way round."""
        row = self.chosen
        if row and row.fold:
            self.post_message(self.Folded(row.app, fold=row.fold == "-"))

    def action_fold(self, fold: bool) -> None:
        """Fold or unfold the chosen app, also from one of its instances."""
        row = self.chosen
        if row and (row.fold or (fold and row.key != row.app)):
            self.post_message(self.Folded(row.app, fold=fold))
