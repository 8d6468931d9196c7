"""The log pane: lines that are wrapped to its width, newest below, with what was searched for marked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from pysup.journal import Kind
from pysup.tui.loglines import LogLine, LogLines, wrapped
from pysup.tui.pattern import Pattern

_KINDS = ("time", "name", "out", "err", "systemd", "found")
_MARK = "│ "
_SYSTEMD_MARK = "· "


class Piece(NamedTuple):
    """One line on the terminal: what stands before it, and a part of a log line."""

    line: LogLine
    head: str
    text: str


class LogView(ScrollView, can_focus=True):
    """The lines at hand. It goes on with new ones as long as its end is to be seen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log--{kind}" for kind in _KINDS}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home,g", "scroll_home", "First", show=False),
        Binding("end,G", "scroll_end", "Last", show=False),
    ]

    class Changed(Message):
        """What its title says may be different now."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.lines = LogLines()
        self.search: Pattern | None = None
        self._found: int | None = None
        self.follows = True
        self._named = False
        self._pieces: list[Piece] = []
        self._shown = 0
        self._styles_of: dict[str, Style] = {}

    @property
    def text(self) -> str:
        """All that is at hand and passes the filter."""
        return "\n".join(line.text for line in self.lines.shown())

    def begin(self, *, named: bool) -> None:
        """Have no lines; those to come have their instance before them if *named*."""
        self.lines.clear()
        self.follows = True
        self._named = named
        self.rebuild()

    def tell_apart(self, *, named: bool) -> None:
        """Have their instance before all lines, or not."""
        if named is not self._named:
            self._named = named
            self.rebuild()

    def add(self, came: Sequence[LogLine]) -> None:
        """Show new lines."""
        filter_before = self.lines.filter
        new = self.lines.add(came)
        if self.lines.filter is not filter_before:  # it took too long: what it hid is shown again
            self.rebuild()
            return
        if not new:
            self.post_message(self.Changed())
            return
        before = len(self._pieces)
        self._pieces += [piece for line in new for piece in self._cut(line)]
        self._shown += len(new)
        if self._shown > self.lines.kept * 1.2:  # the oldest have gone
            self._pieces = [piece for line in self._kept() for piece in self._cut(line)]
            before = 0
        self._grown(before)

    def rebuild(self) -> None:
        """Lay out all lines anew: another width, another filter."""
        self._found = None
        self._pieces = [piece for line in self._kept() for piece in self._cut(line)]
        self._grown(0)

    def find(self, step: int) -> None:
        """Go to the next (1) or the one before (-1) of what is searched for, round and round."""
        if not self.search:
            return
        self.search.begin()
        places = [index for index, piece in enumerate(self._pieces) if self.search.is_in(piece.text)]
        self._give_up()
        if not places or not self.search:
            return
        later = [place for place in places if self._found is None or (place - self._found) * step > 0]
        self._found = (min if step > 0 else max)(later or places)
        self.scroll_to(y=self._found - self.size.height // 2, animate=False, force=True)

    def look_for(self, pattern: Pattern | None) -> None:
        """Mark this from now on."""
        self.search, self._found = pattern, None
        self.refresh()

    def _kept(self) -> list[LogLine]:
        shown = self.lines.shown()
        self._shown = len(shown)
        return shown

    def _grown(self, before: int) -> None:
        """Draw what came behind the first *before* pieces, if it is to be seen."""
        self.virtual_size = Size(0, len(self._pieces))
        if self.follows:
            self._to_end()
            self.call_after_refresh(self._to_end)  # its size may not be known yet
        if self.follows or before < self.scroll_offset.y + self.size.height:
            self.refresh()
        self.post_message(self.Changed())

    def _to_end(self) -> None:
        if self.follows:
            self.scroll_end(animate=False, immediate=True, force=True)

    def _cut(self, line: LogLine) -> list[Piece]:
        """A line as pieces that are no wider than the pane."""
        head = self._head(line)
        width = max(10, self.scrollable_content_region.width - cell_len(head) - len(_MARK))
        first, *more = wrapped(line.text, width)
        return [Piece(line, head, first), *(Piece(line, " " * cell_len(head), text) for text in more)]

    def _head(self, line: LogLine) -> str:
        when = " " * 8 if line.at is None else time.strftime("%H:%M:%S", time.localtime(line.at))
        name = f" @{line.number}" if self._named and line.number is not None else ""
        return f"{when}{name} "

    def render_lines(self, crop: Region) -> list[Strip]:
        """What is to be seen."""
        if self.search:
            self.search.begin()
        strips = super().render_lines(crop)
        self._give_up()
        return strips

    def _give_up(self) -> None:
        """Search no more for what takes too long, and have the title say so."""
        if self.search and self.search.is_slow:
            self.search = None
            self.call_later(self.refresh)
            self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        """A piece as it is to be seen."""
        width, index = self.size.width, y + self.scroll_offset.y
        base = self.rich_style
        if index >= len(self._pieces):
            return Strip.blank(width, base)
        piece = self._pieces[index]
        mark = _SYSTEMD_MARK if piece.line.kind is Kind.SYSTEMD else _MARK
        segments = [Segment(piece.head, base + self._style("time"))]
        segments.append(Segment(mark, base + self._style("err" if piece.line.kind is Kind.ERR else "time")))
        segments += self._marked(piece.text, base + self._style(piece.line.kind.value))
        return Strip(segments).adjust_cell_length(width, base).crop(0, width)

    def _marked(self, text: str, style: Style) -> list[Segment]:
        """The text with what was searched for marked."""
        if not self.search:
            return [Segment(text, style)]
        segments, at = [], 0
        for start, end in self.search.places(text):
            segments += [Segment(text[at:start], style), Segment(text[start:end], style + self._style("found"))]
            at = end
        return [one for one in [*segments, Segment(text[at:], style)] if one.text]

    def _style(self, kind: str) -> Style:
        if kind not in self._styles_of:
            self._styles_of[kind] = self.get_component_rich_style(f"log--{kind}", partial=True)
        return self._styles_of[kind]

    def notify_style_update(self) -> None:
        """Forget the styles: the theme is another."""
        super().notify_style_update()
        self._styles_of.clear()

    def on_resize(self) -> None:
        """Wrap anew."""
        self.rebuild()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow as long as the end is to be seen."""
        super().watch_scroll_y(old_value, new_value)
        if new_value >= self.max_scroll_y:
            self.follows = True
        elif new_value < old_value:
            self.follows = False
        self.post_message(self.Changed())
