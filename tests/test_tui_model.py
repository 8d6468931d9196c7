"""What the dashboard is made of, without a terminal: rows, columns, bars, lines, histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import dashboards
from pysup.errors import SpecError, StartFailed
from pysup.host import cpus
from pysup.journal import Entry, Kind
from pysup.logfiles import FileLine, LogFile
from pysup.names import InstanceName
from pysup.states import UnitState
from pysup.tui import columns, loglines, picture, rows, spark, summary, terminal, verbs
from pysup.tui.history import LENGTH, History
from pysup.tui.loglines import LogLine, LogLines
from pysup.tui.pattern import Pattern, pattern
from pysup.tui.rows import Mood, Order, Row, View
from pysup.unit import ActiveState, Usage

NOW = dashboards.NOW


def shown(view: View = View()) -> list[Row]:  # noqa: B008 (frozen)
    """The rows of dashboards.some()."""
    return rows.rows(dashboards.some(60), History(), view, NOW)


def test_apps_with_many_instances_are_folded_and_others_not() -> None:
    """As in pysup list."""
    found = {row.key: row.fold for row in shown()}
    assert (found["api"], found["search"], found["cron"]) == ("-", "+", "")
    assert "api@3" in found
    assert "search@0" not in found


def test_one_app_is_unfolded_and_folded_by_hand() -> None:
    """And stays so whatever is usual."""
    view = View().toggled("search", fold=False).toggled("api", fold=True)
    keys = [row.key for row in shown(view)]
    assert "search@23" in keys
    assert "api@0" not in keys
    assert shown(view.toggled("search", fold=True).toggled("api", fold=False)) == shown()


def test_an_app_has_the_state_of_its_instances_or_how_many_are_up() -> None:
    """With the colour of the worst."""
    found = {row.key: (row.state, row.mood) for row in shown()}
    assert found["api"] == ("active", Mood.GOOD)
    assert found["mailer"] == ("1/2 up", Mood.BUSY)
    assert found["thumbs"] == ("failed", Mood.BAD)
    assert found["cron"] == ("waiting", Mood.GOOD)
    assert found["docs"] == ("inactive", Mood.IDLE)


def test_an_app_that_cannot_be_read_back_is_broken() -> None:
    """And bad."""
    app = dashboards.some()[0]._replace(spec=None, instances=())
    assert [(row.state, row.mood) for row in rows.rows([app], History(), View(), NOW)] == [("broken", Mood.BAD)]


@pytest.mark.parametrize("order", Order)
def test_sorting_keeps_instances_below_their_app(order: Order) -> None:
    """Whatever it is by; numbers have the most first."""
    found = shown(View(order=order))
    owners = [row.app for row in found]
    assert owners == sorted(owners, key=owners.index)
    whole = [row for row in found if row.key == row.app]
    values = {Order.CPU: "cpu", Order.MEMORY: "memory", Order.RESTARTS: "restarts"}
    if order is Order.NAME:
        assert [row.app for row in whole] == sorted(row.app for row in whole)
    else:
        numbers = [getattr(row, values[order]) or 0 for row in whole]
        assert numbers == sorted(numbers, reverse=True)


def test_the_orders_go_round() -> None:
    """And none is left out."""
    order, met = Order.NAME, []
    for _ in Order:
        order = order.next
        met.append(order)
    assert sorted(met) == sorted(Order)


def test_apps_are_found_by_name_or_state() -> None:
    """Capitals do not count."""
    assert {row.app for row in shown(View(only="BILL"))} == {"billing-reconciliation-worker"}
    assert {row.app for row in shown(View(only="failed"))} == {"thumbs"}
    assert shown(View(only="nothing like it")) == []


@given(room=st.integers(0, 300), longest=st.integers(0, 80))
def test_columns_never_take_more_room_than_there_is(room: int, longest: int) -> None:
    """From 35 columns on: names, states, restarts, CPU and memory are always there."""
    layout = columns.fitting(room, longest)
    width = sum(column.width for column in layout.columns) + len(layout.columns) - 1
    assert width <= max(room, 46)
    assert {"name", "state", "cpu", "memory"} <= {column.name for column in layout.columns}


@given(room=st.integers(46, 300))
def test_all_lines_of_a_table_have_the_same_widths(room: int) -> None:
    """Titles and rows."""
    layout = columns.fitting(room, 30)
    trace = History().trace("web")
    widths = [[len(cell.text) for cell in columns.cells(layout, row, trace)] for row in shown()]
    titles = [len(cell.text) for cell in columns.titles(layout, Order.CPU)]
    assert {tuple(line) for line in widths} == {tuple(titles)}


def test_a_click_finds_the_column() -> None:
    """By its place."""
    layout = columns.fitting(80, 20)
    assert [column.name if column else None for column in (layout.at(0), layout.at(500))] == ["name", None]


@given(values=st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=60), width=st.integers(0, 40))
def test_bars_are_as_wide_as_they_shall_be(values: list[float | None], width: int) -> None:
    """Whatever the values."""
    assert len(spark.line(values, width, top=max([1.0, *(value or 0 for value in values)]))) == width


def test_the_newest_value_is_at_the_right_and_unknown_ones_are_blank() -> None:
    """The highest bar is the top."""
    assert spark.line([None, 0, 50, 100], 6, top=100) == "   ▁▅█"


def test_shares_are_of_the_time_between_two_measurements() -> None:
    """Only where both met the same process."""
    history = History()

    def measure(used: float, pid: int, at: float) -> None:
        one = dashboards.instance("web", pid=pid, usage=Usage(memory=5, cpu_seconds=used))
        history.add([dashboards.app("web", one)], at)

    name = InstanceName("web", 0)
    measure(10.0, 1, 100.0)
    assert dict(history.shares) == {}
    measure(11.0, 1, 104.0)
    assert history.shares == {name: 25.0}
    measure(0.5, 2, 106.0)
    assert dict(history.shares) == {}
    assert (list(history.trace("web").cpu), list(history.trace("web@0").memory)) == ([None, 25.0, None], [5, 5, 5])


def test_a_history_is_no_longer_than_its_bars_and_forgets_who_has_gone() -> None:
    """It does not grow."""
    history = History()
    for tick in range(LENGTH + 5):
        history.add(dashboards.some(tick), float(tick))
    assert len(history.trace("api").cpu) == LENGTH
    history.add([], 99.0)
    assert not history.trace("api").cpu


def test_a_pushed_state_changes_what_it_is_about_and_nothing_else() -> None:
    """An app whose states are the same is the same object; what is not loaded is inactive."""
    api, web = dashboards.some()[0], dashboards.some()[-1]
    state = UnitState(unit="", active_state=ActiveState.ACTIVE, sub_state="running", pid=77, restarts=3, since=NOW)
    before = {one.name: UnitState(unit="") for app in (api, web) for one in app.instances}
    after = {**before, web.instances[1].name: state}
    del after[web.instances[2].name]
    found = picture.absorb([api, web], after, before)
    assert found[0] is api
    assert found[1].instances[0] is web.instances[0]
    assert (found[1].instances[1].pid, found[1].instances[1].restarts) == (77, 3)
    assert found[1].instances[1].usage == Usage()
    assert found[1].instances[2].active_state is ActiveState.INACTIVE


def test_measurements_are_put_to_their_instances() -> None:
    """And what was not measured uses nothing that is known."""
    web = dashboards.some()[-1]
    usage = Usage(memory=1, cpu_seconds=2.0, tasks=3)
    (found,) = picture.measured([web], {web.instances[0].name: usage})
    assert [one.usage for one in found.instances] == [usage, Usage(), Usage()]


@given(st.text())
def test_no_message_can_rule_the_terminal(message: str) -> None:
    """Nothing that is not printable is left of it."""
    entry = Entry(
        at_usec=1,
        message=message,
        instance=InstanceName("web", 0),
        kind=Kind.OUT,
        priority=6,
        pid=1,
        invocation_id="",
        cursor="",
        message_id="",
    )
    found = loglines.lines(entry)
    assert len(found) == message.count("\n") + 1
    assert all(line.text.isprintable() for line in found)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs"))), st.integers(2, 40))
def test_wrapped_text_fits_and_is_whole(text: str, width: int) -> None:
    """But for blanks at which it was cut."""
    pieces = loglines.wrapped(text, width)
    assert all(cell_len(piece) <= width for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_long_lines_take_no_longer_than_they_are() -> None:
    """Of a hundred thousand characters there are thousands of pieces; more than so many are not at hand."""
    for letter in ("x", "é"):
        assert len(loglines.wrapped(letter * 100_000, 50)) == 2000
    file = LogFile(app="web", number=0, kind=Kind.OUT, path="/x")
    (found,) = loglines.lines(FileLine(file=file, message=b"x" * 100_000))
    assert found.text == "x" * loglines.LONGEST + "…"


def test_text_is_cut_at_blanks() -> None:
    """Where there are some."""
    assert loglines.wrapped("one two threefourfive", 8) == ["one two ", "threefou", "rfive"]


def test_what_is_no_regular_expression_is_searched_for_as_it_is() -> None:
    """Capitals count where there are some."""
    found = [pattern(words) for words in ("a[b", "Err", "err", "a{99999999999}", "")]
    assert [bool(one and one.is_in("ERRor a[b")) for one in found] == [True, False, True, False, False]
    assert [str(one) for one in found[:2]] == ["a[b (as plain words)", "Err"]
    long = "x(" * loglines.LONGEST
    assert Pattern(long).places(f"A{long.upper()}") == [(1, 1 + len(long))]


def test_no_pattern_backtracks_for_ever() -> None:
    """Nor takes all memory, however long the line."""
    long = "a" * loglines.LONGEST + "!"
    for words in ("(a+)+$", "(a|a)+$", r"^(\w+\s?)+$", "(?:a?){30}a{30}b", "(((a{1000}){1000}){1000}){1000}"):
        found = Pattern(words)
        assert (found.is_in(long), found.places(long), found.is_slow) == (False, [], False)
    assert Pattern("a+|!").places("aa b!") == [(0, 2), (4, 5)]


def test_a_filter_that_takes_too_long_is_given_up_and_all_lines_are_shown() -> None:
    """It says so."""
    lines = LogLines()
    lines.add([line("é" * loglines.LONGEST)] * 1000)
    lines.filter = slow = Pattern(dashboards.SLOW)
    assert len(lines.shown()) == 1000
    assert (lines.filter, str(slow)) == (None, f"{dashboards.SLOW} (takes too long, is off)")
    assert not slow.is_in("~")


def line(text: str) -> LogLine:
    """Of web@0."""
    return LogLine("web", 0, Kind.OUT, text)


def test_lines_that_come_during_a_pause_wait_and_are_counted() -> None:
    """And come in their order."""
    lines = LogLines()
    lines.add([line("a")])
    lines.paused = True
    assert lines.add([line("b"), line("c")]) == []
    assert ([one.text for one in lines.shown()], lines.held) == (["a"], 2)
    lines.resume()
    assert ([one.text for one in lines.shown()], lines.held) == (["a", "b", "c"], 0)


def test_a_filter_hides_lines_and_forgets_none() -> None:
    """Those that come are filtered, too."""
    lines = LogLines()
    lines.add([line("good"), line("bad")])
    lines.filter = pattern("bad")
    assert [one.text for one in lines.shown()] == ["bad"]
    assert [one.text for one in lines.add([line("too bad"), line("fine")])] == ["too bad"]
    lines.filter = None
    assert len(lines.shown()) == 4


def test_only_so_many_lines_are_kept() -> None:
    """The newest."""
    lines = LogLines(kept=3)
    lines.add([line(str(number)) for number in range(9)])
    assert [one.text for one in lines.shown()] == ["6", "7", "8"]


def test_the_summary_counts_instances_by_what_they_do() -> None:
    """And leaves out what there is none of."""
    texts = [text for text, _ in summary.parts(dashboards.some(), History())]
    assert texts[:5] == ["8 apps", "34 up", "1 busy", "1 failed", "1 stopped"]
    assert [text for text, _ in summary.parts([], History())] == ["0 apps", "CPU 0 %", "MEM 0B"]


def test_what_is_done_to_apps_only_is_not_done_to_an_instance() -> None:
    """The question says to whom it will be done."""
    row = next(row for row in shown() if row.key == "api@2")
    assert (verbs.RESTART.target(row), verbs.RELOAD.target(row)) == ("api@2", "api")
    assert verbs.RESTART.question(row, 4) == "Restart api@2?"
    assert verbs.RELOAD.question(row, 4) == "Reload api and its 4 instances?"


def test_a_failure_is_told_with_its_last_lines_and_without_control_characters() -> None:
    """They are a program's own."""
    said = verbs.failure(StartFailed("it ended", log=["\x1b[2Jgone"], hint="Look there."))
    assert said == "it ended\n| \\x1b[2Jgone\nLook there."


@pytest.mark.parametrize(
    ("answer", "is_light"),
    [
        (b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62c", True),
        (b"\x1b]11;rgb:0000/2b2b/3636\x07", False),
        (b"\x1b]11;rgba:ff/ff/dd/ff\x07", True),
        (b"\x1b[?1;2c", False),
    ],
)
def test_a_terminal_tells_how_bright_it_is(answer: bytes, is_light: bool) -> None:
    """In one of several ways to write a colour."""
    assert (terminal.brightness(answer) > 0.5) is is_light


@pytest.mark.parametrize(("colours", "is_light"), [("0;15", True), ("15;default;0", False), ("", False), ("0;7", True)])
def test_the_environment_tells_the_background(colours: str, is_light: bool) -> None:
    """COLORFGBG, of rxvt and konsole."""
    assert terminal.background_of(colours) is is_light


def test_numbers_of_instances_are_absolute_or_relative() -> None:
    """At least one stays."""
    assert [cpus.scaled(text, 3) for text in ("4", "+2", "-1")] == [4, 5, 2]
    for text in ("-3", "0", "many", "1.5"):
        with pytest.raises(SpecError):
            cpus.scaled(text, 3)
