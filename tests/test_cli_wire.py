"""pysup.bus.wire and the blocking connection: jeepney, which both replace, says what is right."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import jeepney
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysup.bus import systemd1, wire
from pysup.bus.call import Call
from pysup.bus.direct import PATIENCE, DirectConnection

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True)
serials = st.integers(1, 2**32 - 1)


def message(signature: str, body: tuple[Any, ...], serial: int = 7) -> bytes:
    """A method return as a bus would send it."""
    header = jeepney.Header(
        jeepney.Endianness.little,
        jeepney.MessageType.method_return,
        jeepney.MessageFlag.no_reply_expected,
        1,
        -1,
        1,
        {
            jeepney.HeaderFields.reply_serial: serial,
            jeepney.HeaderFields.signature: signature,
            jeepney.HeaderFields.sender: ":1.2",
        },
    )
    data: bytes = jeepney.Message(header, body).serialise(serial=1)
    return data


@given(names, names, st.lists(texts, max_size=3), serials)
def test_calls_with_texts_read_back(member: str, path: str, args: list[str], serial: int) -> None:
    """Whatever the lengths, and so the padding."""
    call = Call(member, "s" * len(args), tuple(args), f"/{path}")
    data = wire.write(call, serial)
    found = jeepney.Message.from_buffer(data)
    fields = found.header.fields
    assert found.body == tuple(args)
    assert found.header.serial == serial
    assert (fields[jeepney.HeaderFields.path], fields[jeepney.HeaderFields.member]) == (f"/{path}", member)
    assert fields[jeepney.HeaderFields.interface] == call.interface
    assert wire.length(data) == len(data)


@pytest.mark.parametrize(
    "call",
    [
        systemd1.list_units(["pysup-*", "x"]),
        systemd1.list_units([]),
        systemd1.kill_unit("web", "main", 15),
        systemd1.reload(),
        Call("SetUserLinger", "ubb", (1000, True, False)),
    ],
)
def test_calls_with_other_types_read_back(call: Call) -> None:
    """Numbers, booleans, arrays, nothing."""
    found = jeepney.Message.from_buffer(wire.write(call, 1))
    assert found.body == call.args


def test_properties_are_written_as_variants_in_structs() -> None:
    """As limits are changed: a number, bytes, structs in an array, and nothing in one."""
    values = [("CPUQuotaPerSecUSec", "t", 500_000), ("AllowedCPUs", "ay", b"\x03"), ("x", "s", "ü")]
    values += [
        ("IOReadBandwidthMax", "a(st)", [["/dev/vda", 2**40], ["/srv", 1]]),
        ("IOWriteBandwidthMax", "a(st)", []),
    ]
    found = jeepney.Message.from_buffer(wire.write(systemd1.set_unit_properties("web.service", values), 1))
    unit, runtime, properties = found.body
    assert (unit, runtime) == ("web.service", True)
    told = [(name, signature, value) for name, (signature, value) in properties]
    assert told == [(name, sign, [*map(tuple, value)] if sign == "a(st)" else value) for name, sign, value in values]


def test_a_type_that_no_call_has_is_refused() -> None:
    """Better than to send what systemd misunderstands."""
    with pytest.raises(ValueError, match=r"\{sv\}"):
        wire.write(Call("Strange", "a{sv}", ({"a": ("s", "b")},)), 1)
    with pytest.raises(ValueError, match="'g'"):
        wire.write(Call("Strange", "g", ("s",)), 1)


VALUES = [
    ("s", "text"),
    ("u", 4096),
    ("t", 2**63),
    ("i", -5),
    ("b", True),
    ("d", 1.5),
    ("y", 7),
    ("x", -(2**40)),
    ("o", "/org/freedesktop"),
    ("as", ["a", "", "ü"]),
    ("ay", b"\x01\x02"),
    ("(uo)", (5, "/job")),
    ("a(sasbttttuii)", [("/bin/x", ["a"], False, 1, 2, 3, 4, 5, 6, 7)]),
    ("a{ss}", {"a": "b"}),
    ("as", []),
    ("a(tt)", []),
]


@pytest.mark.parametrize(("signature", "value"), VALUES)
def test_values_are_read(signature: str, value: Any) -> None:
    """Each by itself, and in a variant, behind a text of every length that padding depends on."""
    for before in ("", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg"):
        plain = wire.read(message("s" + signature, (before, value)))
        inside = wire.read(message("sv", (before, (signature, value))))
        assert plain.body == inside.body == (before, value)


def test_tables_of_variants_are_opened() -> None:
    """As GetAll answers."""
    table = {"MainPID": ("u", 5), "ExecStart": ("a(sb)", [("x", True)]), "Job": ("(uo)", (0, "/"))}
    found = wire.read(message("a{sv}", (table,), serial=99))
    assert found.body == ({"MainPID": 5, "ExecStart": [("x", True)], "Job": (0, "/")},)
    assert (found.kind, found.reply_serial) == (wire.METHOD_RETURN, 99)


def test_signals_are_read_with_where_they_come_from() -> None:
    """As systemd tells of a job that has ended."""
    place = jeepney.DBusAddress("/org/x", interface="org.x.Manager")
    sent = jeepney.new_signal(place, "JobRemoved", "uoss", (5, "/job/5", "web.service", "done"))
    found = wire.read(sent.serialise(serial=1))
    assert (found.kind, found.path, found.interface, found.member) == (
        wire.SIGNAL,
        "/org/x",
        "org.x.Manager",
        "JobRemoved",
    )
    assert found.body == (5, "/job/5", "web.service", "done")


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error_and_nothing_worse(data: bytes) -> None:
    """What a broken bus might send."""
    with contextlib.suppress(ValueError):
        wire.read(b"l\x02\0\x01" + data)


def test_a_bus_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """In its time, which is what systemctl gives a systemd that reads its units anew."""
    assert PATIENCE == 180
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        with pytest.raises(TimeoutError):
            DirectConnection(f"unix:path={tmp_path}/bus", timeout=0.01)
