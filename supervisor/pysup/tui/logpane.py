"""The pane of logs: whose they are, which of them are shown, and what its title says of that."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from pysup.tui.follow import News
from pysup.tui.logview import LogView
from pysup.tui.pattern import Pattern, pattern

Lines = Callable[[str], AsyncGenerator[News, None]]
"""What follows the logs of a selector."""


class LogPane(Vertical):
    """The logs of one app or instance."""

    def __init__(self, lines: Lines, *, id: str) -> None:
        super().__init__(id=id)
        self._lines = lines
        self._selector = ""
        self._filter: Pattern | None = None
        self._search: Pattern | None = None

    def compose(self) -> ComposeResult:
        """The lines, and what is in the way of new ones."""
        yield LogView(id="log")
        yield Static(id="log-problem", markup=False)

    @property
    def view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    def open(self, selector: str, *, named: bool) -> None:
        """Follow somebody else (nobody if empty); with *named*, lines say which instance wrote them."""
        self._selector = selector
        self._tell("")
        self.view.begin(named=named)
        self.workers.cancel_group(self, "logs")
        if selector:
            self.run_worker(self._follow(selector), group="logs", name=f"pysup monit: logs of {selector}")

    def tell_apart(self, selector: str, *, named: bool) -> None:
        """Have lines say from now on which instance wrote them, or not, if they are of this selector."""
        if selector == self._selector:
            self.view.tell_apart(named=named)

    async def _follow(self, selector: str) -> None:
        view = self.view
        async with contextlib.aclosing(self._lines(selector)) as news:
            async for one in news:
                if one.anew:
                    view.lines.clear()
                    view.rebuild()
                self._tell(one.problem)
                view.add(one.lines)

    def _tell(self, problem: str) -> None:
        line = self.query_one("#log-problem", Static)
        line.update(f"{problem} It is tried again." if problem else "")
        line.set_class(bool(problem), "-on")

    def filter(self, words: str) -> None:
        """Show only lines with these words."""
        self._filter = self.view.lines.filter = pattern(words)
        self.view.rebuild()

    def search(self, words: str) -> None:
        """Mark these words."""
        self._search = pattern(words)
        self.view.look_for(self._search)
        self._entitle()

    def pause(self) -> None:
        """Hold new lines back, or let them come."""
        lines = self.view.lines
        if lines.paused:
            lines.resume()
            self.view.rebuild()
        else:
            lines.paused = True
        self._entitle()

    @on(LogView.Changed)
    def _entitle(self) -> None:
        lines = self.view.lines
        words = (
            self._selector,
            f"with {self._filter}" if self._filter else "",
            f"/{self._search}" if self._search else "",
            f"paused, {lines.held} new" if lines.paused else "" if self.view.follows else "End follows",
        )
        self.border_title = Content(" · ".join(["Logs", *filter(None, words)]))
