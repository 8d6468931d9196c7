"""What a trial of a level said -> what was denied, and which exception would allow it; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from posixpath import dirname, join
from typing import NamedTuple

from pysup.app import App
from pysup.unit import Exit

_SIGSYS = 31
_PATH = r"""['"]?(?P<path>/[^'":,]+|[\w.][^'":, ]*/[^'":, ]+|[\w-]+\.\w+)['"]?"""
_READ_ONLY = r"(?i:EROFS|read-only file system)"
_DENIED = r"(?i:EACCES|permission denied)"
_GONE = r"(?i:ENOENT|no such file or directory)"
_HIDDEN = r"['\"]?(?P<path>/(?:home|root|run/user|tmp|var/tmp)/[^'\":, ]+)"


class Finding(NamedTuple):
    """What was denied, and the options that would allow it; none if that is not known."""

    what: str
    options: tuple[str, ...] = ()


_RULES: Sequence[tuple[str, str, tuple[str, ...]]] = (
    (
        rf"{_DENIED}.*(?::|port )(\d{{1,3}}|10[01]\d|102[0-3])\b|\bbind\b.*{_DENIED}|{_DENIED}.*\bbind\b",
        "it may not open a port below 1024",
        ("--bind-low-ports",),
    ),
    (
        r"(?i:EAFNOSUPPORT|address family not supported)",
        "it wants a kind of socket that the level does not have",
        ("--service", "RestrictAddressFamilies="),
    ),
    (r"(?i:ENETUNREACH|network is unreachable)", "it wants to reach the network", ("--network", "on")),
    (
        r"(?i:mprotect|SetPermissions|jit|executable memory|PROT_EXEC)",
        "it wants memory that is written and executed",
        ("--service", "MemoryDenyWriteExecute=no"),
    ),
    (
        r"(?i:EPERM|operation not permitted)",
        "a system call or a right was refused",
        ("--service", "SystemCallFilter="),
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


def read(
    app: App, lines: Iterable[str], systemd: Iterable[str], end: Exit | None, calls: Iterable[str]
) -> list[Finding]:
    """What the program's lines, systemd's words and its end tell; *calls* are system calls that ended it."""
    found = [*_of_end(app, end, calls), *_of_systemd(systemd)]
    for line in lines:
        found += _of_line(app, line)
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


def _of_line(app: App, line: str) -> Iterator[Finding]:
    if re.search(_READ_ONLY, line):
        yield _written(app, line)
        return
    if (found := re.search(_HIDDEN, line)) and re.search(f"{_GONE}|{_DENIED}", line):
        yield Finding(f"it looks for {found['path']}", ("--readable", found["path"]))
        return
    for pattern, what, allowing in _RULES:
        if re.search(pattern, line):
            yield Finding(what, allowing)
            return
    if re.search(_DENIED, line):
        yield Finding(f"permission denied: {line.strip()[:100]}")


def _written(app: App, line: str) -> Finding:
    """The directory that it would write to, if the line tells."""
    found = next((one for one in re.finditer(_PATH, line) if "file system" not in one["path"]), None)
    if found is None:
        return Finding(f"it would write where nothing may be written: {line.strip()[:100]}")
    path = join(app.cwd, found["path"].strip())
    return Finding(f"it would write {path}", ("--writable", dirname(path)))
