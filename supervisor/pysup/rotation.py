"""App -> what logrotate is to do with its log files: logrotate(8)."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pysup import names
from pysup.app import App
from pysup.errors import Conflict, SpecError
from pysup.host import trust, users
from pysup.unit import Scope

_DIGIT = "[0-9]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How often files are rotated (``daily``, ``weekly``, ``monthly``), how many stay, and how a new one is begun."""

    every: str = "daily"
    keep: int = 14
    max_size: int | None = None
    restart: bool = False


def snippet(app: App, scope: Scope, options: Options) -> str:
    """The text of a configuration file. Raises Conflict if the app writes to no files."""
    patterns = [pattern for path in _paths(app) for pattern in _patterns(path)]
    if not patterns:
        raise Conflict(
            f"app {app.name!r} writes to no log files",
            hint="journald rotates the journal by itself: SystemMaxUse= in journald.conf.",
        )
    lines = [options.every, f"rotate {options.keep}"]
    if options.max_size is not None:
        lines.append(f"maxsize {options.max_size}")
    lines += ["missingok", "notifempty", "compress", "delaycompress"]
    lines += _restart(app, scope) if options.restart else ["copytruncate"]
    if trust.opened_by_account(app, scope):
        account = users.get(app.user)
        lines.insert(0, f"su {account.name} {app.group or account.gid}")
    body = "".join(f"    {line}\n" for line in lines)
    return "\n".join(patterns) + " {\n" + body + "}\n"


def unsafe(app: App) -> list[str]:
    """The directories of its log files in which logrotate does not work, since others may write to them."""
    found = []
    for directory in dict.fromkeys(str(Path(path).parent) for path in _paths(app)):
        try:
            status = Path(directory).stat()
        except OSError:
            continue
        if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0):
            found.append(directory)
    return found


def _paths(app: App) -> list[str]:
    return list(dict.fromkeys(where for where in (app.log.output, app.log.error) if where.startswith("/")))


def _patterns(path: str) -> list[str]:
    """A path as logrotate reads it: quoted, its signs of patterns standing for themselves, numbers of any instance."""
    bare = path.replace("{instance}", "\0")
    if any(sign in bare for sign in '"\\{}'):
        raise SpecError(f"the log file {path!r} cannot be named to logrotate", hint='Rename it, without " \\ { }.')
    plain = re.sub(r"([*?\[])", r"[\1]", bare)
    counts = (1, 2, 3) if "\0" in plain else (0,)
    return [f'"{plain.replace(chr(0), _DIGIT * count)}"' for count in counts]


def _restart(app: App, scope: Scope) -> list[str]:
    systemctl = f"systemctl --{scope.value}"
    units = f"{names.PREFIX}{app.name}@{_DIGIT}*.service"
    return [
        "sharedscripts",
        "postrotate",
        f"    {systemctl} list-units --plain --no-legend '{units}' |",
        f'        while read -r unit _; do {systemctl} try-restart "$unit" </dev/null; done',
        "endscript",
    ]
