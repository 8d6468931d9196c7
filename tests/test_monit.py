"""The dashboard without a terminal: its pictures, and its keys over a systemd that is not there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

import apps
import dashboards
import grounds
from dashboards import Still
from pysup.bus.protocol import Bus
from pysup.cli import describe
from pysup.errors import NoBus, NotPermitted, PysupError
from pysup.manager import Manager
from pysup.testing import FakeSystemd, fake_manager
from pysup.tui.app import Monit
from pysup.tui.detailpane import DetailPane
from pysup.tui.dialogs import Help, Question, ScaleDialog
from pysup.tui.loglines import LONGEST, LogLine
from pysup.tui.logpane import LogPane
from pysup.tui.machine import Machine
from pysup.tui.rows import Row
from pysup.tui.table import Table

PATIENCE = 20.0
NARROW, WIDE = (80, 24), (200, 60)
Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are the same everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def until(pilot: Pilot[None], is_so: Callable[[], object]) -> None:
    """Let the dashboard go on until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await pilot.pause(0.01)


def screen_of(pilot: Pilot[None]) -> Monit:
    """The dashboard."""
    assert isinstance(pilot.app, Monit)
    return pilot.app


def table(pilot: Pilot[None]) -> Table:
    """Its table."""
    return screen_of(pilot).screen_stack[0].query_one(Table)


def logs(pilot: Pilot[None]) -> LogPane:
    """Its logs."""
    return screen_of(pilot).screen_stack[0].query_one(LogPane)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until logs and details are there."""
    await until(pilot, lambda: logs(pilot).view.virtual_size.height)
    pane = screen_of(pilot).screen_stack[0].query_one(DetailPane)
    await until(pilot, lambda: not pane.display or pane.border_title)


def after(*keys: str) -> Callable[[Pilot[None]], object]:
    """What to do before a picture is taken."""

    async def do(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press(*keys)
        await settled(pilot)
        await pilot.pause()

    return do


@pytest.mark.parametrize(
    ("keys", "size", "light"),
    [
        pytest.param((), NARROW, False, id="narrow-dark"),
        pytest.param((), NARROW, True, id="narrow-light"),
        pytest.param(("end",), WIDE, False, id="wide-dark"),
        pytest.param(("i",), NARROW, False, id="details"),
        pytest.param(("r",), NARROW, False, id="question"),
        pytest.param(("c", *"none", "enter"), NARROW, False, id="scale-to-nonsense"),
        pytest.param(("f", *"error", "enter", "slash", *"conn"), NARROW, False, id="filter-and-search"),
        pytest.param(("question_mark",), NARROW, False, id="help"),
    ],
)
def test_it_looks_so(snap_compare: Compare, keys: tuple[str, ...], size: tuple[int, int], light: bool) -> None:
    """pytest tests/test_monit.py --snapshot-update makes these pictures anew: look at them before you commit."""
    assert snap_compare(dashboards.pictured(light=light), terminal_size=size, run_before=after(*keys))


def test_a_bus_that_is_gone_looks_so(snap_compare: Compare) -> None:
    """The line below the first one tells it."""
    gone = Still(gap="the bus went away")
    assert snap_compare(dashboards.pictured(gone), terminal_size=NARROW, run_before=after())


def test_no_apps_look_so(snap_compare: Compare) -> None:
    """An empty table, and nothing fails."""

    async def wait(pilot: Pilot[None]) -> None:
        await pilot.pause()

    assert snap_compare(dashboards.pictured(Still([])), terminal_size=NARROW, run_before=wait)


@pytest.mark.parametrize("size", [(20, 5), (300, 100)])
async def test_it_works_at_any_size(size: tuple[int, int]) -> None:
    """Keys move, fold and open what they shall."""
    async with dashboards.pictured().run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press("down", "j", "left", "right", "pagedown", "home", "o", "z", "z", "i", "T", "G", "tab", "k")
        assert screen_of(pilot).return_code is None


async def test_the_mouse_chooses_folds_and_sorts() -> None:
    """By clicks on a row, its mark, a title."""
    async with dashboards.pictured().run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.click("#table", offset=(10, 3))
        await until(pilot, lambda: chosen(pilot) == "api@1")
        await pilot.click("#table", offset=(1, 1))
        await until(pilot, lambda: "api@1" not in keys_of(pilot))
        await pilot.click("#table", offset=(60, 0))
        await until(pilot, lambda: keys_of(pilot)[0] == "search")


def chosen(pilot: Pilot[None]) -> str:
    """The selector of the chosen row."""
    row = table(pilot).chosen
    return row.key if row else ""


def keys_of(pilot: Pilot[None]) -> list[str]:
    """Those of all rows."""
    return [row.key for row in rows_of(pilot)]


def rows_of(pilot: Pilot[None]) -> list[Row]:
    """All rows."""
    return table(pilot).rows


async def test_the_chosen_row_stays_chosen_when_others_come_and_go() -> None:
    """Filtered away, its app or the one at its place is."""
    async with dashboards.pictured().run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.press("end")
        assert chosen(pilot) == "web@2"
        await pilot.press("a", *"web", "enter")
        assert (chosen(pilot), keys_of(pilot)) == ("web@2", ["web", "web@0", "web@1", "web@2"])
        await pilot.press("left")
        await until(pilot, lambda: keys_of(pilot) == ["web"])
        assert chosen(pilot) == "web"
        await pilot.press("escape")
        await until(pilot, lambda: len(keys_of(pilot)) > 1)
        assert chosen(pilot) == "web"


async def test_nothing_is_done_before_the_question_is_answered_with_yes() -> None:
    """Enter, Escape, n and q are No."""
    world = Still()
    async with dashboards.pictured(world).run_test(size=NARROW) as pilot:
        await settled(pilot)
        for verb, answer in zip("rlxD", ("enter", "escape", "n", "q"), strict=True):
            await pilot.press(verb)
            assert isinstance(screen_of(pilot).screen, Question)
            await pilot.press(answer)
            assert not isinstance(screen_of(pilot).screen, Question)
        assert world.done == []
        await pilot.press("down", "r", "y")
        await until(pilot, lambda: world.done == [("restart", "api@0")])
        await pilot.press("l", "y")
        await until(pilot, lambda: world.done[1:] == [("reload", "api")])


async def test_what_is_being_done_is_shown_and_asked_about_before_the_end() -> None:
    """Quitting is a question then; the keys go on working meanwhile."""
    world = Still()
    world.let_go.clear()
    async with dashboards.pictured(world).run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.press("s")
        line = screen_of(pilot).query_one("#doing")
        await until(pilot, lambda: "starting api" in str(line.render()))
        await pilot.press("down", "q")
        assert isinstance(screen_of(pilot).screen, Question)
        await pilot.press("n")
        world.let_go.set()
        await until(pilot, lambda: not line.display)
        await pilot.press("q")
        await until(pilot, lambda: screen_of(pilot).return_code == 0)


async def test_a_failure_is_told_with_its_last_lines() -> None:
    """And what to do."""
    async with dashboards.pictured(Still(fails=True)).run_test(size=NARROW, notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: [*screen_of(pilot)._notifications])
        (told,) = (one.message for one in screen_of(pilot)._notifications)
        assert "no such file: /etc/web.json" in told
        assert "pysup logs web@0" in told


async def test_logs_pause_filter_and_search() -> None:
    """The title tells; Escape forgets."""
    async with dashboards.pictured().run_test(size=NARROW) as pilot:
        await settled(pilot)
        pane = logs(pilot)
        await pilot.press("p")
        pane.view.add([LogLine("api", 0, dashboards.Kind.OUT, "came later")])
        await until(pilot, lambda: "paused, 1 new" in str(pane.border_title))
        await pilot.press("p", "slash", *"later", "enter")
        await until(pilot, lambda: "/later" in str(pane.border_title))
        assert pane.view.follows
        await pilot.press("slash", *"prod", "enter")
        place = pane.view.scroll_offset.y
        await pilot.press("N", "N")
        assert pane.view.scroll_offset.y < place
        await pilot.press("n", "n")
        assert pane.view.scroll_offset.y == place
        await pilot.press("f", *"/h", "enter")
        await until(pilot, lambda: pane.view.virtual_size.height < 20)
        await pilot.press("escape")
        await until(pilot, lambda: pane.view.virtual_size.height > 60)


async def test_a_pattern_that_takes_too_long_is_given_up_and_the_screen_goes_on() -> None:
    """A filter once such lines come, a search at once; one that would only backtrack is as good as any."""
    long = [LogLine("api", 0, dashboards.Kind.OUT, "é" * LONGEST)] * 100
    async with dashboards.pictured().run_test(size=NARROW) as pilot:
        await settled(pilot)
        pane = logs(pilot)
        at_first = pane.view.text
        for key in ("f", "slash"):
            await pilot.press(key)
            screen_of(pilot).query_one(Input).value = dashboards.SLOW
            await pilot.press("enter")
            await until(pilot, lambda: dashboards.SLOW in str(pane.border_title))
            if key == "f":
                assert pane.view.text == ""
                pane.view.add(long)
            await until(pilot, lambda: f"{dashboards.SLOW} (takes too long, is off)" in str(pane.border_title))
            assert pane.view.text.startswith(at_first)
            await pilot.press("escape")
        await pilot.press("slash", *"(a+)+$", "enter")
        await until(pilot, lambda: "/(a+)+$ ·" in str(pane.border_title))
        await pilot.press("q")
        await until(pilot, lambda: screen_of(pilot).return_code == 0)


async def test_the_letters_of_a_filter_are_no_keys() -> None:
    """Neither q nor D nor ? nor /."""
    async with dashboards.pictured().run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.press("f", *"qD?/r")
        assert screen_of(pilot).query_one(Input).value == "qD?/r"
        assert len(screen_of(pilot).screen_stack) == 1
        await pilot.press("escape", "question_mark")
        assert isinstance(screen_of(pilot).screen, Help)


class Ground:
    """A systemd that is not there, a dashboard over it, and a bus that can be away."""

    def __init__(self, directory: Path) -> None:
        self.systemd = FakeSystemd(directory / "etc", directory / "run")
        self.is_there = True
        self._directory = directory
        self.journal: PysupError | None = None

    def manager(self) -> Manager:
        """One whose bus is the fake's."""
        made = fake_manager(self._directory, self.systemd)
        made._connect = self._reach
        return made

    @asynccontextmanager
    async def _reach(self) -> AsyncIterator[Bus]:
        if not self.is_there:
            raise NoBus("there is no bus")
        async with self.systemd.connect() as bus:
            yield bus

    def dashboard(self, selectors: str = "all", interval: float = 3600) -> Monit:
        """A dashboard that measures once, unless told otherwise: what it shows later was pushed."""
        machine = Machine(self.manager, selectors, interval=interval, source=self._lines, describe=describe.about)
        return Monit(machine, where="system")

    def _lines(self, selector: str, wake_fd: int) -> Iterator[list[LogLine]]:
        if self.journal:
            raise self.journal
        yield [LogLine(selector, 0, dashboards.Kind.OUT, "hello")]
        with open(wake_fd, closefd=False) as wake:
            wake.read()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Where nothing runs yet."""
    return Ground(tmp_path)


async def test_what_happens_is_shown_as_it_happens(ground: Ground) -> None:
    """A start, a crash, a stop, a scaling, a deletion from elsewhere: without waiting for the next measurement."""
    async with ground.manager() as manager, ground.dashboard().run_test(size=NARROW) as pilot:
        await manager.start(apps.app("web", instances=2))
        await until(pilot, lambda: keys_of(pilot) == ["web", "web@0", "web@1"])
        ground.systemd.crash("web@1", code=3)
        await until(pilot, lambda: [row.restarts for row in rows_of(pilot)] == [1, 0, 1])
        await manager.stop("web@0")
        await until(pilot, lambda: rows_of(pilot)[0].state == "1/2 up")
        await manager.scale("web", 3)
        await until(pilot, lambda: keys_of(pilot)[1:] == ["web@0", "web@1", "web@2"])
        await until(pilot, lambda: "hello" in logs(pilot).view.text)


async def test_a_restart_gives_another_process(ground: Ground) -> None:
    """By the Manager, as on the command line."""
    async with ground.manager() as manager:
        await manager.start(apps.app("web"))
        async with ground.dashboard().run_test(size=NARROW) as pilot:
            await until(pilot, lambda: rows_of(pilot) and rows_of(pilot)[0].pid)
            pid = rows_of(pilot)[0].pid
            await pilot.press("r", "y")
            await until(pilot, lambda: rows_of(pilot)[0].pid not in (0, pid))
            await pilot.press("c")
            assert isinstance(screen_of(pilot).screen, ScaleDialog)
            await pilot.press(*"+2", "enter")
            await until(pilot, lambda: rows_of(pilot)[0].instances == 3)
            await until(pilot, lambda: "@0" in logs(pilot).view.render_line(0).text)
            await pilot.press("x", "y")
            await until(pilot, lambda: rows_of(pilot)[0].state == "inactive")
            await pilot.press("s")
            await until(pilot, lambda: rows_of(pilot)[0].state == "active")
        assert len((await manager.get("web")).instances) == 3


async def test_details_are_those_of_describe(ground: Ground) -> None:
    """Of the chosen one."""
    async with ground.manager() as manager, ground.dashboard().run_test(size=WIDE) as pilot:
        await manager.start(apps.app("web"))
        pane = screen_of(pilot).query_one(DetailPane)
        await until(pilot, lambda: "/bin/sleep infinity" in pane.text)
        assert "stop SIGTERM" in pane.text


async def test_a_bus_that_goes_away_is_told_and_caught_up_with(ground: Ground) -> None:
    """What happened meanwhile is shown once it is back."""
    async with ground.manager() as manager:
        await manager.start(apps.app("web"))
        async with ground.dashboard(interval=0.2).run_test(size=NARROW) as pilot:
            await until(pilot, lambda: rows_of(pilot))
            banner = screen_of(pilot).query_one("#banner")
            ground.is_there = False
            ground.systemd.break_connection()
            ground.systemd.crash("web@0", signal=9)
            await until(pilot, lambda: "there is no bus" in str(banner.render()) and banner.display)
            ground.is_there = True
            await until(pilot, lambda: rows_of(pilot)[0].restarts == 1 and not banner.display)


async def test_logs_that_cannot_be_read_say_why(ground: Ground) -> None:
    """And come once they can be."""
    ground.journal = NotPermitted("this user may not read the journal", hint="Join the group that may.")
    async with ground.manager() as manager:
        await manager.start(apps.app("web"))
        async with ground.dashboard().run_test(size=NARROW) as pilot:
            said = logs(pilot).query_one("#log-problem")
            await until(pilot, lambda: said.display)
            assert "may not read the journal. Join the group that may." in str(said.render())
            ground.journal = None
            await until(pilot, lambda: "hello" in logs(pilot).view.text and not said.display)


def test_without_its_library_it_says_what_to_install() -> None:
    """And what does without."""
    script = (
        "import sys; sys.modules['textual'] = None\n"
        "from pysup.cli import monit\n"
        "try: monit._app()\n"
        "except Exception as exc: print(exc.message, exc.hint)"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "Textual" in said
    assert "pip install 'pysup-systemd[tui]'" in said


@pytest.mark.parametrize("words", [["monit"], ["top"]])
def test_it_needs_a_terminal(words: list[str]) -> None:
    """Exit code 2, and what prints."""
    done = subprocess.run([grounds.PYSUP, *words], capture_output=True, text=True, input="")
    assert done.returncode == 2
    assert "pysup top -n 1" in done.stderr


def test_only_what_draws_loads_textual() -> None:
    """The rest serves pysup top, too."""
    script = "import sys; from pysup.cli import live, top; print(int('textual' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "0"
