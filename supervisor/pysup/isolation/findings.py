"""What a trial of a level said -> what was denied, and which exception would allow it; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from posixpath import dirname, join
from typing import NamedTuple

from pysup.app import App
from pysup.isolation import lines as units
from pysup.isolation import table
from pysup.unit import Exit

_SIGSYS = 31
_PATH = r"""['"]?(?P<path>/[^'":,]+|[\w.][^'":, ]*/[^'":, ]+|[\w-]+\.\w+)['"]?"""
_READ_ONLY = r"(?i:EROFS|read-only file system)"
_DATABASE = r"(?i:unable to open database file|readonly database|SQLITE_(?:CANTOPEN|READONLY))"
_REFUSED = r"(?i:EPERM|operation not permitted)"
_DENIED = r"(?i:EACCES|permission denied)"
_GONE = r"(?i:ENOENT|no such file or directory)"
_HIDDEN = r"['\"]?(?P<path>/(?:home|root|run/user|tmp|var/tmp)/[^'\":, ]+)"
_TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108 (not used, but hidden)


class Finding(NamedTuple):
    """What was denied, and the options that would allow it; none if that is not known."""

    what: str
    options: tuple[str, ...] = ()


class _Rule(NamedTuple):
    """A line in which *pattern* is tells of *what*, if the app has the *directive* that would be the reason."""

    pattern: str
    what: str
    options: tuple[str, ...]
    directive: str = ""


_REACH = "it wants to reach the network"
_CONNECTS = rf"(?i:\b(?:connect|dial|send|sendto|sendmsg|write udp)\b.*{_REFUSED}|{_REFUSED}.*\bconnect)"
_NO_FAMILY = r"(?i:EAFNOSUPPORT|address family not supported)"
_RULES = (
    _Rule(
        rf"{_DENIED}.*(?::|port )(\d{{1,3}}|10[01]\d|102[0-3])\b|\bbind\b.*{_DENIED}|{_DENIED}.*\bbind\b",
        "it may not open a port below 1024",
        ("--bind-low-ports",),
    ),
    _Rule(
        rf"(?i:ENETUNREACH|network is unreachable)|{_NO_FAMILY}|{_CONNECTS}",
        _REACH,
        ("--network", "on"),
        "PrivateNetwork",
    ),
    _Rule(
        _CONNECTS,
        _REACH,
        ("--network", "on"),
        "IPAddressDeny",
    ),
    _Rule(
        _NO_FAMILY,
        "it wants a kind of socket that the level does not have",
        ("--service", "RestrictAddressFamilies="),
        "RestrictAddressFamilies",
    ),
    _Rule(
        r"mprotect|SetPermissions|CodeRange|PROT_EXEC|(?i:executable memory|\bjit\b.*(?:fail|den|cannot|could not))",
        "it wants memory that is written and executed",
        ("--service", "MemoryDenyWriteExecute=no"),
        "MemoryDenyWriteExecute",
    ),
    _Rule(
        _REFUSED,
        "a system call or a right was refused",
        ("--service", "SystemCallFilter="),
        "SystemCallFilter",
    ),
)

_EXITS = {
    200: Finding("its directory is not to be seen"),
    203: Finding("its program is not to be seen, or not to be executed"),
    217: Finding("its account could not be taken on: are user namespaces allowed here?"),
    218: Finding("its capabilities could not be set"),
    226: Finding("its view of the file system could not be set up"),
    228: Finding("its system call filter could not be set up"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What there is of a trial: the program's lines, systemd's words about it, its end, and the calls that ended it."""

    lines: Sequence[str] = ()
    words: Sequence[str] = ()
    end: Exit | None = None
    calls: Sequence[str] = ()


def read(app: App, heard: Heard, exists: Callable[[str], bool]) -> list[Finding]:
    """What was denied; what it looks for and does not *exist* outside either is no denial."""
    found = [*_of_end(app, heard.end, heard.calls), *_of_systemd(heard.words)]
    for line in heard.lines:
        found += _of_line(app, line, exists)
    return list(dict.fromkeys(found))


def options(found: Iterable[Finding]) -> list[str]:
    """All that would allow what was denied, as words of a command line, each once."""
    pairs: dict[tuple[str, ...], None] = dict.fromkeys(one.options for one in found if one.options)
    return [word for pair in pairs for word in pair]


def _of_end(app: App, end: Exit | None, calls: Iterable[str]) -> Iterator[Finding]:
    if end is None:
        return
    if end.code in (200, 203):
        path = app.cwd if end.code == 200 else app.argv[0]
        yield Finding(f"{_EXITS[end.code].what}: {path}", ("--readable", path))
    elif end.code in _EXITS:
        yield _EXITS[end.code]
    if end.signal == _SIGSYS:
        named = [*calls]
        for call in named:
            yield Finding(f"the system call {call} ended it", ("--service", f"SystemCallFilter=@system-service {call}"))
        if not named:
            yield Finding("a system call that is not allowed ended it (SIGSYS)", ("--service", "SystemCallFilter="))


def _of_systemd(words: Iterable[str]) -> Iterator[Finding]:
    for line in words:
        if found := re.search(r"Failed to (?:set up mount namespacing|execute|.*namespac).*", line):
            yield Finding(f"systemd: {found[0]}")


def _of_line(app: App, line: str, exists: Callable[[str], bool]) -> Iterator[Finding]:
    if re.search(_READ_ONLY, line):
        yield _written(app, line)
        return
    if app.isolate.level.hides_homes and re.search(_DATABASE, line):
        yield Finding("it would write a database, maybe in its directory", ("--writable", app.cwd))
        return
    path = _hidden(app, line)
    if path and exists(path) and re.search(f"{_GONE}|{_DENIED}", line):
        yield Finding(f"it looks for {path}", ("--readable", path))
        return
    for rule in _RULES:
        if (not rule.directive or _has(app, rule.directive)) and re.search(rule.pattern, line):
            yield Finding(rule.what, rule.options)
            return
    if re.search(_DENIED, line):
        yield Finding(f"permission denied: {line.strip()[:100]}")


def _hidden(app: App, line: str) -> str:
    """The path in a line that the level hides; empty if there is none."""
    found = re.search(_HIDDEN, line)
    path = found["path"] if found else ""
    return path if app.isolate.level.hides_homes or path.startswith(_TEMPORARY) else ""


def _has(app: App, directive: str) -> bool:
    """Whether a directive is in force for an app: by its own word, its level or its network."""
    if directive in app.service:
        return app.service[directive][-1] not in ("", "no")
    if directive in ("PrivateNetwork", "IPAddressDeny"):
        return app.isolate.has_no_network if directive == "PrivateNetwork" else app.isolate.is_filtered
    has_rule = any(rule.directive == directive and rule.values(app.isolate.level) for rule in table.RULES)
    return has_rule and directive not in units.exceptions(app)


def _written(app: App, line: str) -> Finding:
    """The directory that it would write to, if the line tells."""
    found = next((one for one in re.finditer(_PATH, line) if "file system" not in one["path"]), None)
    if found is None:
        return Finding(f"it would write where nothing may be written: {line.strip()[:100]}")
    path = join(app.cwd, found["path"].strip())
    return Finding(f"it would write {path}", ("--writable", dirname(path)))
