"""Accounts: who exists, where their home is, and whether their manager may run without a session."""

from __future__ import annotations

import grp
import os
import pwd
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pysup.errors import SpecError
from pysup.unit import Scope


class Account(NamedTuple):
    """A line of the user database."""

    name: str
    uid: int
    gid: int
    home: str


def find(user: str) -> Account | None:
    """The account of a name or a number, or None."""
    try:
        found = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError, ValueError):
        return None
    return Account(name=found.pw_name, uid=found.pw_uid, gid=found.pw_gid, home=found.pw_dir)


def home(scope: Scope, account: str) -> dict[str, str]:
    """HOME and USER of the caller where systemd sets none: in the machine's manager, for apps without an account."""
    own = find(str(os.geteuid())) if scope is Scope.SYSTEM and not account else None
    return {"HOME": own.home, "USER": own.name} if own else {}


def group_of(uid: int) -> int:
    """The group of an account by its number; one of the same number if there is none."""
    account = find(str(uid))
    return account.gid if account else uid


def is_root(user: str) -> bool:
    """Whether an app with this account, or without one, runs as root in the machine's manager."""
    account = find(user) if user else None
    return not user or (account is not None and account.uid == 0)


def exists(user: str) -> bool:
    """Whether there is such an account, by name or number."""
    return find(user) is not None


def get(user: str) -> Account:
    """The account of a name or a number; raises SpecError with the way to make one."""
    found = find(user)
    if found is None:
        like = _like(user, [entry.pw_name for entry in pwd.getpwall()])
        raise SpecError(
            f"user {user!r} does not exist",
            hint=f"{like}To make it, type as root: useradd --system --create-home {user}",
        )
    return found


def group_id(group: str) -> int | None:
    """The number of a group, by name or number, or None if there is none."""
    try:
        return (grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)).gr_gid
    except (KeyError, OverflowError, ValueError):
        return None


def get_group_id(group: str) -> int:
    """The number of a group; raises SpecError with the way to make one."""
    found = group_id(group)
    if found is None:
        like = _like(group, [entry.gr_name for entry in grp.getgrall()])
        raise SpecError(
            f"group {group!r} does not exist", hint=f"{like}To make it, type as root: groupadd --system {group}"
        )
    return found


def stopped_at(account: Account, path: str, *, group: int | None = None) -> str:
    """The first directory on the way to a program, or that itself, which an account may not execute; empty if it may.

    What has an access control list is taken to be open, and what cannot be looked at: it may be.
    """
    groups = {*os.getgrouplist(account.name, account.gid), group}
    for end in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):  # noqa: PTH100 (links count, too)
        for part in (*reversed(Path(end).parents), Path(end)):
            try:
                found = part.stat()
                has_list = "system.posix_acl_access" in os.listxattr(part)
            except OSError:
                continue
            shift = 6 if found.st_uid == account.uid else 3 if found.st_gid in groups else 0
            if not (has_list or found.st_mode >> shift & 1):
                return str(part)
    return ""


@cache
def name(uid: int) -> str:
    """The name of a user's number, or the number itself if nobody has it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def lingering(user: str, *, root: Path = Path("/")) -> bool:
    """Whether the user's manager runs from boot on, without a login: ``loginctl enable-linger``."""
    return os.path.exists(f"{root}/var/lib/systemd/linger/{user}")  # noqa: PTH110 - on the path of every command


def _like(wanted: str, known: list[str]) -> str:
    from difflib import get_close_matches  # an error's cost, not every command's

    found = get_close_matches(wanted, known, n=1)
    return f"Did you mean {found[0]!r}? " if found else ""
