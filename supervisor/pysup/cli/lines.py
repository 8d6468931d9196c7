"""Log lines as text: with a name before each, as JSON, as ``key=value``, or by a template. No typer, for speed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

from pysup.cli import output
from pysup.errors import SpecError
from pysup.journal import Entry, Kind
from pysup.logfiles import FileLine

_PALETTE = ("36", "35", "34", "33", "32", "96", "95", "94")
_FIELD = re.compile(r"\{(\w+)\}")
_MARKS = {Kind.OUT: "|", Kind.ERR: "|", Kind.SYSTEMD: "-"}
_UNIT_PREFIX = re.compile(r"pysup-\S+@\d+\.service: ")


class Line(NamedTuple):
    """A line of the journal or of a log file. ``at`` is seconds since the epoch; None where nobody knows."""

    app: str
    instance: int | None
    kind: Kind
    message: str
    at: float | None = None
    priority: int | None = None
    pid: int | None = None
    invocation_id: str = ""
    message_id: str = ""
    cursor: str = ""
    file: str = ""

    @property
    def name(self) -> str:
        """``web@0``, or ``web`` when its instances share a file."""
        return self.app if self.instance is None else f"{self.app}@{self.instance}"

    @property
    def time(self) -> str:
        """ISO 8601, local time with its zone, to the millisecond; empty when nobody knows."""
        return (
            "" if self.at is None else datetime.fromtimestamp(self.at).astimezone().isoformat(timespec="milliseconds")
        )


Formatter = Callable[[Line], str]


def line(found: Entry | FileLine) -> Line:
    """What is shown of an entry, or of a line in a file."""
    if isinstance(found, FileLine):
        file = found.file
        return Line(file.app, file.number, file.kind, found.message.decode("utf-8", "backslashreplace"), file=file.path)
    return Line(
        found.instance.app,
        found.instance.number,
        found.kind,
        found.message,
        found.at_usec / 1_000_000,
        found.priority,
        found.pid,
        found.invocation_id,
        found.message_id,
        found.cursor,
    )


def formatter(style: str, names: Iterable[str]) -> Formatter:
    """How to print lines: ``name``, ``time``, ``json``, ``logfmt``, or a template such as ``{time} {message}``."""
    if style in ("name", "time"):
        width = max(map(len, names), default=0)
        return lambda shown: _prefixed(shown, width, with_time=style == "time")
    if style in ("json", "logfmt"):
        return _json if style == "json" else _logfmt
    unknown = [name for name in _FIELD.findall(style) if name not in _VALUES]
    if unknown or not _FIELD.search(style):
        raise SpecError(
            f"--format is {style!r}" + (f": there is no {{{unknown[0]}}}" if unknown else ""),
            hint="Use name, time, json, logfmt, or a template with "
            + " ".join(f"{{{name}}}" for name in _VALUES)
            + ".",
        )
    return lambda shown: _FIELD.sub(lambda found: output.plain(_VALUES[found[1]](shown)), style)


def _prefixed(shown: Line, width: int, *, with_time: bool) -> str:
    """Each line of the message behind the instance's name; systemd's words behind a dash, dim."""
    name = output.paint(shown.name.ljust(width), _colour(shown.app))
    when = output.paint(shown.time or "-", output.DIM) + " " if with_time else ""
    mark = output.paint(_MARKS[shown.kind], output.RED if shown.kind is Kind.ERR else output.DIM)
    message = shown.message
    if shown.kind is Kind.SYSTEMD:
        message = _UNIT_PREFIX.sub("", message, count=1)
    texts = [output.plain(text) for text in message.split("\n")]
    if shown.kind is Kind.SYSTEMD:
        texts = [output.paint(text, output.DIM) for text in texts]
    return "\n".join(f"{when}{name} {mark} {text}" for text in texts)


def _colour(app: str) -> str:
    return _PALETTE[crc32(app.encode()) % len(_PALETTE)]


def _json(shown: Line) -> str:
    return json.dumps(
        {
            "id": shown.name,
            "name": shown.app,
            "instance": shown.instance,
            "time": shown.time or None,
            "at": shown.at,
            "kind": shown.kind.value,
            "priority": shown.priority,
            "pid": shown.pid,
            "message": shown.message,
            "invocation_id": shown.invocation_id or None,
            "message_id": shown.message_id or None,
            "cursor": shown.cursor or None,
            "file": shown.file or None,
        }
    )


def _logfmt(shown: Line) -> str:
    fields = (
        ("timestamp", shown.time),
        ("app", shown.app),
        ("id", "" if shown.instance is None else str(shown.instance)),
        ("type", shown.kind.value),
        ("message", shown.message),
    )
    return " ".join(f"{key}={_quoted(value)}" for key, value in fields)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.:+/@-]+", text) else output.plain(json.dumps(text, ensure_ascii=False))


_VALUES: dict[str, Callable[[Line], str]] = {
    "time": lambda shown: shown.time,
    "name": lambda shown: shown.name,
    "app": lambda shown: shown.app,
    "instance": lambda shown: "" if shown.instance is None else str(shown.instance),
    "kind": lambda shown: shown.kind.value,
    "priority": lambda shown: "" if shown.priority is None else str(shown.priority),
    "pid": lambda shown: "" if shown.pid is None else str(shown.pid),
    "message": lambda shown: shown.message,
}
