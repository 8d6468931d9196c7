"""The pane of details: what ``pysup describe`` tells of the app or instance that is chosen."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from pysup.errors import PysupError
from pysup.tui.loglines import wrapped
from pysup.tui.machine import Detail

_EVERY = 10.0  # seconds: numbers in it that nobody pushes are that old at most
_NAMES = 14

Details = Callable[[str], Awaitable[list[Detail]]]
"""What tells about a selector."""


class DetailPane(VerticalScroll, can_focus=True):
    """All about one app or instance; asked for only while it is to be seen."""

    def __init__(self, details: Details, *, id: str) -> None:
        super().__init__(id=id)
        self._details = details
        self._shown: Sequence[Detail] = ()
        self._known: tuple[str, str] = ("", "")
        self._at = 0.0

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static(id="details")

    @property
    def text(self) -> str:
        """What it tells."""
        return "\n".join(f"{title} {value}" for title, value in self._shown)

    def open(self, selector: str, state: str) -> None:
        """Tell about somebody, anew if that is somebody else, in another *state*, or some time has gone by."""
        is_known = self._known == (selector, state) and time.monotonic() < self._at + _EVERY
        if is_known or not self.display:
            return
        self._known, self._at = (selector, state), time.monotonic()
        self.run_worker(self._tell(selector), exclusive=True, name=f"pysup monit: details of {selector}")

    async def _tell(self, selector: str) -> None:
        try:
            self._shown = await self._details(selector) if selector else ()
        except PysupError as exc:
            self._shown = [Detail("problem", exc.message)]
        self.border_title = Content(f"Details · {selector}")
        self._lay_out()

    def on_resize(self) -> None:
        """Wrap anew."""
        self._lay_out()

    def _lay_out(self) -> None:
        room = max(10, self.scrollable_content_region.width - _NAMES)
        lines = []
        for title, value in self._shown:
            first, *more = wrapped(value, room)
            lines.append(Content.assemble((f"{title:{_NAMES - 1}} ", "$muted"), first))
            lines += [Content(" " * _NAMES + piece) for piece in more]
        self.query_one(Static).update(Content("\n").join(lines))
