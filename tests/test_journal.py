"""The journal's pure part: what matches, what is whose, and how long lines become whole."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from pysup.errors import NotPermitted, SpecError
from pysup.journal import Kind, Query, Source, access, matches, native
from pysup.journal.lines import Joiner, joined, joined_backward
from pysup.journal.matches import Selector
from pysup.journal.record import Record, identity, realtime
from pysup.journal.seen import Seen
from pysup.names import InstanceName
from pysup.unit import Scope

WEB0 = Source(instance=InstanceName("web", 0), uid=33)
API0 = Source(instance=InstanceName("api", 0), uid=None)
ID = "0" * 32


def system(*sources: Source, **options: object) -> Query:
    return Query(sources=sources or (WEB0,), scope=Scope.SYSTEM, manager_uid=0, **options)  # type: ignore[arg-type]


def user(*sources: Source, **options: object) -> Query:
    sources = sources or (Source(instance=InstanceName("web", 0), uid=1000),)
    return Query(sources=sources, scope=Scope.USER, manager_uid=1000, **options)  # type: ignore[arg-type]


def cursor(number: int, at: int = 0x10, hash_: int = 0) -> str:
    return f"s={ID};i={number:x};b={ID};m={at:x};t={at:x};x={hash_:x}"


def record(number: int = 1, at: int = 0x10, **fields: object) -> Record:
    return Record(cursor(number, at), at, {"MESSAGE": b"hello", "PRIORITY": b"6", **fields})


def piece(number: int, message: bytes, stream: bytes = b"a", *, goes_on: bool = False) -> Record:
    more: dict[str, object] = {"_LINE_BREAK": b"line-max"} if goes_on else {}
    return record(number, MESSAGE=message, _STREAM_ID=stream, **more)


def messages(records: object) -> list[bytes]:
    return [one.data("MESSAGE") for one in records]  # type: ignore[attr-defined]


class TestMatches:
    def test_a_line_is_found_by_user_or_by_unit(self) -> None:
        """Neither alone finds all: journald may not know the unit, and not every app logs under our identifier."""
        assert matches.groups(system()) == (
            ("SYSLOG_IDENTIFIER=pysup-web@0", "_UID=33"),
            ("UNIT=pysup-web@0.service", "_UID=33"),
            ("_SYSTEMD_UNIT=pysup-web@0.service",),
            ("UNIT=pysup-web@0.service", "_UID=0"),
        )

    def test_units_of_users_belong_to_the_owner_of_the_manager(self) -> None:
        """Every user may have a pysup-web@0.service."""
        assert matches.groups(user()) == (
            ("SYSLOG_IDENTIFIER=pysup-web@0", "_UID=1000"),
            ("_SYSTEMD_USER_UNIT=pysup-web@0.service", "_UID=1000"),
            ("USER_UNIT=pysup-web@0.service", "_UID=1000"),
        )

    def test_an_unknown_user_is_found_by_unit_only(self) -> None:
        """An identifier alone can be forged by anybody."""
        found = matches.groups(system(API0))
        assert not [match for group in found for match in group if match.startswith("SYSLOG_IDENTIFIER")]

    def test_sources_of_one_user_share_a_group(self) -> None:
        """A match costs time at every entry."""
        sources = [Source(instance=InstanceName("web", number), uid=0) for number in range(50)]
        assert len(matches.groups(system(*sources))) == 3

    @pytest.mark.parametrize("priority", [0, 3, 5])
    def test_priorities_are_matched(self, priority: int) -> None:
        """So that the last 15 errors are found without reading all lines."""
        for group in matches.groups(system(priority=priority)):
            assert [f"PRIORITY={n}" for n in range(priority + 1)] == [m for m in group if m.startswith("PRIORITY")]

    def test_lines_without_a_priority_count_as_info(self) -> None:
        """A match would leave them out."""
        query = system(priority=6)
        assert not [m for group in matches.groups(query) for m in group if m.startswith("PRIORITY")]
        no_priority = Record(cursor(1), 1, {"_UID": b"33", "SYSLOG_IDENTIFIER": b"pysup-web@0"})
        assert Selector(query)(no_priority)
        assert Selector(system(priority=5))(no_priority) is None

    def test_errors_alone_ask_for_errors_alone(self) -> None:
        found = matches.groups(system(kinds=frozenset({Kind.ERR})))
        assert all("PRIORITY=3" in group and "PRIORITY=4" not in group for group in found)
        assert ("UNIT=pysup-web@0.service", "_UID=0") not in [group[:2] for group in found]

    def test_nothing_asked_is_nothing_found(self) -> None:
        """No match at all would mean everything to journald."""
        assert matches.groups(Query(sources=(), scope=Scope.SYSTEM, manager_uid=0)) == ()
        assert matches.groups(system(kinds=frozenset())) == ()
        assert matches.groups(system(kinds=frozenset({Kind.OUT}), priority=3)) == ()


class TestSelector:
    @pytest.mark.parametrize(
        ("fields", "kind"),
        [
            ({"_UID": b"33", "SYSLOG_IDENTIFIER": b"pysup-web@0"}, Kind.OUT),
            ({"_UID": b"33", "SYSLOG_IDENTIFIER": b"pysup-web@0", "PRIORITY": b"3"}, Kind.ERR),
            ({"_UID": b"99", "SYSLOG_IDENTIFIER": b"x", "_SYSTEMD_UNIT": b"pysup-web@0.service"}, Kind.OUT),
            ({"_UID": b"0", "_PID": b"1", "UNIT": b"pysup-web@0.service"}, Kind.SYSTEMD),
            ({"_UID": b"33", "UNIT": b"pysup-web@0.service", "PRIORITY": b"3"}, Kind.ERR),
        ],
    )
    def test_accepts(self, fields: dict[str, object], kind: Kind) -> None:
        entry = Selector(system())(record(**fields))
        assert entry
        assert (entry.instance, entry.kind) == (WEB0.instance, kind)

    @pytest.mark.parametrize(
        "fields",
        [
            {"_UID": b"99", "SYSLOG_IDENTIFIER": b"pysup-web@0", "_SYSTEMD_UNIT": b"evil.service"},
            {"_UID": b"99", "SYSLOG_IDENTIFIER": b"pysup-web@0"},
            {"_UID": b"99", "UNIT": b"pysup-web@0.service"},
            {"SYSLOG_IDENTIFIER": b"pysup-web@0"},
            {"_UID": b"", "SYSLOG_IDENTIFIER": b"pysup-web@0"},
            {"_UID": b"33", "SYSLOG_IDENTIFIER": b"pysup-web@0", "_SYSTEMD_USER_UNIT": b"pysup-web@0.service"},
        ],
        ids=["forged", "forged without unit", "forged word", "no uid", "empty uid", "same app of the user's manager"],
    )
    def test_drops(self, fields: dict[str, object]) -> None:
        assert Selector(system())(record(**fields)) is None

    def test_other_users_managers_are_others(self) -> None:
        theirs = record(_UID=b"1001", _SYSTEMD_USER_UNIT=b"pysup-web@0.service")
        assert Selector(user())(theirs) is None

    def test_missing_fields_do_no_harm(self) -> None:
        entry = Selector(system())(Record(cursor(1), 1, {"_SYSTEMD_UNIT": b"pysup-web@0.service"}))
        assert entry
        assert (entry.message, entry.priority, entry.pid, entry.invocation_id) == ("", 6, None, "")

    @pytest.mark.parametrize("message", [b"caf\xe9 \x00\x1b[0m", list(b"caf\xe9 \x00\x1b[0m")])
    def test_bytes_that_are_not_utf8_can_be_printed(self, message: object) -> None:
        entry = Selector(system(API0))(record(MESSAGE=message, _SYSTEMD_UNIT="pysup-api@0.service"))
        assert entry
        assert entry.message == "caf\\xe9 \x00\x1b[0m"
        entry.message.encode()

    @pytest.mark.parametrize("values", [[b"a", b"b"], ["a", "b"], [[97], [98]]])
    def test_of_several_values_the_first_counts(self, values: object) -> None:
        assert record(MESSAGE=values).text("MESSAGE") == "a"
        assert record(MESSAGE=values).data("MESSAGE") == b"a"

    def test_an_unknown_invocation_passes(self) -> None:
        """The last words of a program that died at once have none."""
        query = system(invocation_id="a" * 32)
        mine = {"_UID": b"33", "SYSLOG_IDENTIFIER": b"pysup-web@0"}
        assert Selector(query)(record(**mine))
        assert Selector(query)(record(**mine, _SYSTEMD_INVOCATION_ID=b"a" * 32))
        assert Selector(query)(record(**mine, _SYSTEMD_INVOCATION_ID=b"b" * 32)) is None


class TestQuery:
    @pytest.mark.parametrize(
        "options",
        [{"lines": -1}, {"priority": 8}, {"grep": "("}, {"after_cursor": "--help"}, {"invocation_id": "x"}],
    )
    def test_refuses(self, options: dict[str, object]) -> None:
        with pytest.raises(SpecError, match=next(iter(options)).split("_")[-1].replace("id", "invocation")):
            system(**options)


class TestLines:
    def test_pieces_are_joined_by_stream(self) -> None:
        """Another program's line may come in between."""
        found = joined([piece(1, b"aa", goes_on=True), piece(2, b"other", b"b"), piece(3, b"a")])
        assert messages(found) == [b"other", b"aaa"]

    def test_backward_gives_the_same(self) -> None:
        pieces = [
            piece(1, b"0"),
            piece(2, b"aa", goes_on=True),
            piece(3, b"other", b"b"),
            piece(4, b"AA", goes_on=True),
            piece(5, b"a"),
            piece(6, b"1"),
        ]
        forward = list(joined(pieces))
        assert messages(forward) == [b"0", b"other", b"aaAAa", b"1"]
        assert list(joined_backward(reversed(pieces)))[::-1] == forward

    def test_backward_needs_few_entries_for_few_lines(self) -> None:
        """The last 15 lines must not cost a journal."""
        endless = (piece(number, b"line", str(number).encode()) for number in range(10**9))
        assert next(joined_backward(endless)).data("MESSAGE") == b"line"

    def test_what_is_not_complete_is_not_lost(self) -> None:
        assert messages(joined([piece(1, b"aa", goes_on=True)])) == [b"aa"]
        assert messages(joined_backward([piece(1, b"aa", goes_on=True)])) == [b"aa"]

    def test_a_line_that_does_not_end_is_given_when_overdue(self) -> None:
        joiner = Joiner()
        assert joiner.add(piece(1, b"aa", goes_on=True)) is None
        assert joiner.overdue(60) == []
        assert messages(joiner.overdue(0)) == [b"aa"]
        assert not joiner.is_holding

    def test_a_program_without_line_ends_does_not_fill_memory(self) -> None:
        joiner = Joiner()
        big = b"x" * 2**20
        given = [joiner.add(piece(number, big, goes_on=True)) for number in range(16)]
        assert [bool(one) for one in given] == [False] * 15 + [True]


class TestCursor:
    def test_realtime(self) -> None:
        assert realtime(cursor(1, 0xABC)) == 0xABC

    def test_identity_survives_a_copy_to_another_file(self) -> None:
        """As when journald flushes /run to /var."""
        assert identity(cursor(1)) == identity(cursor(9).replace(f"s={ID}", "s=" + "f" * 32))


class TestSeen:
    """The bookkeeping that makes reading a stretch of the journal again harmless."""

    def read(self, seen: Seen, *numbers: int) -> list[int]:
        return [number for number in numbers if seen.is_new(cursor(number, number))]

    def test_what_was_passed_over_is_found_once(self) -> None:
        seen = Seen(None, Counter())
        assert self.read(seen, 1, 3) == [1, 3]
        seen.begin()
        assert self.read(seen, 1, 2, 3, 4) == [2, 4]
        seen.begin()
        assert self.read(seen, 1, 2, 3, 4, 5) == [5]

    def test_equal_entries_of_one_moment_are_counted(self) -> None:
        """journald stamps all that it reads in one go with one time, and equal lines have equal hashes."""
        seen = Seen(None, Counter())
        assert [seen.is_new(cursor(number)) for number in (1, 2)] == [True, True]
        seen.begin()
        assert [seen.is_new(cursor(number)) for number in (1, 2, 3)] == [False, False, True]

    def test_passes_move_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else every pass would read all since the beginning."""
        clock = iter(range(0, 1000, 2))
        monkeypatch.setattr("pysup.journal.seen.time.monotonic", lambda: next(clock))
        seen = Seen(None, Counter())
        settled = []
        for number in range(1, 20):
            begin = seen.begin()
            first = 1 if begin is None else realtime(str(begin))
            assert self.read(seen, *range(first, number + 1)) == [number]
            settled.append(first)
        assert settled[-1] > 14


class TestAccess:
    """Run as an ordinary user: root may read everything."""

    @pytest.fixture
    def roots(self, tmp_path: Path) -> dict[str, Path]:
        assert os.getuid() >= 1000
        return {"volatile": tmp_path / "run", "persistent": tmp_path / "var"}

    def put(self, root: Path, name: str, mode: int) -> None:
        folder = root / Path("/etc/machine-id").read_text().strip()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch(mode)

    @pytest.mark.systemd_user
    def test_a_hidden_volatile_journal_is_not_silence(self, roots: dict[str, Path]) -> None:
        self.put(roots["volatile"], "system.journal", 0)
        for scope in Scope:
            with pytest.raises(NotPermitted) as caught:
                access.check(scope, **roots)
            assert "systemd-journal" in caught.value.hint

    @pytest.mark.systemd_user
    def test_nor_is_a_folder_that_cannot_be_listed(self, roots: dict[str, Path]) -> None:
        self.put(roots["volatile"], "system.journal", 0)
        folder = next(roots["volatile"].iterdir())
        folder.chmod(0)
        with pytest.raises(NotPermitted):
            access.check(Scope.USER, **roots)
        folder.chmod(0o700)

    @pytest.mark.systemd_user
    def test_users_have_files_of_their_own_in_a_persistent_journal(self, roots: dict[str, Path]) -> None:
        self.put(roots["persistent"], "system.journal", 0)
        access.check(Scope.USER, **roots)
        self.put(roots["persistent"], "user-1000.journal", 0o600)
        access.check(Scope.USER, **roots)
        with pytest.raises(NotPermitted):
            access.check(Scope.SYSTEM, **roots)

    @pytest.mark.systemd_user
    def test_other_users_files_do_not_matter(self, roots: dict[str, Path]) -> None:
        self.put(roots["persistent"], "system.journal", 0o600)
        self.put(roots["persistent"], "user-1001.journal", 0)
        access.check(Scope.SYSTEM, **roots)

    def test_no_journal_is_no_reason_to_refuse(self, tmp_path: Path) -> None:
        access.check(Scope.USER, volatile=tmp_path / "a", persistent=tmp_path / "b")


class Unsettled:
    """libsystemd's journal, standing on an entry that journald has not finished."""

    def __init__(self, age_usec: int, *readings: dict[str, bytes]) -> None:
        self.at_usec = time.time_ns() // 1000 - age_usec
        self.readings = list(readings)

    def _get_cursor(self) -> str:
        return cursor(1, self.at_usec)

    def _get_realtime(self) -> int:
        return self.at_usec

    def _get_all(self) -> dict[str, bytes]:
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


class TestUnsettled:
    """An entry may be visible a moment before its message is."""

    def test_a_young_entry_is_asked_for_its_message_again(self) -> None:
        bare = {"PRIORITY": b"6"}
        found = native.read(Unsettled(0, bare, bare, {**bare, "MESSAGE": b"hello"}))
        assert found is not None
        assert found.data("MESSAGE") == b"hello"

    def test_an_entry_may_have_no_message(self) -> None:
        for age_usec in (0, 10_000_000):
            found = native.read(Unsettled(age_usec, {"PRIORITY": b"6"}))
            assert found is not None
            assert found.data("MESSAGE") == b""
