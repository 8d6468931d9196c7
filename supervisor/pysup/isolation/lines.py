"""An app's isolation -> lines of its unit: the level's rules, the paths that it needs all the same, and its network.

What pysup itself has in a unit goes on working inside. In user scope, where a level hides the runtime directory, and
so the user's D-Bus and systemd, pysup's own commands stand outside (``helper``): they ask systemd. What they keep for
themselves is hidden from the program, which could fool them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from posixpath import dirname

from pysup import names
from pysup.app import App
from pysup.isolate import LOOPBACK, Level
from pysup.isolation import table
from pysup.unit import Scope
from pysup.unitfile import quote

Lines = Iterator[tuple[str, str]]

_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 (not used, but hidden)
_PROGRAMS = ("bin", "sbin")

# What compiles while it runs, and cannot start where memory may not be executed.
_COMPILERS = (
    *("node", "nodejs", "deno", "bun", "java", "dotnet", "pypy", "luajit", "php", "ruby", "electron"),
    *("npm", "npx", "pnpm", "yarn", "tsx", "ts-node"),  # Node's, by their first line
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What must be known besides the app.

    ``namespaces``: users may make user namespaces; ``real`` are the paths of its program where they lead to;
    ``files`` are those of pysup's that its program reads; ``logs`` those that its account opens itself; ``instance`` is
    its number, or ``%i``.
    """

    scope: Scope
    namespaces: bool
    real: tuple[str, ...]
    files: tuple[str, ...]
    logs: tuple[str, ...]
    instance: str


def helper(app: App, scope: Scope) -> str:
    """What stands before commands of pysup's own in the app's unit."""
    return "+" if scope is Scope.USER and app.isolate.level.hides_homes else ""


def lines(app: App, around: Surroundings) -> Lines:
    """The directives; what the app itself says for ``[Service]`` takes the place of the level's."""
    isolate = app.isolate
    for directive, value in of_level(app, around.scope, namespaces=around.namespaces):
        if directive not in app.service:
            yield directive, value
    yield from _paths(app, around)
    for device in isolate.devices:
        yield "BindPaths", quote(device)
        yield "DeviceAllow", f"{quote(device)} rw"
    yield from _network(app)
    if isolate.bind_low_ports:
        yield "AmbientCapabilities", "CAP_NET_BIND_SERVICE"
    if isolate.dynamic_user:
        yield "DynamicUser", "yes"
        yield "User", names.dynamic_user(app.name)
        yield "StateDirectory", names.state_directory(app.name)
        yield "CacheDirectory", names.state_directory(app.name)


def of_level(app: App, scope: Scope, *, namespaces: bool) -> Lines:
    """What its level comes to for this app; *namespaces*: users may make user namespaces."""
    isolate = app.isolate
    left_out = exceptions(app)
    needs_namespace = isolate.has_no_network
    for rule, values in table.of(isolate.level, scope, namespaces=namespaces):
        needs_namespace |= rule.in_user is table.InUser.NAMESPACES
        if rule.directive in left_out or rule.directive == "PrivateUsers":
            continue
        for value in values:
            yield rule.directive, _adapted(rule.directive, value, app)
    paranoid = isolate.level is Level.PARANOID and "PrivateUsers" not in left_out
    if paranoid if scope is Scope.SYSTEM else needs_namespace:
        yield "PrivateUsers", "yes"


def _adapted(directive: str, value: str, app: App) -> str:
    """A rule's value for an app with its exceptions."""
    if directive == "CapabilityBoundingSet" and app.isolate.bind_low_ports:
        return "CAP_NET_BIND_SERVICE"
    if directive == "RestrictAddressFamilies" and app.isolate.has_no_network:
        return "AF_UNIX"
    return value


def exceptions(app: App) -> dict[str, str]:
    """Directives of its level that an app is spared, and why."""
    found: dict[str, str] = {}
    if app.isolate.level is not Level.PARANOID:
        return found
    words = [word.rpartition("/")[2] for word in app.argv]
    compiler = next((word for word in words[:2] if word.rstrip("0123456789.") in _COMPILERS), "")
    if compiler and "--jitless" not in words:
        found["MemoryDenyWriteExecute"] = f"{compiler} compiles while it runs"
    if app.isolate.bind_low_ports:
        found["PrivateUsers"] = "the right to open low ports would not hold"
    return found


def _network(app: App) -> Lines:
    isolate = app.isolate
    if isolate.has_no_network:
        yield "PrivateNetwork", "yes"
    if isolate.is_filtered:
        yield "IPAddressDeny", "any"
        for network in isolate.network:
            yield "IPAddressAllow", "localhost" if network == LOOPBACK else network


def _paths(app: App, around: Surroundings) -> Lines:
    """What it sees and writes in spite of its level; none of it is missed where it is not there."""
    isolate = app.isolate
    if isolate.level is Level.OFF or (around.scope is Scope.USER and not around.namespaces):
        for path in isolate.writable:  # as its dynamic account's, which may write nowhere else
            yield "BindPaths", quote(path)
        return
    hidden = _TEMPORARY + (_HOMES if isolate.level.hides_homes else ())
    needed = [path for path in _needed(app, around) if _is_below(path, hidden) and path not in _TEMPORARY]
    kind = "BindReadOnlyPaths" if isolate.level.hides_homes else "BindPaths"
    for path in _outermost(needed):
        yield kind, quote(f"-{path}")
    if helper(app, around.scope):
        for path in ("systemd/notify", "credentials/%n"):
            yield "BindReadOnlyPaths", f"-%t/{path}"
        kept = names.runtime_directory(app.name, around.instance, dynamic=isolate.dynamic_user)
        yield "InaccessiblePaths", f"-%t/{kept}"
    folders = [dirname(log.partition("{")[0]) for log in around.logs]
    for path in _outermost(
        folders if isolate.level.hides_homes else [one for one in folders if _is_below(one, hidden)]
    ):
        yield "BindPaths", quote(f"-{path}")
    for path in isolate.readable:
        yield "BindReadOnlyPaths", quote(path)
    for path in isolate.writable:
        yield "BindPaths", quote(path)


def _needed(app: App, around: Surroundings) -> Iterator[str]:
    """The directories that the program is in, and is made of."""
    yield app.cwd
    yield from around.files
    for word in (*app.argv, *around.real):
        if word.startswith("/"):
            yield _home_of(word)


def is_whole_home(app: App) -> bool:
    """Whether the app's directory is somebody's home, which then is not hidden."""
    return app.isolate.level.hides_homes and _is_root(app.cwd)


def _home_of(program: str) -> str:
    """The directory that a file belongs to: an interpreter's has its libraries beside its ``bin``."""
    folder = dirname(program)
    above = dirname(folder)
    if folder.rpartition("/")[2] in _PROGRAMS and not _is_root(above):
        folder = above
    return program if _is_root(folder) else folder


def _is_root(path: str) -> bool:
    """Whether a path is one of those that are hidden, or somebody's part of them."""
    return path in (*_HOMES, *_TEMPORARY, "/") or dirname(path) in ("/home", "/run/user")


def _is_below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that are not below others of them, in order."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not _is_below(path, kept):
            kept.append(path)
    return kept
