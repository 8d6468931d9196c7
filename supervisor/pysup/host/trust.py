"""Who besides root may change what is at a path, and opening files where somebody may be putting links meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pysup.app import App
from pysup.host import users
from pysup.unit import Scope

ANYBODY = 65534
"""Stands for many: a directory that a group, or everybody, may write to. The account ``nobody``."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def stranger(path: str | os.PathLike[str]) -> int | None:
    """The first, besides root, who may put something else at *path*, or change what is there; None if nobody may.

    What is not there yet is its directory's.
    """
    try:
        named, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))  # noqa: PTH100 (links count, too)
    except OSError:  # a link that became something else: somebody is at it right now
        return ANYBODY
    for part in dict.fromkeys((named, *named.parents, real, *real.parents)):
        try:
            found = part.lstat()
        except OSError:
            continue
        if found.st_uid != 0:
            return found.st_uid
        shared = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0)
        is_sticky_folder = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and part not in (named, real)
        if shared and not stat.S_ISLNK(found.st_mode) and not is_sticky_folder:
            return ANYBODY
    return None


def opened_by_account(app: App, scope: Scope) -> frozenset[str]:
    """The log files that the app's account is to open, and not systemd: others than root may replace them."""
    places = {where for where in (app.log.output, app.log.error) if where.startswith("/")}
    if not places or scope is Scope.USER or users.is_root(app.user):
        return frozenset()
    return frozenset(where for where in places if stranger(Path(where).parent) is not None)


def open_unlinked(path: str | os.PathLike[str], flags: int, *, mode: int = 0o644) -> int:
    """Open a file with no link anywhere on the way to it, whoever moves directories at the same time.

    Raises OSError: ELOOP for a link, ENOTDIR for one in the place of a directory.
    """
    *folders, name = Path(path).parts[1:] or ("",)
    at = os.open("/", _DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name or ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=at)
    finally:
        os.close(at)


def make_folder(path: Path, uid: int, gid: int) -> None:
    """Make a directory for an account, which may own the one above it. Raises OSError."""
    above = open_unlinked(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.mkdir(path.name, 0o755, dir_fd=above)
        made = os.open(path.name, _DIRECTORY, dir_fd=above)
        try:
            # Who owns the directory above may have put another there by now, of root's, too.
            if os.fstat(made).st_uid != os.geteuid() or os.listdir(made):  # noqa: PTH208 (a descriptor)
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            os.fchown(made, uid, gid)
        finally:
            os.close(made)
    finally:
        os.close(above)
