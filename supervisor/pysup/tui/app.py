"""The dashboard: what is seen and chosen, and what keys do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Static

from pysup.errors import PysupError
from pysup.tui import rows, summary, terminal, themes, verbs
from pysup.tui.detailpane import DetailPane
from pysup.tui.dialogs import Help, Question, ScaleDialog
from pysup.tui.feed import Look
from pysup.tui.history import History
from pysup.tui.logpane import LogPane
from pysup.tui.machine import World
from pysup.tui.prompt import Field, Prompt
from pysup.tui.rows import Row, View
from pysup.tui.table import Table
from pysup.tui.verbs import Verb
from pysup.unit import AppStatus

_SETTLED = 0.15  # seconds: who moves on through the table wants no logs of what is passed
_ERROR_STAYS = 20.0
_NEWS_STAYS = 4.0
_COLOURS = {"good": "$success", "busy": "$warning", "bad": "$error bold", "idle": "$muted", "value": ""}


class Monit(App[None]):
    """``pysup monit``. The history and the clock are given by pictures in tests, which stand still."""

    CSS_PATH = "monit.tcss"
    TITLE = "pysup monit"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (160, "-wide")]  # noqa: RUF012 (as Textual has it)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("r", "do('restart')", "Restart"),
        Binding("l", "do('reload')", "Reload"),
        Binding("s", "do('start')", "Start"),
        Binding("x", "do('stop')", "Stop"),
        Binding("c", "scale", "Scale"),
        Binding("f", "write('filter')", "Filter"),
        Binding("slash", "write('search')", "Find", key_display="/"),
        Binding("i", "switch", "Info"),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c,ctrl+q", "leave", show=False, system=True),
        Binding("D", "do('delete')", show=False),
        Binding("n", "find(1)", show=False),
        Binding("N", "find(-1)", show=False),
        Binding("p", "pause", show=False),
        Binding("o", "order", show=False),
        Binding("a", "write('only')", show=False),
        Binding("z", "zoom", show=False),
        Binding("T", "turn_theme", show=False),
        Binding("escape", "clear", show=False),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(
        self,
        world: World,
        *,
        where: str,
        light: bool = False,
        history: History | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._world, self._where, self._now = world, where, now
        self._apps: list[AppStatus] = []
        self._history = history or History()
        self._view = View()
        self.problem: PysupError | None = None
        self._parts: list[summary.Part] = []
        self._gap = ""
        self._doing: list[str] = []
        self._written = dict.fromkeys(Field, "")
        self._settling: Timer | None = None
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        self.theme = themes.LIGHT.name if light else themes.DARK.name

    def compose(self) -> ComposeResult:
        """All widgets; monit.tcss says where."""
        yield Static(id="bar")
        yield Static(id="banner", markup=False)
        with Container(id="body"):
            yield Table(id="table")
            with Vertical(id="side"):
                yield DetailPane(self._world.details, id="details-pane")
                yield LogPane(self._world.lines, id="log-pane")
        yield Prompt(id="prompt")
        yield Static(id="doing", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self._table.focus()
        self.run_worker(self._look(), name="pysup monit: looks")
        self.call_later(terminal.come_back, self)
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))

    @property
    def _top(self) -> Screen[object]:
        """The screen below dialogs."""
        return self.screen_stack[0]

    @property
    def _is_open(self) -> bool:
        """Whether there are widgets: work that goes on in the background may end later than they."""
        return self.is_running and bool(self.screen_stack)

    @property
    def _table(self) -> Table:
        return self._top.query_one(Table)

    @property
    def _logs(self) -> LogPane:
        return self._top.query_one(LogPane)

    async def _look(self) -> None:
        try:
            async with contextlib.aclosing(self._world.looks()) as looks:
                async for look in looks:
                    if self._is_open:
                        self._take(look)
        except PysupError as exc:  # it could not begin
            self.problem = exc
            self.exit()

    def _take(self, look: Look) -> None:
        """Show how apps are now."""
        self._apps = list(look.apps)
        if look.measured:
            self._history.add(look.apps, time.monotonic())
        if look.gap != self._gap:
            self._gap = look.gap
            self._say("#banner", f"{look.gap}: what is shown may be old. It is tried again." if look.gap else "")
        self._show()
        self._describe()
        if row := self._table.chosen:
            self._logs.tell_apart(row.key, named=row.has_several)  # it may have been scaled

    def _show(self) -> None:
        found = rows.rows(self._apps, self._history, self._view, self._now())
        self._table.show(found, self._history, self._view.order)
        parts = summary.parts(self._apps, self._history)
        if parts != self._parts:
            self._parts = parts
            said = Content("  ").join(Content.styled(text, _COLOURS[kind]) for text, kind in parts)
            bar = Content.assemble(("pysup", "bold $primary"), f" {self._where}  ", said)
            self._top.query_one("#bar", Static).update(bar, layout=False)

    def _say(self, where: str, text: str) -> None:
        """Have a line that is there only while something is to be said."""
        if self._is_open:
            line = self._top.query_one(where, Static)
            line.update(text)
            line.set_class(bool(text), "-on")

    @on(Table.Chosen)
    def _chosen(self, event: Table.Chosen) -> None:
        if self._settling:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLED, lambda: self._open(event.row))

    def _open(self, row: Row | None) -> None:
        """Show the logs and the details of a row."""
        if not self._is_open:
            return
        self._logs.open(row.key if row else "", named=row is not None and row.has_several)
        self._describe()

    def _describe(self) -> None:
        row = self._table.chosen
        state = f"{row.state} {row.pid} {row.restarts} {row.instances}" if row else ""
        self._top.query_one(DetailPane).open(row.key if row else "", state)

    @on(Table.Folded)
    def _folded(self, event: Table.Folded) -> None:
        self._view = self._view.toggled(event.app, fold=event.fold)
        self._show()

    @on(Table.Sorted)
    def _sorted(self, event: Table.Sorted) -> None:
        self._view = replace(self._view, order=event.order)
        self._show()

    def action_order(self) -> None:
        """Sort by the next thing."""
        self._view = replace(self._view, order=self._view.order.next)
        self._show()

    def action_do(self, name: str) -> None:
        """Have something done to what is chosen, once a question about it is answered."""
        row, verb = self._table.chosen, verbs.VERBS[name]
        if row is None:
            return

        def answered(is_wanted: bool | None) -> None:
            if is_wanted:
                self._begin(verb, verb.target(row))

        if verb.warning is None:
            answered(True)
        else:
            self.push_screen(Question(verb.question(row, self._count(row.app)), verb.warning), answered)

    def action_scale(self) -> None:
        """Ask how many instances, and have them."""
        row = self._table.chosen
        if row is None:
            return
        there = self._count(row.app)

        def answered(count: int | None) -> None:
            if count is not None and count != there:
                self._begin(verbs.scale(count), row.app)

        self.push_screen(ScaleDialog(row.app, there, self._world.scaled), answered)

    def _count(self, name: str) -> int:
        return next((len(app.instances) for app in self._apps if app.name == name), 0)

    def _begin(self, verb: Verb, target: str) -> None:
        self.run_worker(self._do(verb, target), group="doing", name=f"pysup monit: {verb.name} {target}")

    async def _do(self, verb: Verb, target: str) -> None:
        doing, began = f"{verb.doing} {target} …", time.monotonic()
        self._doing.append(doing)
        self._say("#doing", "  ".join(self._doing))
        try:
            await self._world.do(verb, target)
        except PysupError as exc:
            title = f"{target} could not be {verb.done}"
            self.notify(verbs.failure(exc), title=title, severity="error", timeout=_ERROR_STAYS, markup=False)
        else:
            took = time.monotonic() - began
            self.notify(f"{target} was {verb.done} in {took:.1f} s", timeout=_NEWS_STAYS, markup=False)
        finally:
            self._doing.remove(doing)
            self._say("#doing", "  ".join(self._doing))

    def action_write(self, name: str) -> None:
        """Have a filter or a search written."""
        self._top.query_one(Prompt).open(Field(name), self._written[Field(name)])

    @on(Prompt.Written)
    def _take_written(self, event: Prompt.Written) -> None:
        """Do it while it is written; a search goes to the newest place in the end."""
        self._set(event.field, event.words)
        if event.done:
            self._table.focus()
            if event.field is Field.SEARCH:
                self.action_find(-1)

    def _set(self, field: Field, words: str) -> None:
        self._written[field] = words
        match field:
            case Field.ONLY:
                self._view = replace(self._view, only=words)
                self._show()
            case Field.FILTER:
                self._logs.filter(words)
            case Field.SEARCH:
                self._logs.search(words)

    def action_clear(self) -> None:
        """Forget what was searched and filtered for; see all."""
        self._top.remove_class("-zoomed")
        for field in Field:
            self._set(field, "")

    def action_find(self, step: int) -> None:
        """The next place of what is searched for."""
        self._logs.view.find(step)

    def action_pause(self) -> None:
        """Hold new lines back, or let them come."""
        self._logs.pause()

    def action_switch(self) -> None:
        """Details in place of the logs or, where there is room, beside them or not."""
        self._top.toggle_class("-switched")
        self.call_after_refresh(self._describe)

    def action_zoom(self) -> None:
        """The logs alone, or the table, too."""
        self._top.toggle_class("-zoomed")
        (self._logs.view if self._top.has_class("-zoomed") else self._table).focus()

    def action_turn_theme(self) -> None:
        """Dark or light."""
        self.theme = themes.DARK.name if self.theme == themes.LIGHT.name else themes.LIGHT.name

    def action_help(self) -> None:
        """Show all keys."""
        self.push_screen(Help())

    def action_leave(self) -> None:
        """End; if something is being done, only once that is meant."""

        def answered(is_wanted: bool | None) -> None:
            if is_wanted:
                self.exit()

        if self._doing:
            more = f"{', '.join(self._doing)} What systemd was asked for goes on; a reload stops half-way."
            self.push_screen(Question("Quit all the same?", more), answered)
        else:
            self.exit()


def run(world: World, *, where: str, theme: str) -> int:
    """Open the dashboard until it is left; *theme* is ``dark``, ``light`` or ``auto``. Returns the exit code.

    Raises what ``Manager.watch`` does when it cannot begin.
    """
    light = terminal.is_light() if theme == "auto" else theme == "light"
    app = Monit(world, where=where, light=light)
    app.run()
    if app.problem:
        raise app.problem
    return app.return_code or 0
