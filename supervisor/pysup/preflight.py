"""What can be known to be wrong before anything is written: files, accounts and directories that are not there."""

from __future__ import annotations

import os
from pathlib import Path

from pysup.app import App
from pysup.errors import SpecError
from pysup.host import users
from pysup.unit import Scope


def check(app: App, scope: Scope) -> None:
    """Raise SpecError for the first thing that would keep *app* from being executed."""
    _check_accounts(app, scope)
    if not os.path.isdir(app.cwd):  # noqa: PTH112 (cheaper than a Path, and this is on the start path)
        raise SpecError(f"app {app.name!r}: cwd {app.cwd!r} is not a directory", hint="Create it, or name another.")
    _check_program(app)
    for file in app.env_files:
        if not Path(file).is_file():
            raise SpecError(f"app {app.name!r}: env file {file!r} is not there", hint="Check the path.")
        if any(char in file for char in "*?["):
            raise SpecError(f"app {app.name!r}: env file {file!r} would be a pattern", hint="Rename it without * ? [.")
    for where in (app.log.output, app.log.error):
        if where.startswith("/") and not Path(where).parent.is_dir():
            raise SpecError(
                f"app {app.name!r}: there is no directory for the log file {where!r}",
                hint=f"mkdir -p {Path(where).parent}",
            )


def _check_accounts(app: App, scope: Scope) -> None:
    if (app.user or app.group) and scope is Scope.USER:
        raise SpecError(
            f"app {app.name!r}: user and group can be chosen for the machine's apps only",
            hint="Your own apps run as yourself. As root: sudo pysup start … --uid NAME",
        )
    if app.user:
        users.get(app.user)
    if app.group:
        users.get_group_id(app.group)


def _check_program(app: App) -> None:
    program = app.argv[0]
    if not os.path.exists(program):  # noqa: PTH110
        raise SpecError(f"app {app.name!r}: {program!r} is not there", hint="Check the path of the program.")
    if os.path.isdir(program) or not os.access(program, os.X_OK):  # noqa: PTH112
        raise SpecError(f"app {app.name!r}: {program!r} is not executable", hint=f"chmod +x {program}")
