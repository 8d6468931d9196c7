"""Listen: an address that systemd listens on for an app, so that its socket outlives every process."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pysup import check
from pysup.errors import SpecError

NAME = re.compile(r"[A-Za-z0-9_]{1,32}")

_HOST_PORT = re.compile(r"(?:(\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """An address: ``8080``, ``127.0.0.1:8080``, ``[::]:8080`` or the absolute path of a unix socket.

    ``name`` is what programs find it by in ``LISTEN_FDNAMES``; the port, or the file's name, unless given. ``mode``,
    ``owner`` and ``group`` are of a unix socket's file. ``backlog`` is how many connections may wait to be accepted.
    With ``reuse_port`` other programs of the same user may listen there, too.
    """

    address: str
    name: str = ""
    mode: int | None = None
    owner: str = ""
    group: str = ""
    backlog: int | None = None
    no_delay: bool = False
    keep_alive: bool = False
    ipv6_only: bool = False
    reuse_port: bool = False

    def __post_init__(self) -> None:
        if self.address.startswith("/"):
            check.path(self.address, "listen")
            if len(self.address.encode()) > 107:
                raise SpecError(f"listen has the path {self.address!r}", hint="A socket's path has at most 107 bytes.")
        else:
            self._check_host_port()
        if not self.name:
            object.__setattr__(self, "name", self._usual_name())
        if not NAME.fullmatch(self.name):
            raise SpecError(f"listen has the name {self.name!r}", hint="Use 1 to 32 of A-Z a-z 0-9 _.")
        check.account(self.owner, "listen.owner")
        check.account(self.group, "listen.group")
        if self.mode is not None:
            check.between(self.mode, 0, 0o777, "listen.mode")
        if self.backlog is not None:
            check.between(self.backlog, 1, 2**31 - 1, "listen.backlog")
        if self.port is not None and (self.mode is not None or self.owner or self.group):
            raise SpecError(f"listen {self.address!r} has no file", hint="mode, owner and group are for unix sockets.")

    @property
    def key(self) -> str:
        """What its unit is called by: the address, behind the name where that is not the usual one."""
        plain = self.address.strip("/").replace("/", "-").replace("[", "").replace("]", "")
        address = re.sub(r"[^A-Za-z0-9:_.-]", "_", plain)
        return address if self.name == self._usual_name() else f"{self.name}:{address}"

    def excludes(self, other: Listen) -> bool:
        """Whether one cannot be opened while the other is: the kernel gives an address to one socket at a time."""
        if self.port is None or other.port is None:
            return self.address == other.address
        hosts = {self._host(), other._host()}
        return self.port == other.port and (len(hosts) == 1 or bool(hosts & {"", "[::]", "0.0.0.0"}))  # noqa: S104

    @property
    def port(self) -> int | None:
        """The TCP port; None for a unix socket."""
        return None if self.address.startswith("/") else int(self.address.rpartition(":")[2])

    def _host(self) -> str:
        return self.address.rpartition(":")[0]

    def _check_host_port(self) -> None:
        if not _HOST_PORT.fullmatch(self.address):
            raise SpecError(
                f"listen is {self.address!r}, not an address",
                hint="Write 8080, 127.0.0.1:8080, [::]:8080, or the absolute path of a unix socket.",
            )
        check.port(int(self.address.rpartition(":")[2]), "listen")

    def _usual_name(self) -> str:
        return str(self.port or re.sub(r"[^A-Za-z0-9_]", "_", self.address.rpartition("/")[2])[:32])


def check_distinct(app: str, listens: Sequence[Listen]) -> None:
    """Raise SpecError if two of them cannot be told apart, or would have one unit."""
    for what in ("name", "address", "key"):
        texts = [getattr(one, what) for one in listens]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            raise SpecError(f"app {app!r}: listen has the {what} {twice!r} twice", hint="Give each a name of its own.")


def check_on_demand(app: str, listens: Sequence[Listen], *, on_demand: bool, idle_timeout: float) -> None:
    """Raise SpecError unless connections can start the app, where they are to; the timeout is in seconds."""
    check.not_negative(idle_timeout, "idle_timeout")
    for name, value in (("on_demand", on_demand), ("idle_timeout", idle_timeout)):
        if value and not listens:
            raise SpecError(f"app {app!r}: {name} needs a socket that systemd holds", hint="Add listen=8080.")
    if 0 < idle_timeout < 1:
        raise SpecError(f"app {app!r}: idle_timeout is {idle_timeout:g} s", hint="It is 1s or more.")


def parse(text: str) -> Listen:
    """A Listen from ``[NAME=]ADDRESS[,OPTION…]``; the options are mode=0660, owner=, group=, backlog=N, nodelay,
    keepalive, v6only and reuseport.
    """
    head, *options = text.split(",")
    name, equals, address = head.partition("=")
    fields: dict[str, object] = {"address": address if equals else head, "name": name if equals else ""}
    for option in options:
        key, _, value = option.partition("=")
        if key not in _OPTIONS:
            raise SpecError(f"listen {text!r} has the option {key!r}", hint=f"There are: {', '.join(_OPTIONS)}.")
        field, convert = _OPTIONS[key]
        fields[field] = convert(value)
    return Listen(**fields)  # type: ignore[arg-type]


def _octal(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise SpecError(f"listen has the mode {text!r}", hint="Write it in octal, like 0660.") from None


_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "mode": ("mode", _octal),
    "owner": ("owner", str),
    "group": ("group", str),
    "backlog": ("backlog", lambda text: check.number(text, "listen.backlog")),
    "nodelay": ("no_delay", lambda _: True),
    "keepalive": ("keep_alive", lambda _: True),
    "v6only": ("ipv6_only", lambda _: True),
    "reuseport": ("reuse_port", lambda _: True),
}
