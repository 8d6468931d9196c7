"""Entries of the journal that anybody can write: binary, huge, half, forged; none of them is an error."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from pysup import chronicle, deeds
from pysup.chronicle import TABLE
from pysup.events import Event
from pysup.journal import words
from pysup.journal.journalctl import _record
from pysup.journal.record import FIELDS, Record
from pysup.unit import Scope

UNITS = ("pysup-web@0.service", "pysup-web@1.service", "pysup-web@-1.service", "nginx.service", "", "pysup-@0.service")
ODD = ("", " ", "-1", "0", "137", "9" * 5000, "٣", "\0", "\n", "exited", "killed", "ExecStart", "x" * 50_000)
MESSAGES = (
    "Scheduled restart job, restart counter is at 3.",
    "pysup-web@0.service: Watchdog timeout (limit 1s)!",
    "pysup-web@0.service: Start request repeated too quickly.",
)

texts = st.one_of(st.sampled_from((*ODD, *MESSAGES)), st.text(max_size=30))
binary = st.binary(max_size=40)
known = {
    "UNIT": st.sampled_from(UNITS),
    "USER_UNIT": st.sampled_from(UNITS),
    "_UID": st.sampled_from(("0", "1000", "")),
    "MESSAGE_ID": st.one_of(st.sampled_from((*TABLE, *chronicle.REASONS, deeds.MESSAGE_ID, "")), texts),
    "PYSUP_EVENT": st.one_of(st.sampled_from([*deeds._DECODERS]), texts),
}


def values(plain: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    """A field as either reader gives it: text, bytes, byte values, or several of these; or nothing, if it was huge."""
    one = st.one_of(plain, plain.map(lambda text: text.encode(errors="replace")), binary)
    numbers = binary.map(list)
    return st.one_of(one, numbers, st.lists(st.one_of(plain, numbers), max_size=2), st.none())


fields = st.fixed_dictionaries({}, optional={name: values(known.get(name, texts)) for name in FIELDS})
entries = st.builds(Record, cursor=st.just("s=1;i=1;b=2;t=3"), at_usec=st.integers(0, 2**63), fields=fields)


@given(entries)
def test_any_entry_is_a_word_a_deed_or_nothing(record: Record) -> None:
    """And all of its fields can be had as text and as bytes."""
    for name in FIELDS:
        assert isinstance(record.text(name), str)
        assert isinstance(record.data(name), bytes)
    for scope in Scope:
        word = words.to_word(record, scope, 0)
        assert word is None or (record.text("_UID") == "0" and word.name.app == "web")
        deed = words.to_deed(record, scope, 0)
        assert deed is None or (record.text("_UID") == "0" and deed.app)


@settings(max_examples=30)
@given(st.lists(entries, max_size=12))
def test_any_words_in_any_order_tell_a_story(found: list[Record]) -> None:
    """Of the instances that they are about, in order of time at the end."""
    heard = [word for record in found if (word := words.to_word(record, Scope.SYSTEM, 0))]
    told: list[Event] = [*chronicle.tell(heard, now=2e9)]
    assert {event.name for event in told if hasattr(event, "name")} <= {word.name for word in heard}


@given(st.dictionaries(st.sampled_from(FIELDS), st.one_of(texts, binary.map(list), st.none()), max_size=8))
def test_lines_of_journalctl_are_entries(given_fields: dict[str, object]) -> None:
    """JSON has binary values as numbers, and null for those that are too large."""
    line = json.dumps({"__CURSOR": "c;b=1", "__REALTIME_TIMESTAMP": "7", **given_fields}, ensure_ascii=False)
    record = _record(line.encode(errors="surrogatepass"))
    assert record.at_usec == 7
    for name in given_fields:
        assert isinstance(record.text(name), str)
        assert isinstance(record.data(name), bytes)
