"""Whose a program is: so that what root starts need not run as root."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pysup.host import users
from pysup.isolation.account import ALLOW, Owner


def of(words: Sequence[str], cwd: str) -> Owner | None:
    """The account that owns the first file among a command's words that is not root's, or else its directory; and that.

    None if all of it is root's, or nobody's that has an account.
    """
    paths = [path for path in (os.path.join(cwd, word) for word in words) if os.path.isfile(path)]  # noqa: PTH113, PTH118
    for path in (*paths, cwd):
        try:
            uid = os.stat(path).st_uid  # noqa: PTH116 (as above: on the start path)
        except OSError:
            continue
        if uid and (account := users.find(str(uid))):
            return Owner(account.name, path)
    return None


def may_be_root() -> bool:
    """Whether the caller's environment says that what root starts may run as root, without being told each time."""
    return os.environ.get(ALLOW, "") not in ("", "0")
