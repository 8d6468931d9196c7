"""The journal as journald writes it: both readers, in both scopes, against programs that make it hard."""

from __future__ import annotations

import io
import os
import pwd
import select
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from systemd import journal

import grounds
from pysup.box import Box
from pysup.errors import NotPermitted
from pysup.journal import Entry, Kind, Query, Source, Tail, follow, read, words, write_raw
from pysup.names import InstanceName
from pysup.unit import Scope

READERS = ("native", "journalctl")
SETTLE = 1.5  # seconds in which a line that was given would be given again, if ever

# Follows an instance from before it exists, until it says so itself.
FOLLOWER = """
import sys
from pysup.journal.tail import follow_tail
from test_journal_box import InstanceName, Tail, question
with Tail(question(InstanceName(sys.argv[1], 0), lines=0)) as tail:
    print("ready", flush=True)
    for lines in follow_tail(tail):
        for _, entry in lines:
            print(entry.kind, entry.message, flush=True)
"""

# A program that writes what is hard to read.
HARD = r"""
import os, sys
from systemd import journal
for number in range(50):
    print("tick", flush=True)
print("err", file=sys.stderr, flush=True)
os.write(1, b"caf\xe9\n\x1b[31mred\x1b[0m\n")
os.write(1, b"a" * 200_000 + b"z\n")
os.write(2, b"\xff" * 60_000 + b"\n")
name = f"SYSLOG_IDENTIFIER={sys.argv[1]}"
journal.sendv("MESSAGE=two\nlines", name, "PRIORITY=4")
journal.sendv("MESSAGE=b" + "b" * 100_000, name)
journal.sendv("NO_MESSAGE=here", name)
journal.sendv("MESSAGE=first", "MESSAGE=second", name, "PRIORITY=7")
journal.sendv("MESSAGE=nonsense", name, "PRIORITY=7x")
print("last", flush=True)
"""

# Prints one line, dies at once, and is started again by systemd, 200 times.
STORM = 'read -r n < "$0" || n=0; echo $((n + 1)) > "$0"; echo "line $((n + 1))"; [ $n -ge 199 ]'

COUNT = "import sys,time\nfor n in range(int(sys.argv[1])):\n  print(n,flush=True)\n  time.sleep(float(sys.argv[2]))"


# Until there is a file.
COUNT_ON = """
import itertools, os, sys, time
for n in itertools.count():
    print(n, flush=True)
    if os.path.exists(sys.argv[1]):
        break
    time.sleep(0.001)
print("end", flush=True)
"""


BURSTS = "import time\nfor n in range(5000):\n  print(n,flush=True)\n  n % 20 or time.sleep(0.004)"


def launch(name: InstanceName, *command: str, wait: bool = True, **properties: str) -> None:
    """Run a command as an instance's transient unit, the way pysup's units do: stderr apart, no rate limit."""
    switch = "--system" if os.getuid() == 0 else "--user"
    # 0 would mean the default, 10,000 lines in 30 s: systemd 252 takes it for not set.
    properties = {"LogRateLimitIntervalSec": "1s", "LogRateLimitBurst": "4294967295", **properties}
    options = [f"--property={key}={value}" for key, value in properties.items()]
    how = ["--wait"] if wait else []
    cat = ["systemd-cat", f"--identifier={name.identifier}", "--priority=info", "--stderr-priority=err"]
    unit = f"--unit={name.unit} --description={name}".split()
    subprocess.run(["systemd-run", switch, "--quiet", "--collect", *how, *unit, *options, *cat, *command], check=True)


def question(*names: InstanceName, **options: Any) -> Query:
    uid = os.getuid()
    scope = Scope.SYSTEM if uid == 0 else Scope.USER
    return Query(sources=tuple(Source(instance=n, uid=uid) for n in names), scope=scope, manager_uid=uid, **options)


@contextmanager
def alarm(seconds: float) -> Iterator[int]:
    """A descriptor that becomes readable after so many seconds."""
    reading, writing = os.pipe()
    timer = threading.Timer(seconds, os.close, (writing,))
    timer.start()
    yield reading
    timer.cancel()
    timer.join()
    os.close(reading)
    if not timer.finished.is_set():
        os.close(writing)


def gather(tails: Sequence[Tail], is_enough: Callable[[list[Entry]], bool], seconds: float = 150) -> list[list[Entry]]:
    """What each gives until it is enough for each, and in the time after that in which doubles would come."""
    found: list[list[Entry]] = [[] for _ in tails]
    end = time.monotonic() + seconds
    is_settling = False
    while time.monotonic() < end:
        for tail, entries in zip(tails, found, strict=True):
            entries += tail.available()
        if not is_settling and all(map(is_enough, found)):
            is_settling, end = True, time.monotonic() + SETTLE
        select.select(tails, [], [], min(tail.interval for tail in tails))
    assert is_settling, f"not enough in {seconds} s: {[(len(entries), entries[-1:]) for entries in found]}"
    return found


@pytest.fixture
def name() -> InstanceName:
    """An instance that nobody else has."""
    return InstanceName(f"j{uuid.uuid4().hex[:8]}", 0)


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with each reader."""
    monkeypatch.setenv("PYSUP_JOURNAL", request.param)
    return str(request.param)


@cache
def hard() -> tuple[InstanceName, InstanceName]:
    """Two instances that have written what is hard to read, once for all tests of this process."""
    app = f"j{uuid.uuid4().hex[:8]}"
    names = InstanceName(app, 0), InstanceName(app, 1)
    for one in names:
        launch(one, sys.executable, "-c", HARD, one.identifier)
    with Tail(question(*names, lines=None)) as tail:
        gather([tail], lambda found: sum(entry.message == "last" for entry in found) == 2)
    return names


def messages(entries: list[Entry], kind: Kind = Kind.OUT) -> list[str]:
    return [entry.message for entry in entries if entry.kind is kind]


CASES: dict[str, Callable[[list[Entry]], dict[str, Any]]] = {
    "all": lambda _: {},
    "last 15": lambda _: {"lines": 15},
    "last 1": lambda _: {"lines": 1},
    "none": lambda _: {"lines": 0},
    "more than there are": lambda _: {"lines": 10_000},
    "errors": lambda _: {"priority": 3},
    "notice": lambda _: {"priority": 5},
    "info": lambda _: {"priority": 6},
    "last error": lambda _: {"priority": 3, "lines": 1},
    "out": lambda _: {"kinds": frozenset({Kind.OUT})},
    "err": lambda _: {"kinds": frozenset({Kind.ERR})},
    "systemd": lambda _: {"kinds": frozenset({Kind.SYSTEMD})},
    "the app": lambda _: {"kinds": frozenset({Kind.OUT, Kind.ERR})},
    "grep": lambda _: {"grep": "^t.ck$"},
    "last 3 grep": lambda _: {"grep": "tick|caf", "lines": 3},
    "grep in a long line": lambda _: {"grep": "^a+z$"},
    "grep of nothing": lambda _: {"grep": "not there"},
    "since": lambda all_: {"since_usec": all_[30].at_usec},
    "until": lambda all_: {"until_usec": all_[30].at_usec},
    "between": lambda all_: {"since_usec": all_[20].at_usec, "until_usec": all_[70].at_usec},
    "last 5 between": lambda all_: {"since_usec": all_[20].at_usec, "until_usec": all_[70].at_usec, "lines": 5},
    "since the future": lambda all_: {"since_usec": all_[-1].at_usec + 10**12},
    "after a cursor": lambda all_: {"after_cursor": all_[40].cursor},
    "last 5 after a cursor": lambda all_: {"after_cursor": all_[40].cursor, "lines": 5},
    "after the last": lambda all_: {"after_cursor": all_[-1].cursor},
    "an invocation": lambda all_: {"invocation_id": all_[-1].invocation_id},
}


@pytest.mark.parametrize("case", CASES)
def test_both_readers_give_the_same(scope: Scope, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """Whatever is asked."""
    options = CASES[case](list(read(question(*hard()))))
    entries: dict[str, list[Entry]] = {}
    raw: dict[str, bytes] = {}
    for reader in READERS:
        monkeypatch.setenv("PYSUP_JOURNAL", reader)
        query = question(*hard(), **options)
        entries[reader] = list(read(query))
        with io.BytesIO() as out:
            assert write_raw(query, out) == len(entries[reader])
            raw[reader] = out.getvalue()
    assert entries["native"] == entries["journalctl"]
    assert raw["native"] == raw["journalctl"]
    assert raw["native"].decode(errors="backslashreplace") == "".join(e.message + "\n" for e in entries["native"])
    assert len(entries["native"]) == {"none": 0, "last 1": 1, "last 15": 15, "grep": 100}.get(
        case, len(entries["native"])
    )


def test_what_is_hard_to_read_arrives(scope: Scope, reader: str) -> None:
    """Whole, in order, once."""
    first = hard()[0]
    entries = [entry for entry in read(question(*hard())) if entry.instance == first]
    out = messages(entries)
    assert [m for m in out if m == "tick"] == ["tick"] * 50
    assert {"caf\\xe9", "\x1b[31mred\x1b[0m", "a" * 200_000 + "z", "two\nlines", "b" * 100_001, "", "first"} <= set(out)
    assert messages(entries, Kind.ERR) == ["err", "\\xff" * 60_000]
    assert {entry.pid for entry in entries if entry.message == "tick"} != {None}
    assert [entry.message_id for entry in entries if "Started" in entry.message and entry.kind is Kind.SYSTEMD]
    assert [entry.at_usec for entry in entries] == sorted(entry.at_usec for entry in entries)


def test_many_sources_give_the_same(scope: Scope, reader: str) -> None:
    """Above some number of sources what is read is filtered by us, and not by journald."""
    names = hard()
    others = [InstanceName("nobody", number) for number in range(100)]
    for options in ({}, {"lines": 15}, {"grep": "tick", "lines": 7}, {"since_usec": 1}):
        assert list(read(question(*names, *others, **options))) == list(read(question(*names, **options)))


def test_not_one_line_of_a_crash_storm_is_lost(scope: Scope, reader: str, name: InstanceName, tmp_path: Any) -> None:
    """Of a unit that has no entry yet, and a program that prints and dies at once: 200 of 200, once each."""
    expected = [f"line {number}" for number in range(1, 201)]
    with Tail(question(name, lines=0)) as tail:
        launch(
            name,
            "sh",
            "-c",
            STORM,
            str(tmp_path / "count"),
            Restart="on-failure",
            RestartSec="0",
            StartLimitBurst="999",
        )
        (found,) = gather([tail], lambda found: len(messages(found)) >= 200)
    assert messages(found) == expected
    assert messages(list(read(question(name)))) == expected
    assert messages(list(read(question(name, lines=15, kinds=frozenset({Kind.OUT}))))) == expected[-15:]


@pytest.mark.parametrize("lines", [15, 0, None])
def test_the_seam_between_last_lines_and_following_is_exact(
    scope: Scope, reader: str, name: InstanceName, lines: int | None, tmp_path: Path
) -> None:
    """Wherever it falls while lines keep coming."""
    enough = tmp_path / "enough"
    launch(name, sys.executable, "-c", COUNT_ON, str(enough), wait=False)
    query = question(name, lines=lines, kinds=frozenset({Kind.OUT}))
    with ExitStack() as stack:
        tails = [stack.enter_context(Tail(query)) for _ in range(8)]
        enough.touch()
        found = gather(tails, lambda entries: entries[-1:] != [] and entries[-1].message == "end")
    for entries in found:
        numbers = [int(entry.message) for entry in entries[:-1]]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else lines == 0
        assert lines is not None or numbers[0] == 0
    assert len({entries[-2].message for entries in found if len(entries) > 1}) <= 1


@pytest.mark.systemd
def test_lines_that_go_to_two_files_are_all_followed(reader: str, name: InstanceName) -> None:
    """journald keeps a file for each user; libsystemd passes over entries while it writes to several (1 in 1,500)."""
    ada = pwd.getpwnam(grounds.USER)
    other = InstanceName(name.app, 1)
    sources = Source(instance=name, uid=0), Source(instance=other, uid=ada.pw_uid)
    kinds = frozenset({Kind.OUT})
    with Tail(Query(sources=sources, scope=Scope.SYSTEM, manager_uid=0, lines=0, kinds=kinds)) as tail:
        tail.interval = 0.0  # look all the time: most looks fall between two writes
        launch(name, sys.executable, "-c", BURSTS, wait=False)
        launch(other, sys.executable, "-c", BURSTS, wait=False, User=ada.pw_name)
        (found,) = gather([tail], lambda found: len(found) >= 10_000)
    assert {(entry.instance, int(entry.message)) for entry in found} == {
        (i, n) for i in (name, other) for n in range(5000)
    }
    assert len(found) == 10_000


def test_newcomers_need_not_wait_for_silence(scope: Scope, reader: str, name: InstanceName, tmp_path: Path) -> None:
    """Somebody who writes without end keeps nobody out."""
    late, stop = InstanceName(name.app, 1), tmp_path / "stop"
    tmp_path.chmod(0o777)
    newcomers = iter([None, None, question(late)])
    with Tail(question(name), lambda: next(newcomers, None)) as tail:
        launch(name, sys.executable, "-c", COUNT_ON, str(stop), wait=False)
        launch(late, "/bin/echo", "late")
        (found,) = gather([tail], lambda found: "late" in messages(found))
        stop.touch()
        (rest,) = gather([tail], lambda rest: "end" in messages(rest) or "end" in messages(found))
    numbers = [message for message in messages(found + rest) if message not in ("late", "end")]
    assert numbers == [str(number) for number in range(len(numbers))]
    assert messages(found + rest).count("late") == 1


def test_many_newcomers_are_followed_together(scope: Scope, reader: str, name: InstanceName) -> None:
    """By one watch of the journal, of which a user has 128; and no line is lost or told twice."""
    names = [InstanceName(name.app, number) for number in range(1, 73)]
    newcomers = iter(map(question, names))
    found: list[Entry] = []
    with Tail(question(name), lambda: next(newcomers, None)) as tail:
        watch = tail.fileno()
        for one in names:
            journal.send(str(one), SYSLOG_IDENTIFIER=one.identifier)
            found += tail.available()
        assert tail.fileno() == watch
        (rest,) = gather([tail], lambda rest: len(messages(found + rest)) >= len(names))
    assert sorted(messages(found + rest)) == sorted(map(str, names))


@pytest.mark.systemd
def test_the_memory_peak_of_an_app_is_what_pid_1_says(name: InstanceName) -> None:
    """And not what a program of root's says in its words."""
    fields = {"UNIT": name.unit, "INVOCATION_ID": "1" * 32, "MEMORY_PEAK": "4096"}
    began = time.time()
    with Tail(question(name, lines=0)) as tail:
        journal.send("forged", MESSAGE_ID=words._RESOURCES, SYSLOG_IDENTIFIER=name.identifier, **fields)
        gather([tail], lambda found: len(found) == 1)
    assert words.peak(Scope.SYSTEM, 0, name, "1" * 32, ended=began) is None


def test_a_cursor_carries_on_where_it_was(scope: Scope, reader: str) -> None:
    """Following after a cursor gives neither it nor what came before."""
    entries = list(read(question(*hard())))
    positions = (0, 50, len(entries) - 1)
    with ExitStack() as stack:
        queries = [question(*hard(), after_cursor=entries[position].cursor) for position in positions]
        tails = [stack.enter_context(Tail(query)) for query in queries]
        assert gather(tails, lambda _: True) == [entries[position + 1 :] for position in positions]


def test_following_ends_at_the_wake(scope: Scope, reader: str, name: InstanceName) -> None:
    """Though nothing comes."""
    with alarm(0.2) as wake_fd:
        assert list(follow(question(name), wake_fd=wake_fd)) == []


def test_following_ends_when_its_time_is_over(scope: Scope, reader: str) -> None:
    """With ``until``, after what was before it."""
    entries = list(read(question(*hard())))
    assert list(follow(question(*hard(), until_usec=entries[60].at_usec))) == list(
        read(question(*hard(), until_usec=entries[60].at_usec))
    )


def test_a_line_is_there_within_50_ms(scope: Scope, name: InstanceName) -> None:
    """In the median, from being written to being given; journald itself calls up to 250 ms later."""

    delays = []
    with Tail(question(name, lines=0)) as tail:
        for number in range(30):
            journal.sendv(f"MESSAGE={number}", f"SYSLOG_IDENTIFIER={name.identifier}")
            begin = time.perf_counter()
            while not tail.available():
                select.select([tail], [], [], tail.interval)
            delays.append(time.perf_counter() - begin)
    assert statistics.median(delays) < 0.05


@pytest.mark.systemd_user
def test_the_machines_units_are_hidden_from_users() -> None:
    """And that is said, instead of nothing."""
    source = Source(instance=InstanceName("web", 0), uid=0)
    with pytest.raises(NotPermitted) as caught:
        list(read(Query(sources=(source,), scope=Scope.SYSTEM, manager_uid=0)))
    assert "systemd-journal" in caught.value.hint


# Follows while every file that journald has archived is truncated, as it does when it throws one away.
TRUNCATED = """
import glob, os, sys
from systemd import journal
from test_journal_box import InstanceName, Tail, question
name = InstanceName(sys.argv[1], 0)
with Tail(question(name, lines=0)) as tail:
    tail.available()
    archived = glob.glob("/var/log/journal/*/*@*.journal")
    for path in archived:
        os.truncate(path, 0)
    journal.send("still here", SYSLOG_IDENTIFIER=name.identifier)
    while not (found := tail.available()):
        pass
    print(len(archived) > 0, [entry.message for entry in found])
"""


def test_following_goes_on_when_files_of_the_journal_are_truncated(box: Box) -> None:
    """libsystemd has them mapped: without a handler of SIGBUS the program that follows would be killed."""
    box.run(["journalctl", "--rotate"])
    env = grounds.environment(PYSUP_JOURNAL="native", PYTHONPATH=f"{grounds.ROOT}/tests:{grounds.ROOT}/scripts")
    done = box.run(grounds.python("-c", TRUNCATED, f"j{uuid.uuid4().hex[:8]}"), env=env)
    assert done.stdout == "True ['still here']\n"


@pytest.mark.parametrize("user", [None, grounds.USER])
@pytest.mark.parametrize("reader", READERS)
def test_following_survives_rotation_and_a_restart_of_journald(box: Box, user: str | None, reader: str) -> None:
    """Not a line is lost or doubled while journald's files change names and journald itself is another process."""
    name = InstanceName(f"j{uuid.uuid4().hex[:8]}", 0)
    env = grounds.environment(PYSUP_JOURNAL=reader, PYTHONPATH=f"{grounds.ROOT}/tests:{grounds.ROOT}/scripts")
    writer = (
        f"from test_journal_box import *\nlaunch({name!r}, sys.executable, '-c', COUNT, '1500', '0.001', wait=False)"
    )
    command = grounds.python("-c", FOLLOWER, name.app)
    with box.popen(command, user=user, env=env, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout.readline() == "ready\n"
        box.run(grounds.python("-c", writer), user=user, env=env)
        found = []
        for line in follower.stdout:
            kind, _, message = line.strip().partition(" ")
            found += [message] if kind == "out" else []
            if message in {"200", "400", "600"}:
                box.run(["journalctl", "--rotate"])
            if message == "800":
                box.run(["systemctl", "reset-failed", "systemd-journald"])  # or its start limit keeps it dead
                box.run(["systemctl", "restart", "systemd-journald"])
            if message == "1499":
                break
        follower.kill()
    assert found == [str(number) for number in range(1500)]
