"""The line in which is written what to look for: which apps, which lines, which word."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class Field(StrEnum):
    """What is written."""

    ONLY = "only"
    FILTER = "filter"
    SEARCH = "search"


_LABELS = {Field.ONLY: "Apps with:", Field.FILTER: "Lines with:", Field.SEARCH: "Search for:"}


class Prompt(Horizontal):
    """Hidden, but while somebody writes. It tells each letter; Enter keeps what is written, Escape forgets it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "forget", "Forget it")]

    class Written(Message):
        """What is written now; ``done`` when it is all."""

        def __init__(self, field: Field, words: str, *, done: bool) -> None:
            super().__init__()
            self.field, self.words, self.done = field, words, done

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._field = Field.ONLY

    def compose(self) -> ComposeResult:
        """What is asked for, and where to write it."""
        yield Label(id="label")
        line = Input(id="written")
        line.cursor_blink = False  # which would draw twice a second
        yield line

    def open(self, field: Field, words: str) -> None:
        """Have it written, beginning with *words*."""
        self._field = field
        self.query_one(Label).update(_LABELS[field])
        line = self.query_one(Input)
        with self.prevent(Input.Changed):
            line.value = words
        line.cursor_position = len(words)
        self.add_class("-on")
        line.focus()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Written(self._field, event.value, done=False))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close(event.value)

    def action_forget(self) -> None:
        """Close it with nothing written."""
        self._close("")

    def _close(self, words: str) -> None:
        self.remove_class("-on")
        self.post_message(self.Written(self._field, words, done=True))
