"""The calls of org.freedesktop.login1 that pysup makes; source: org.freedesktop.login1(5)."""

from __future__ import annotations

from pysup.bus.call import Call

LOGIN = "org.freedesktop.login1"


def set_user_linger(uid: int, *, enable: bool) -> Call:
    """Have a user's manager run from boot on, without a login, or no longer; asks nobody for a password."""
    return Call("SetUserLinger", "ubb", (uid, enable, False), "/org/freedesktop/login1", f"{LOGIN}.Manager", LOGIN)
