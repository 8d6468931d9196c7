"""Log lines as text."""

from __future__ import annotations

import json

import pytest

from pysup.cli.lines import Line, formatter, line
from pysup.errors import SpecError
from pysup.journal import Kind
from pysup.logfiles import FileLine, LogFile

SHOWN = Line(
    app="web", instance=0, kind=Kind.OUT, message="a \033[31mred\007 \tone", at=1795428000.25, priority=6, pid=7
)


def test_control_characters_are_shown_as_escapes() -> None:
    """A log must not rule the terminal."""
    assert formatter("name", ["web@0"])(SHOWN) == "web@0 | a \\x1b[31mred\\x07 \tone"
    assert formatter("{message}", [])(SHOWN) == "a \\x1b[31mred\\x07 \tone"


def test_names_stand_in_a_column() -> None:
    """As wide as the longest."""
    assert formatter("name", ["web@0", "longer@10"])(SHOWN).startswith("web@0     | ")


def test_each_line_of_a_message_has_the_name() -> None:
    """So that grep finds all of them."""
    assert formatter("name", ["web@0"])(SHOWN._replace(message="a\nb")) == "web@0 | a\nweb@0 | b"


def test_words_of_systemd_stand_behind_a_dash() -> None:
    """Without the unit's name, which stands there already."""
    words = SHOWN._replace(kind=Kind.SYSTEMD, message="pysup-web@0.service: Failed with result 'exit-code'.")
    assert formatter("name", ["web@0"])(words) == "web@0 - Failed with result 'exit-code'."


def test_json_has_every_field() -> None:
    """One object, the message as it is."""
    found = json.loads(formatter("json", [])(SHOWN))
    assert found["id"] == "web@0"
    assert found["message"] == SHOWN.message
    assert found["at"] == 1795428000.25
    assert found["kind"] == "out"


def test_logfmt_quotes_what_has_blanks() -> None:
    """PM2's --format."""
    assert formatter("logfmt", [])(SHOWN._replace(message='a "b"')).endswith(r'app=web id=0 type=out message="a \"b\""')


def test_templates_take_the_fields_that_there_are() -> None:
    """Others are an error that lists them."""
    assert formatter("{name}:{instance}:{kind}:{pid} {message}", [])(SHOWN._replace(message="x{pid}")) == (
        "web@0:0:out:7 x{pid}"
    )
    for wrong in ("{nope}", "plain"):
        with pytest.raises(SpecError) as caught:
            formatter(wrong, [])
        assert "{message}" in caught.value.hint


def test_lines_of_a_shared_file_have_the_app_as_name() -> None:
    """Nobody knows which instance wrote them, or when."""
    file = LogFile(app="web", number=None, kind=Kind.ERR, path="/var/log/web.log")
    found = line(FileLine(file=file, message=b"caf\xc3\xa9 \xff"))
    assert (found.name, found.at, found.message) == ("web", None, "café \\xff")
    assert json.loads(formatter("json", [])(found))["file"] == "/var/log/web.log"
