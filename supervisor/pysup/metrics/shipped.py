"""Units that pysup ships in ``units/``: put where systemd finds them for good, turned on, and taken away again."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pysup import disk
from pysup.errors import JobFailed, PysupError
from pysup.host import ground
from pysup.render import File
from pysup.unit import Scope
from pysup.unitfile import command_line, specifier

_HERE = Path(__file__).resolve().parents[1]
_HOMES = ("/home/", "/root/", "/run/user/")
_TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108 (where a checkout may be)
_NOBODY = "daemon"  # not DynamicUser=: dbus-daemon closes connections of accounts that it does not know
_KINDS = (".service", ".socket", ".timer")


def text(name: str, **values: str) -> str:
    """A unit of ours with its ``@NAMES@`` replaced."""
    places = (_HERE / "units", _HERE.parents[1] / "units")  # as installed, and as in a checkout
    found = next(place for place in places if place.is_dir()) / name
    template = found.read_text(encoding="utf-8")
    for key, value in values.items():
        template = template.replace(f"@{key.upper()}@", value)
    return template


def command(*words: str) -> str:
    """What has this Python run a part of this package, as a unit says it."""
    return command_line((sys.executable, "-P", "-m", *words))


def sandbox(scope: Scope, *, writes: str = "") -> str:
    """A drop-in for services of the machine's manager that run our Python; empty for a user's.

    They are nobody's, unless Python or pysup lies where only root can read; or what they write would be nobody's.
    """
    if scope is Scope.USER:
        return ""
    places = [Path(sys.executable), Path(sys.executable).resolve(), _HERE]
    is_at_home = any(str(place).startswith(_HOMES) for place in places)
    is_temporary = any(str(place).startswith(_TEMPORARY) for place in places)
    conf = text(
        "sandbox.conf",
        homes="read-only" if is_at_home or writes else "yes",
        tmp="no" if is_temporary or writes else "yes",
    )
    if writes:  # maybe in a directory of somebody else's
        return conf + f'ReadWritePaths="{specifier(writes)}"\nCapabilityBoundingSet=CAP_DAC_OVERRIDE\n'
    return conf + f"User={_NOBODY}\n" if all(map(_is_open, places)) else conf


def _is_open(path: Path) -> bool:
    """Whether everybody may reach and read it."""
    reached = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
    return reached and bool(path.stat().st_mode & stat.S_IROTH)


def turn_on(scope: Scope, files: Mapping[str, str], start: str) -> None:
    """Put units in place of what they were, and have *start* run now and at each boot.

    Raises NotPermitted, StoreError, or JobFailed if systemd refuses; then they are as they were.
    """
    ground.require_rights(scope)
    place = ground.saved_dir(scope)
    before = {name: disk.read(place / name) or "" for name in files}
    turn_off(scope, list(files))
    try:
        _put(scope, files, start)
    except PysupError:
        turn_off(scope, list(files))
        if any(before.values()):
            _put(scope, before, start)
        raise


def _put(scope: Scope, files: Mapping[str, str], start: str) -> None:
    place = ground.saved_dir(scope)
    with disk.writing(place):
        for name, content in files.items():
            if content:
                (place / name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                disk.replace((place / name).parent, Path(name).name, File(content))
    _systemctl(scope, "daemon-reload")
    _systemctl(scope, "enable", "--now", start)


def turn_off(scope: Scope, files: Sequence[str]) -> bool:
    """Stop units and take their files away; whether there were any."""
    ground.require_rights(scope)
    place = ground.saved_dir(scope)
    units = [name for name in files if name.endswith(_KINDS) and (place / name).exists()]
    if units:
        _systemctl(scope, "disable", "--now", *units)
        with disk.writing(place):
            for name in files:
                disk.unlink(place / name)
        _systemctl(scope, "daemon-reload")
        with contextlib.suppress(JobFailed):  # systemd knows only those that have failed any more
            _systemctl(scope, "reset-failed", *units)
    return bool(units)


def _systemctl(scope: Scope, *words: str) -> None:
    """It waits for the jobs. Raises JobFailed with what it says."""
    environment = dict(os.environ)
    if scope is Scope.USER:
        environment["XDG_RUNTIME_DIR"] = str(ground.user_runtime_dir())
    command = ["systemctl", f"--{scope.value}", "--quiet", "--no-ask-password", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobFailed(f"systemctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")
