"""D-Bus messages as bytes: writes the calls that pysup makes, and reads whatever may come in.

Only for the blocking connection. The rules are in the D-Bus specification, "Type System" and "Message Protocol".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from pysup.bus.call import Call

METHOD_RETURN, ERROR, SIGNAL = 2, 3, 4

_CALL, _NO_FLAGS, _VERSION = 1, 0, 1
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_HEADER = 16  # bytes before the header's fields
_NUMBERS = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
_SIZES = {code: struct.calcsize("<" + number) for code, number in _NUMBERS.items()}
_ALIGNMENTS = {**_SIZES, "s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8}


class Message(NamedTuple):
    """What of an incoming message counts. Variants in ``body`` are opened: they are their value."""

    kind: int
    reply_serial: int
    error_name: str
    body: tuple[object, ...]
    path: str = ""
    interface: str = ""
    member: str = ""


def write(call: Call, serial: int) -> bytes:
    """The bytes of a call; *serial* is what its reply will name."""
    body = _body(call.signature, call.args)
    fields = _path(call.path) + _constant(call.interface, call.member, call.destination, call.signature)
    start = struct.pack("<cBBBIII", b"l", _CALL, _NO_FLAGS, _VERSION, len(body), serial, len(fields))
    return b"".join((start, fields, b"\0" * (-len(fields) % 8), body))


def length(data: bytes | bytearray) -> int | None:
    """How long the message is that begins here; None as long as too little of it is there to tell."""
    if len(data) < _HEADER:
        return None
    body, _, fields = struct.unpack_from(_order(data) + "III", data, 4)
    return int(_HEADER + fields + -fields % 8 + body)


def read(data: bytes) -> Message:
    """A whole message; raises ValueError if it is none."""
    try:
        return _read(data)
    except (LookupError, OverflowError, RecursionError, TypeError, struct.error) as exc:
        raise ValueError(f"not a D-Bus message: {exc}") from exc


def _read(data: bytes) -> Message:
    reader = _Reader(data, _order(data))
    reader.at = _HEADER - 4
    (size,) = reader.values("u")
    end = _HEADER + int(str(size))
    fields: dict[int, object] = {}
    while reader.at < end:
        code, value = reader.field()
        fields[code] = value
    reader.at = end + -end % 8
    body = tuple(reader.values(str(fields.get(_SIGNATURE, ""))))
    serial = fields.get(_REPLY_SERIAL)
    texts = (str(fields.get(code, "")) for code in (_PATH, _INTERFACE, _MEMBER))
    return Message(data[1], serial if isinstance(serial, int) else 0, str(fields.get(_ERROR_NAME, "")), body, *texts)


def _order(data: bytes | bytearray) -> str:
    return "<" if data[0] == ord("l") else ">"


class _Reader:
    """Takes values off the bytes of a message, one after the other."""

    __slots__ = ("_data", "_order", "at")

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self.at = 0

    def values(self, signature: str) -> list[object]:
        """As many values as the signature has complete types."""
        return [self._value(kind) for kind in _types(signature)]

    def field(self) -> tuple[int, object]:
        """One of the header's fields: its code and value."""
        self._align(8)
        code = self._data[self.at]
        self.at += 1
        return code, self._variant()

    def _align(self, size: int) -> None:
        self.at += -self.at % size

    def _value(self, kind: str) -> object:
        code = kind[0]
        self._align(_ALIGNMENTS[code])
        if code in _NUMBERS:
            return self._number(code)
        if code in "so":
            return self._text(int(self._number("u")))
        if code == "v":
            return self._variant()
        if code == "a":
            return self._array(kind[1:])
        if code == "g":
            return self._text(int(self._number("y")))
        return tuple(self.values(kind[1:-1]))

    def _number(self, code: str) -> int | float:
        (value,) = struct.unpack_from(self._order + _NUMBERS[code], self._data, self.at)
        self.at += _SIZES[code]
        return bool(value) if code == "b" else value

    def _text(self, size: int) -> str:
        text = self._data[self.at : self.at + size].decode()
        self.at += size + 1  # and its NUL
        return text

    def _variant(self) -> object:
        return self._value(self._text(int(self._number("y"))))

    def _array(self, kind: str) -> object:
        size = int(self._number("u"))
        self._align(_ALIGNMENTS[kind[0]])
        end = self.at + size
        if kind == "y":
            found, self.at = self._data[self.at : end], end
            return found
        items = []
        while self.at < end:
            before = self.at
            items.append(self._value(kind))
            if self.at == before:
                raise ValueError(f"an array of nothing: {kind!r}")
        return dict(items) if kind[0] == "{" else items  # type: ignore[arg-type]


def _end(signature: str, start: int) -> int:
    """Where the complete type that begins at *start* ends."""
    code = signature[start]
    if code == "a":
        return _end(signature, start + 1)
    if code not in "({":
        return start + 1
    end = start + 1
    while signature[end] not in ")}":
        end = _end(signature, end)
    return end + 1


def _path(path: str) -> bytes:
    field = struct.pack("<BB1sB", _PATH, 1, b"o", 0) + _text(path)
    return field + b"\0" * (-len(field) % 8)


@cache
def _constant(interface: str, member: str, destination: str, signature: str) -> bytes:
    """The header's other fields; of a hundred calls in a row they are mostly the same."""
    fields = b""
    for code, text in ((_INTERFACE, interface), (_MEMBER, member), (_DESTINATION, destination)):
        fields += b"\0" * (-len(fields) % 8) + struct.pack("<BB1sB", code, 1, b"s", 0) + _text(text)
    if signature:
        short = struct.pack("<BB1sB", _SIGNATURE, 1, b"g", 0) + bytes([len(signature)]) + signature.encode() + b"\0"
        fields += b"\0" * (-len(fields) % 8) + short
    return fields


@cache
def _texts(args: tuple[str, ...]) -> bytes:
    body = b""
    for text in args:
        body += b"\0" * (-len(body) % 4) + _text(text)
    return body


def _body(signature: str, args: tuple[object, ...]) -> bytes:
    if signature.strip("s") == "":
        return _texts(args)
    body = bytearray()
    for kind, value in zip(_types(signature), args, strict=True):
        _put(body, kind, value)
    return bytes(body)


def _put(body: bytearray, kind: str, value: Any) -> None:
    if kind[0] not in _ALIGNMENTS or kind[0] in "g{":
        raise ValueError(f"no call of pysup's has the type {kind!r}")
    body += b"\0" * (-len(body) % _ALIGNMENTS[kind[0]])
    if kind in _NUMBERS:
        body += struct.pack("<" + _NUMBERS[kind], value)
    elif kind in "so":
        body += _text(str(value))
    elif kind == "v":
        body += bytes([len(value.signature)]) + value.signature.encode() + b"\0"
        _put(body, value.signature, value.value)
    elif kind[0] == "(":
        for inner, item in zip(_types(kind[1:-1]), value, strict=True):
            _put(body, inner, item)
    else:
        at = len(body)
        body += b"\0" * 4
        body += b"\0" * (-len(body) % _ALIGNMENTS[kind[1]])
        start = len(body)
        for item in value:
            _put(body, kind[1:], item)
        struct.pack_into("<I", body, at, len(body) - start)


def _types(signature: str) -> Iterator[str]:
    """The complete types of a signature."""
    index = 0
    while index < len(signature):
        end = _end(signature, index)
        yield signature[index:end]
        index = end


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"
