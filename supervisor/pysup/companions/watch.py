"""Restart an app when its files change: copied beside the app's units, and run there by a Python that has watchfiles.

    python -I -B watch.py SETTINGS COMMAND…

SETTINGS is JSON: ``paths`` (absolute), ``ignore``, ``logs`` (absolute), ``delay`` in seconds, ``account`` (a name, or
empty), ``group``. COMMAND is executed at each change, with the word REASON in it replaced by what has changed. The
files are looked at as ``account``; only COMMAND runs as who this runs as.
"""

from __future__ import annotations

import fnmatch
import grp
import json
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

NEVER = (
    *(".*", "node_modules", "__pycache__", "venv", "*.log", "*.pid", "*.pyc", "*.swp", "*.swx", "*.tmp", "*~", "#*#"),
    *("4913", "___jb_*"),  # what vim and JetBrains' editors try directories with
)
LOOP, SOON, BRAKE = 5, 1.0, 5.0


class Meant:
    """Which changes count."""

    def __init__(self, settings: dict[str, object]) -> None:
        self._paths = _texts(settings["paths"])
        self._logs = _texts(settings["logs"])
        self._ignore = _texts(settings["ignore"])

    def __call__(self, _: object, path: str) -> bool:
        """Whether a change of this file does."""
        if any(fnmatch.fnmatchcase(path, log) for log in self._logs):
            return False
        return any(self._is_below(root, path) for root in self._paths)

    def _is_below(self, root: str, path: str) -> bool:
        if path == root:
            return not Path(root).is_dir()
        if not path.startswith(root.rstrip("/") + "/"):
            return False
        inner = path[len(root.rstrip("/")) + 1 :]
        parts = inner.split("/")
        for pattern in (*NEVER, *self._ignore):
            if any(fnmatch.fnmatchcase(part, pattern) for part in parts):
                return False
            wanted = pattern.strip("/").removeprefix("./")
            for depth in range(1, len(parts) + 1):
                begin = "/".join(parts[:depth])
                if fnmatch.fnmatchcase(begin, wanted) or f"{root.rstrip('/')}/{begin}" == pattern.rstrip("/"):
                    return False
        return True


def changes(settings: dict[str, object]) -> Iterator[list[str]]:
    """First an empty list, once it is being watched; then what has changed, each time that it is quiet again."""
    import watchfiles

    pause = max(int(float(str(settings["delay"])) * 1000), 1)
    # A file that an editor replaces is another one: its directory tells of both.
    paths = map(Path, _texts(settings["paths"]))
    roots = {str(path if path.is_dir() else path.parent) for path in paths}
    for root in roots:
        if not os.access(root, os.R_OK | os.X_OK):  # of directories below, those that may not be read are left out
            sys.exit(f"{root} may not be read")
    told, is_meant = False, Meant(settings)
    for found in watchfiles.watch(
        *sorted(roots),
        watch_filter=None,  # a filter would hide that it is being watched while nothing but logs is written
        step=pause,
        debounce=max(10 * pause, 1600),
        rust_timeout=pause,
        yield_on_timeout=True,
        raise_interrupt=False,
        ignore_permission_denied=True,
    ):
        counting = sorted({path for kind, path in found if is_meant(kind, path)})
        if counting or not told:
            told = True
            yield counting


def changes_as(account: str, group: str) -> Iterator[list[str]]:
    """The same, found out by a process of that account."""
    user = pwd.getpwuid(int(account)) if account.isdigit() else pwd.getpwnam(account)
    gid = user.pw_gid if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    child = subprocess.Popen(
        [sys.executable, "-I", "-B", __file__, sys.argv[1]],
        user=user.pw_uid,
        group=gid,
        extra_groups=os.getgrouplist(user.pw_name, gid),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    rest, pipe = b"", child.stdout.fileno() if child.stdout else -1
    while piece := os.read(pipe, 1 << 16):  # all that has come while the app was restarted
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield sorted({path for line in lines for path in json.loads(line)})
    sys.exit(child.wait() or 1)


def obey(found: Iterator[list[str]], command: Sequence[str], places: Sequence[str]) -> None:
    """Tell systemd when it is watched, and execute the command at each change."""
    told, ended, streak = False, 0.0, 0
    for paths in found:
        if not told:
            notify("READY=1")
            told = True
        if not paths:
            continue
        reason = f"{name(paths[0], places)} changed" + (f", and {len(paths) - 1} more" if len(paths) > 1 else "")
        streak = streak + 1 if time.monotonic() - ended < SOON else 0
        if streak >= LOOP:
            print(f"<4>{reason} as soon as it was restarted, again and again: does it write that itself? Ignore it.")
            time.sleep(BRAKE)
        subprocess.run([reason if word == "REASON" else word for word in command], check=False)
        ended = time.monotonic()


def name(path: str, places: Sequence[str]) -> str:
    """A path as it is shown: from the place that is watched, and no control characters."""
    root = next((place for place in places if path.startswith(place.rstrip("/") + "/")), "")
    shown = path[len(root.rstrip("/")) + 1 :] if root else path
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def notify(message: str) -> None:
    """sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(message.encode())


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []


def main() -> None:
    """As the module says; without a COMMAND, print what changes."""
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    if not command:
        for paths in changes(settings):
            print(json.dumps(paths))
        return
    is_other = settings["account"] and os.geteuid() == 0
    found = changes_as(settings["account"], settings["group"]) if is_other else changes(settings)
    obey(found, command, settings["paths"])


if __name__ == "__main__":
    main()
