"""Programs that are told of their sockets by us: Node by a file that it loads first, some servers by an option.

Nobody else needs to be told: what reads ``LISTEN_FDS`` (gunicorn, puma, Go with go-systemd …) finds them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pysup.app import App

_NODE = ("node", "nodejs")

# Servers that take a descriptor by an option: the option, and those that say already where to listen.
_SERVERS = {
    "uvicorn": (("--fd", "3"), ("--fd", "--uds", "--port", "--host")),
    "hypercorn": (("--bind", "fd://3"), ("--bind", "-b")),
}


def text() -> str:
    """What Node programs load."""
    return Path(__file__).with_name("node.cjs").read_text(encoding="utf-8")


def is_for(app: App) -> bool:
    """Whether the app is a Node program that can use it."""
    return _is_node(app.argv[0]) and (bool(app.listen) or app.ready.when.value == "notify")


def argv(app: App, file: str) -> tuple[str, ...]:
    """The app's command, told of its sockets."""
    if is_for(app):
        return (app.argv[0], f"--require={file}", *app.argv[1:])
    return (*app.argv, *_option(app.argv)) if app.listen else app.argv


def _is_node(program: str) -> bool:
    return program.rpartition("/")[2] in _NODE


def _option(words: Sequence[str]) -> tuple[str, ...]:
    for server, (option, others) in _SERVERS.items():
        if _runs(server, words) and not any(word.partition("=")[0] in others for word in words):
            return option
    return ()


def _runs(server: str, words: Sequence[str]) -> bool:
    """Whether a command is the server: by itself, as a script of Python's, or by ``python -m``."""
    scripts = [word.rpartition("/")[2] for word in words[:2]]
    return server in scripts or list(words[1:3]) == ["-m", server]
