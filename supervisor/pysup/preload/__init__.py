"""Programs that are told of their sockets by us: Node by a file that it loads first, some servers by an option.

Nobody else needs to be told: what reads ``LISTEN_FDS`` (gunicorn, puma, Go with go-systemd …) finds them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pysup.app import App
from pysup.errors import SpecError
from pysup.health import ReadyWhen

_NODE = ("node", "nodejs")

# Servers that take descriptors by an option: the option, what it says of each, how many they take, and the options that
# say already where to listen.
_SERVERS = {
    "uvicorn": ("--fd", "{fd}", 1, ("--fd", "--uds", "--port", "--host")),
    "hypercorn": ("--bind", "fd://{fd}", 100, ("--bind", "-b")),
}
_FIRST = 3  # SD_LISTEN_FDS_START


def text() -> str:
    """What Node programs load."""
    return Path(__file__).with_name("node.cjs").read_text(encoding="utf-8")


def is_for(app: App) -> bool:
    """Whether the app is a Node program that can use it."""
    return is_node(app) and (bool(app.listen) or app.ready.is_told or tells_alive(app))


def is_node(app: App) -> bool:
    """Whether the app is a Node program."""
    return app.argv[0].rpartition("/")[2] in _NODE


def tells_alive(app: App) -> bool:
    """Whether systemd waits for the app to say that it lives."""
    return app.watchdog is not None and app.watchdog.question is None


def check(app: App) -> None:
    """Raise SpecError for a condition that the program, as it is known, cannot meet."""
    if app.ready.when is ReadyWhen.SEND and not is_node(app):
        raise SpecError(
            f"app {app.name!r}: ready is send, but {app.argv[0]} is not node: it has no process.send",
            hint="Start the script itself, not npm or a shell around it; or use --ready notify, tcp or http.",
        )
    silent = next((server for server in ("gunicorn", *_SERVERS) if _runs(server, app.argv)), "")
    if tells_alive(app) and silent:
        raise SpecError(
            f"app {app.name!r}: {silent} never tells systemd that it lives, and would be ended again and again",
            hint="Have it asked: --watchdog tcp, or a URL.",
        )
    for server, (option, _, most, _) in _SERVERS.items():
        if app.probed and most == 1 and _runs(server, app.argv):
            raise SpecError(
                f"app {app.name!r}: {server} takes one socket ({option}), and to be asked each instance needs another "
                "of its own: a sibling would answer on the one that they share",
                hint="Use gunicorn with uvicorn's worker class, hypercorn, or give each a port of its own (--port); or "
                "do not ask: --ready 2s.",
            )


def argv(app: App, file: str, count: int) -> tuple[str, ...]:
    """The app's command, told of so many sockets."""
    if is_for(app):
        return (app.argv[0], f"--require={file}", *app.argv[1:])
    return (*app.argv, *_options(app.argv, count)) if app.listen else app.argv


def _options(words: Sequence[str], count: int) -> tuple[str, ...]:
    for server, (option, value, most, others) in _SERVERS.items():
        if _runs(server, words) and not any(word.partition("=")[0] in others for word in words):
            fds = range(_FIRST, _FIRST + min(count, most))
            return tuple(part for fd in fds for part in (option, value.format(fd=fd)))
    return ()


def _runs(server: str, words: Sequence[str]) -> bool:
    """Whether a command is the server: by itself, as a script of Python's, or by ``python -m``."""
    scripts = [word.rpartition("/")[2] for word in words[:2]]
    return server in scripts or list(words[1:3]) == ["-m", server]
