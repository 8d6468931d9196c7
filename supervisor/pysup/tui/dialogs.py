"""What is asked before something is done, and the help screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from pysup.errors import SpecError

KEYS = (
    ("Move", (("↑ ↓, k j", "choose an app or an instance"), ("PgUp PgDn, g G", "by pages, first, last"))),
    (
        "Table",
        (
            ("← →, Enter", "fold and unfold an app"),
            ("o", "sort by the next column; or click on a title"),
            ("a", "only apps with this in their name or state"),
        ),
    ),
    (
        "Logs",
        (
            ("f", "only lines with this (a regular expression)"),
            ("/  n  N", "search; the next, the one before"),
            ("p", "pause and go on; End follows again"),
            ("Tab", "to the logs and back"),
            ("i  z", "details instead; logs alone"),
        ),
    ),
    (
        "Do",
        (
            ("r  l", "restart; reload: replace instances one by one"),
            ("s  x", "start; stop"),
            ("c  D", "scale; delete"),
        ),
    ),
    ("Else", (("T", "dark or light"), ("Ctrl-Z", "to the shell; fg comes back"), ("q", "quit"))),
)


class Question(ModalScreen[bool]):
    """Whether to do it: True if yes. What comes to the question is No, unless it is answered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, more: str = "") -> None:
        super().__init__()
        self._question, self._more = question, more

    def compose(self) -> ComposeResult:
        """The question, what to know, two buttons."""
        with Vertical(id="dialog"):
            yield Label(self._question, markup=False)
            if self._more:
                yield Label(self._more, classes="muted", markup=False)
            with Horizontal():
                yield Button("Yes (y)", id="yes", variant="error")
                yield Button("No (n)", id="no", variant="default")

    def on_mount(self) -> None:
        """Enter is No."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answer."""
        self.dismiss(answer)


class ScaleDialog(ModalScreen[int | None]):
    """How many instances an app shall have; None to leave it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]

    def __init__(self, app: str, there: int, scaled: Callable[[str, int], int]) -> None:
        super().__init__()
        self._name, self._there, self._scaled = app, there, scaled

    def compose(self) -> ComposeResult:
        """The question and where to write."""
        with Vertical(id="dialog"):
            yield Label(f"How many instances shall {self._name} have? It has {self._there}.", markup=False)
            line = Input(placeholder="4, +2, -1 or max", id="count")
            line.cursor_blink = False
            yield line
            yield Label("Fewer: the highest numbers are stopped. Enter does it, Esc leaves it.", classes="muted")
            yield Label("", classes="problem", id="problem", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do it if it can be done; else say why not."""
        try:
            self.dismiss(self._scaled(event.value.strip(), self._there))
        except SpecError as exc:
            problem = self.query_one("#problem", Label)
            problem.update(f"{exc.message}. {exc.hint}")
            problem.add_class("-on")

    def action_leave(self) -> None:
        """Leave it as it is."""
        self.dismiss(None)


class Help(ModalScreen[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "leave", "Close")]

    def compose(self) -> ComposeResult:
        """The table of keys."""
        with VerticalScroll(id="help") as box:
            box.border_title, box.border_subtitle = "pysup monit", "Esc closes"
            yield Static(keys())

    def action_leave(self) -> None:
        """Close it."""
        self.dismiss()


def keys() -> Content:
    """The table of keys."""
    lines: list[Content] = []
    for title, rows in KEYS:
        for index, (key, what) in enumerate(rows):
            head = Content.styled(f"{title if not index else '':7}", "bold")
            lines.append(Content.assemble(head, Content.styled(f"{key:16}", "$primary"), what))
    return Content("\n").join(lines)
