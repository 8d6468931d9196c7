"""Isolation: how much of the machine a program is kept from, and what it may have all the same."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from pysup import check
from pysup.errors import SpecError

LOOPBACK = "loopback"
_NETWORKS = (LOOPBACK, "link-local", "multicast")


class Level(StrEnum):
    """How much: each level has all of the one before it. What that is stands in ``isolation.table``."""

    OFF = "off"
    BASIC = "basic"
    STRICT = "strict"
    PARANOID = "paranoid"

    @property
    def rank(self) -> int:
        """Its place among them; 0 is off."""
        return list(Level).index(self)

    @property
    def hides_homes(self) -> bool:
        """Whether nothing is seen of ``/home``, ``/root`` and ``/run/user``, and nothing may be written."""
        return self.rank >= Level.STRICT.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """A level, and exceptions from it; the rest goes with any level.

    ``writable`` and ``readable`` are paths that the level would keep from it, ``devices`` those of devices.
    ``network`` is what it may reach: everything if empty; ``off``: nothing; else networks (``10.0.0.0/8``),
    ``loopback``, ``link-local``, ``multicast``. With ``dynamic_user`` it runs as an account that is there only while
    it runs, and has directories for its state and cache. With ``bind_low_ports`` it may open ports below 1024.
    """

    level: Level = Level.OFF
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    dynamic_user: bool = False
    bind_low_ports: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", check.choice(Level, self.level, "isolate"))
        for name in ("writable", "readable", "devices", "network"):
            object.__setattr__(self, name, check.vector(getattr(self, name), f"isolate.{name}"))
        for name in ("writable", "readable", "devices"):
            for path in getattr(self, name):
                check.path(path, f"isolate.{name}")
        object.__setattr__(self, "network", () if self.network == ("on",) else self.network)
        if self.network != ("off",):
            for network in self.network:
                _check_network(network)

    @property
    def has_no_network(self) -> bool:
        """Whether it reaches nobody."""
        return self.network == ("off",)

    @property
    def is_filtered(self) -> bool:
        """Whether it reaches some, and not others."""
        return bool(self.network) and not self.has_no_network

    def check_app(self, app: str, *, account: bool, balances: bool, ports: bool, guarded: bool) -> None:
        """Raise SpecError for what does not go with the rest of an app.

        *account*: it names one; *balances*: it is a balancer; *ports*: somebody is to reach it on one of its own;
        *guarded*: it is asked at a socket that not everybody may open.
        """
        kept_from = self.writable or self.readable
        for is_wrong, what, hint in (
            (balances and self != Isolation(), "a balancer cannot be isolated", "Isolate the app that it stands for."),
            (
                self.level is Level.OFF and bool(kept_from) and not self.dynamic_user,
                "nothing is kept from it, so writable and readable mean nothing",
                "Add a level: isolate=strict.",
            ),
            (
                bool(self.devices) and not self.level.hides_homes,
                f"isolate={self.level} keeps no devices from it",
                "Leave devices out, or take isolate=strict.",
            ),
            (
                self.dynamic_user and account,
                "dynamic_user makes an account, and user or group names one",
                "Leave one of them out.",
            ),
            (
                self.dynamic_user and guarded,
                "its dynamic account could not ask at a socket with a mode",
                "Leave the mode out, or do not ask: ready=notify.",
            ),
            (
                self.has_no_network and ports,
                "network is off, so nobody could reach it on a port of its own",
                "Have systemd listen for it: listen=8080.",
            ),
        ):
            if is_wrong:
                raise SpecError(f"app {app!r}: {what}", hint=hint)


def said(isolation: Isolation) -> str:
    """What of it is not as usual, for people; empty if nothing is."""
    words = [] if isolation.level is Level.OFF else [isolation.level.value]
    for field in fields(Isolation)[1:]:
        value = getattr(isolation, field.name)
        if value:
            name = field.name.replace("_", " ")
            words.append(name if value is True else f"{name} {', '.join(value)}")
    return "; ".join(words)


def _check_network(text: str) -> None:
    import ipaddress  # few apps name networks

    if text in _NETWORKS:
        return
    if text in ("on", "off"):
        raise SpecError(f"isolate.network is {text!r} and others besides", hint=f"Write {text} alone, or leave it out.")
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SpecError(
            f"isolate.network is {text!r}",
            hint="Use on, off, loopback, link-local, multicast, or networks such as 10.0.0.0/8.",
        ) from None
