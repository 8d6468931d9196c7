"""What apps used over time: the ring file, the timer that keeps it, and the charts."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysup.events import Started
from pysup.metrics import chart, recorder, ring, timeline
from pysup.metrics.recorder import HEAD, SIZE, Record
from pysup.metrics.ring import Point
from pysup.metrics.timeline import Timeline
from pysup.names import InstanceName
from pysup.sync import Manager
from pysup.unit import Scope
from running import started, wait_until
from test_exporter import systemctl

Pysup = Callable[..., subprocess.CompletedProcess[str]]

WEB = InstanceName("web", 0)
MIB = 1 << 20

records = st.builds(
    Record,
    at=st.floats(1, 1e10),
    key=st.integers(0, 2**64 - 1),
    cpu=st.one_of(st.just(-1.0), st.floats(0, 1e12)),
    memory=st.one_of(st.none(), st.integers(0, 2**63)),
    tasks=st.integers(0, 2**32 - 1),
    restarts=st.integers(0, 2**32 - 1),
)


# --- the ring ------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(records, max_size=4), max_size=6), st.integers(1, 8))
def test_the_ring_has_the_newest_and_never_grows(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Record]], slots: int
) -> None:
    """As many as it has slots, whatever came before."""
    file = tmp_path_factory.mktemp("ring") / "ring"
    recorder.write(str(file), slots, [])
    for some in rounds:
        recorder.write(str(file), slots, some)
        assert file.stat().st_size == HEAD.size + slots * SIZE
    written = [record for some in rounds for record in some]
    found = ring.read(file)
    assert Counter(found) == Counter(written[-slots:])
    assert found == sorted(found, key=lambda record: record.at)
    assert file.stat().st_mode & 0o777 == 0o600


@given(st.binary(max_size=400))
def test_whatever_is_in_the_file_is_read(content: bytes) -> None:
    """Nothing, or what fits its checksum; never an error."""
    head = HEAD.pack(recorder.MAGIC, recorder.VERSION, 5, 0)
    assert ring.records(content) == [] or content.startswith(recorder.MAGIC)
    assert ring.records(head + content) == []


@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_one_wrong_byte_costs_one_record(found: list[Record], data: st.DataObject) -> None:
    """As a machine that lost its power leaves it: the others are still there."""
    whole = bytearray(HEAD.pack(recorder.MAGIC, recorder.VERSION, len(found), 0) + b"".join(map(recorder.pack, found)))
    used = recorder.BODY.size + recorder.CHECK.size
    slot = data.draw(st.integers(0, len(found) - 1))
    place = HEAD.size + slot * SIZE + data.draw(st.integers(0, used - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    assert len(ring.records(bytes(whole))) == len(found) - 1
    assert len(ring.records(bytes(whole[: HEAD.size + slot * SIZE + 7]))) == slot


def test_a_file_of_another_size_or_kind_is_begun_anew(tmp_path: Path) -> None:
    """And a link is not followed."""
    file = tmp_path / "ring"
    file.write_bytes(b"something else" * 100)
    record = Record(1.0, recorder.key("web@0"), 1.0, 5, 1, 0)
    recorder.write(str(file), 4, [record])
    assert ring.read(file) == [record]
    recorder.write(str(file), 8, [record])
    assert ring.read(file) == [record]
    assert file.stat().st_size == HEAD.size + 8 * SIZE
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(OSError, match="symbolic links"):
        recorder.write(str(tmp_path / "link"), 4, [])


def test_cpus_are_what_was_used_between_two_looks() -> None:
    """Not known at first, after a restart, and of what nobody counts."""
    seconds = [10.0, 15.0, 2.0, 4.0, -1.0, 5.0]
    found = [Record(100.0 + 10 * index, recorder.key("web@0"), used, None, 1, 0) for index, used in enumerate(seconds)]
    points = ring.series(found, [WEB], since=110.0)[WEB]
    assert [point.cpus for point in points] == [0.5, None, 0.2, None, None]


@given(st.text(max_size=200))
def test_what_systemctl_says_may_be_odd(text: str) -> None:
    """Counts that are none, and properties that are missing."""
    unit = dict.fromkeys(("NRestarts", "CPUUsageNSec", "MemoryCurrent", "TasksCurrent"), text) | {
        "ControlGroup": "/nix"
    }
    record = recorder._record(1.0, "web@0", unit)
    assert recorder.unpack(recorder.pack(record)) == record or text.isdigit()


# --- the charts ----------------------------------------------------------------------------------------------------


def made(now: float = 1.7e9) -> Timeline:
    points = [Point(now + index, index / 10, index * MIB, 3, 0) for index in range(60)]
    return Timeline(now, now + 60, {WEB: points}, {WEB: [now + 30], InstanceName("web", 1): []}, is_kept=True)


def test_charts_have_all_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain without colours, within the width."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = [*chart.terminal(made(), width=80, colours=False)]
    text = "\n".join(lines)
    assert {"CPU, in CPUs", "memory, in MiB", "tasks", "restarts, added up"} <= set(lines)
    assert "()" not in text
    assert "\033" not in text
    assert "web@0: 59" in text
    assert max(map(len, lines)) <= 80
    assert "\033[32mweb@0: 59\033[0m" in "\n".join(chart.terminal(made(), width=80, colours=True))
    longer = made()._replace(since=1.7e9 - 3 * 86400)
    assert "Sat " in "\n".join(chart.terminal(longer, width=80, colours=False))


def test_no_line_is_drawn_where_nothing_is_known() -> None:
    """As when it did not run: a look that is late is no gap."""
    times = [0, 10, 20, 55, 65, 2000, 2010]
    points = [Point(float(at), None, 7 * MIB, 1, 0) for at in times]
    panels = dict(chart.panels(Timeline(0, 3000, {WEB: points}, {}, is_kept=True)))
    assert panels["memory, in MiB"] == [("web@0", [[(at, 7.0) for at in times[:5]], [(2000.0, 7.0), (2010.0, 7.0)]])]
    assert "CPU, in CPUs" not in panels


def test_a_picture_is_a_png(tmp_path: Path) -> None:
    """By matplotlib."""
    chart.picture(made(), tmp_path / "web.png")
    assert (tmp_path / "web.png").read_bytes().startswith(b"\x89PNG")
    empty = Timeline(0, 60, {}, {}, is_kept=False)
    chart.picture(empty, tmp_path / "empty.png")
    assert [*chart.terminal(empty, width=80, colours=False)] == []


# --- in a box ------------------------------------------------------------------------------------------------------


@pytest.fixture
def off(pysup: Pysup) -> Iterator[None]:
    yield
    pysup("history", "--off")


@pytest.mark.usefixtures("off")
def test_use_is_kept_by_a_timer_and_drawn(scope: Scope, pysup: Pysup) -> None:
    """With the restarts, in a file for its owner only, by a script that needs nothing of pysup."""
    said = pysup("history", "--on", "--every", "1s", "--keep", "5min").stdout
    file = timeline.place(scope)
    assert str(file) in said
    with started("sleep", "--name", "drawn", "--", "infinity"), Manager(scope) as manager:
        wait_until(lambda: len(ring.read(file)) >= 3)
        with manager.watch("drawn") as events:
            pysup("signal", "KILL", "drawn")
            next(event for event in events if isinstance(event, Started))
        (found,) = json.loads(pysup("history", "drawn", "--json").stdout)
        drawn = pysup("history", "drawn").stdout
    assert found["points"][-1]["memory"] > 0
    assert found["points"][-1]["tasks"] == 1
    assert [point["cpus"] for point in found["points"][1:3]] != [None, None]
    assert len(found["restarts"]) == 1
    assert abs(found["restarts"][0] - time.time()) < 60
    assert "memory, in MiB" in drawn
    assert "restarts, added up" in drawn
    assert "\033" not in drawn
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == os.getuid()
    command = systemctl(scope, "show", "-P", "ExecStart", "pysup-history.service")
    assert "/usr/bin/python3" in command
    assert "pysup-history.py" in command
    pysup("history", "--off")
    assert not file.exists()
    assert "pysup" not in systemctl(scope, "list-timers", "--all", "--no-legend", "pysup-*")


def test_restarts_are_told_though_nothing_is_kept(scope: Scope, pysup: Pysup) -> None:
    """From the journal; and how to have the rest kept."""
    with started("sleep", "--name", "untold", "--", "infinity"), Manager(scope) as manager:
        with manager.watch("untold") as events:
            pysup("signal", "KILL", "untold")
            next(event for event in events if isinstance(event, Started))
        done = pysup("history", "untold")
    assert "untold@0: 1" in done.stdout
    assert "pysup history --on" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--on", "--off"), "go with no"),
        (("web", "--on"), "go with no"),
        (("--on", "--every", "0"), "Every second at most"),
        (("web", "--every", "5s"), "Add --on"),
        (("--png", "x.png", "--json"), "Leave one of them out"),
        (("--since", "whenever"), "not a moment"),
    ],
)
@pytest.mark.systemd
def test_what_cannot_be_is_refused(pysup: Pysup, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and nothing is done."""
    done = pysup("history", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr
