"""What the command prints: tables at any width, colours where they are wanted, errors in one shape."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysup.app import App
from pysup.cli import instances, output
from pysup.cli.output import Cell, Column
from pysup.errors import SpecError, StartFailed
from pysup.names import InstanceName
from pysup.unit import ActiveState, AppStatus, Instance, Scope, Usage


def instance(number: int, *, app: str = "web", **values: Any) -> Instance:
    """One that has run for an hour."""
    usual: dict[str, Any] = {
        "active_state": ActiveState.ACTIVE,
        "sub_state": "running",
        "pid": 1000 + number,
        "since": time.time() - 3600,
        "user": "ada",
        "usage": Usage(memory=50 * 2**20, cpu_seconds=36.0, tasks=3),
    }
    return Instance(name=InstanceName(app, number), scope=Scope.USER, **{**usual, **values})


def status(count: int, *, app: str = "web", **values: Any) -> AppStatus:
    spec = App(name=app, command=("/bin/true",), namespace="prod")
    each = tuple(instance(number, app=app, **values) for number in range(count))
    return AppStatus(name=app, scope=Scope.USER, spec=spec, instances=each)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes stdout a terminal of so many columns."""
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def be(columns: int) -> None:
        monkeypatch.setattr(sys, "stdout", stream)  # here: pytest sets it anew after fixtures
        termios.tcsetwinsize(theirs, (24, columns))

    yield be
    stream.close()
    os.close(ours)


def test_a_table_has_a_row_for_each_instance() -> None:
    """Piped, it is as wide as it wants to be, and has no colours."""
    assert instances.text([status(2, cpus=(3,), restarts=4)]) == [
        "name  instance  state    pid  cpu  uptime  restarts  cpu %  memory  user  scope",
        "web          0  active  1000    3      1h         4    1.0   50.0M  ada   user",
        "web          1  active  1001    3      1h         4    1.0   50.0M  ada   user",
    ]


def test_cpus_are_shown_only_where_something_is_pinned() -> None:
    """The column would be empty."""
    assert "  cpu  " not in instances.text([status(1)])[0]


def test_many_instances_share_a_row() -> None:
    """Sums of what they use, and how many are in which state."""
    app = status(50, restarts=1)
    broken = instance(50, active_state=ActiveState.FAILED, pid=0, usage=Usage())
    app = AppStatus(name="web", scope=Scope.USER, spec=app.spec, instances=(*app.instances, broken))
    (_, row) = instances.text([app])
    assert row.split() == ["web", "×51", "50", "active,", "1", "failed", "-", "1h", "50", "50.0", "2.4G", "ada", "user"]
    assert len(instances.text([app], expand=True)) == 52


@pytest.mark.parametrize("columns", [44, 60, 80, 100])
def test_tables_fit_the_terminal(terminal: Any, columns: int) -> None:
    """Columns go in order of their rank; long names are cut."""
    terminal(columns)
    lines = instances.text([status(2, cpus=(0,), app="a-name-that-is-rather-long-for-an-app")])
    plain = [re.sub(r"\033\[\d+m", "", line) for line in lines]
    assert max(map(len, plain)) <= columns
    assert all(title in plain[0] for title in ("name", "state", "uptime", "memory"))


def test_eighty_columns_lose_scope_first(terminal: Any) -> None:
    """It is the same in every row."""
    terminal(80)
    title = instances.text([status(1, cpus=(0,), app="a-longer-name")])[0]
    assert "scope" not in title
    assert "pid" in title


def test_a_long_name_is_cut_before_what_it_uses_goes(terminal: Any) -> None:
    """CPU is what pysup top sorts by."""
    terminal(80)
    title, row = instances.text([status(1, app="a-name-that-is-as-long-as-names-of-apps-may-be-which-is-64")])
    assert "cpu %" in title
    assert "restarts" in title
    assert "a-name-that-is-as-long" in row


def test_colours_on_a_terminal_only(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when NO_COLOR is set, or the terminal has none."""
    terminal(80)
    assert "\033[32mactive\033[0m" in instances.text([status(1)])[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in "".join(instances.text([status(1)]))
    monkeypatch.setenv("NO_COLOR", "")  # empty counts as not set: no-color.org
    assert "\033" in "".join(instances.text([status(1)]))
    monkeypatch.setenv("TERM", "dumb")
    assert "\033" not in "".join(instances.text([status(1)]))


def test_the_first_use_is_friendly() -> None:
    """Nothing there: say what to type."""
    assert "pysup start app.js" in "\n".join(instances.text([]))


def test_an_app_without_instances_is_still_shown() -> None:
    """One whose unit file cannot be read back."""
    app = AppStatus(name="web", scope=Scope.SYSTEM, spec=None, instances=(), problem="bad")
    assert instances.text([app])[1].split()[:3] == ["web", "×0", "broken"]


def test_rows_sort_by_any_field() -> None:
    """What has no value comes last, whichever way."""
    one = status(3)
    each = (
        instance(0, usage=Usage(memory=5)),
        instance(1, usage=Usage(memory=9)),
        instance(2, usage=Usage()),
    )
    app = AppStatus(name="web", scope=Scope.USER, spec=one.spec, instances=each)
    rows = instances.lines(app, time.time(), expand=True)
    assert [row.instance for row in instances.sort_lines(rows, "memory")] == [0, 1, 2]
    assert [row.instance for row in instances.sort_lines(rows, "memory:desc")] == [1, 0, 2]
    for field in instances.SORTS:
        assert len(instances.sort_lines(rows, field)) == 3


@pytest.mark.parametrize("sort", ["height", "memory:up", ":desc x"])
def test_unknown_sorts_are_refused(sort: str) -> None:
    """With the ones that there are."""
    if sort.startswith(":"):
        assert instances.sort_lines([], sort) == []
        return
    with pytest.raises(SpecError) as caught:
        instances.sort_lines([], sort)
    assert "memory" in caught.value.hint


def test_json_has_the_documented_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Each field of docs/json.md, and none else."""
    instances.show_json([status(1, port=3000, cpus=(1,))])
    (found,) = json.loads(capsys.readouterr().out)
    section = Path("docs/json.md").read_text().partition("\n## ")[0]  # other commands' JSON comes below
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert list(found) == documented
    assert (found["id"], found["name"], found["instance"], found["namespace"]) == ("web@0", "web", 0, "prod")
    assert (found["pid"], found["memory"], found["port"], found["cpus"]) == (1000, 50 * 2**20, 3000, [1])


def test_json_of_nothing_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    """As PM2's jlist has it."""
    instances.show_json([])
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.9, "59s"), (60, "1m"), (3 * 3600 + 5, "3h"), (90000, "1d"), (8e7, "925d")]
)
def test_durations(seconds: float, text: str) -> None:
    """Their largest unit."""
    assert instances.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (999, "999B"), (2048, "2K"), (1000 * 1024, "1.0M"), (50 * 2**20, "50.0M"), (2**40, "1.0T")],
)
def test_sizes(count: int, text: str) -> None:
    """At most five characters."""
    assert instances.size(count) == text


def test_errors_have_log_lines_and_a_remedy(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """What the app wrote cannot rule the terminal."""
    output.print_error(StartFailed("app 'web' failed", log=["\033[2Jboom\a", "ünïcode\tok"], hint="Mend it."))
    assert capsys.readouterr().err.splitlines() == [
        "pysup: app 'web' failed",
        r"  | \x1b[2Jboom\x07",
        "  | ünïcode\tok",
        "  Mend it.",
    ]


def test_wide_cells_are_cut_with_a_mark() -> None:
    """In the first column, which gives way."""
    columns = [Column("name"), Column("state")]
    assert output.table(columns, [["abcdefghijklmnop", Cell("active")]], room=20) == [
        "name          state",
        "abcdefghijk…  active",
    ]


def test_an_encoding_that_lacks_a_character_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown as an escape."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.prepare()
    output.echo("…")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u2026\n"
