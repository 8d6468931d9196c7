"""Balance: what makes an app the balancer of another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pysup import check
from pysup.errors import SpecError
from pysup.listen import Listen

HTTP_TIMEOUT, TCP_TIMEOUT = 60.0, 3600.0

_PATH = re.compile(r"/[A-Za-z0-9._~/?&=%:@+,-]*")
_FILE = re.compile(r"/[A-Za-z0-9_./@+-]+")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")


class Program(StrEnum):
    """What balances."""

    HAPROXY = "haproxy"
    NGINX = "nginx"


class Mode(StrEnum):
    """What is balanced: requests, or connections whatever is in them."""

    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Before which app it stands, and how it deals out.

    ``argv`` is the program as it is on this machine; ``modules`` are what nginx loads; ``account`` is what the workers
    of a balancer that root starts run as. ``host`` is where the app's instances listen. ``sticky`` sends a client to
    the instance that it had: by a cookie, or with ``tcp`` by its address. ``health`` is a path that HAProxy asks for
    again and again; empty: it connects. ``timeout`` is how long an instance may be silent, in seconds; None is usual.

    With ``include`` nothing is run: that file becomes a part of the machine's own server, which listens on ``binds``;
    with ``overwrite`` even if it is there already and somebody else's.
    """

    app: str
    program: Program
    argv: tuple[str, ...]
    modules: tuple[str, ...] = ()
    account: str = ""
    mode: Mode = Mode.HTTP
    host: str = "127.0.0.1"
    sticky: bool = False
    health: str = ""
    timeout: float | None = None
    ipv6: bool = True
    include: str = ""
    overwrite: bool = False
    binds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "argv", tuple(self.argv))
        object.__setattr__(self, "modules", tuple(self.modules))
        object.__setattr__(self, "binds", tuple(self.binds))
        object.__setattr__(self, "program", check.choice(Program, self.program, "balance.program"))
        object.__setattr__(self, "mode", check.choice(Mode, self.mode, "balance.mode"))
        check.app_name(self.app, "balance.app")
        check.account(self.account, "balance.account")
        check.path(self.argv[0] if self.argv else "", "balance.argv")
        for path in (*self.modules, *(bind for bind in self.binds if bind.startswith("/"))):
            if not _FILE.fullmatch(path):
                raise SpecError(f"balance has the path {path!r}", hint="It must be absolute, and without blanks.")
        if self.timeout is not None:
            check.positive(self.timeout, "balance.timeout")
        if not _HOST.fullmatch(self.host):
            raise SpecError(f"balance.host is {self.host!r}", hint="Write an address such as 127.0.0.1, or a name.")
        self._check_health()
        self._check_include()

    @property
    def backend(self) -> str:
        """What the instances together are called in the configuration."""
        return f"pysup-{self.app}" if self.include else self.app

    @property
    def patience(self) -> float:
        """How long an instance may be silent, in seconds."""
        return self.timeout or (HTTP_TIMEOUT if self.mode is Mode.HTTP else TCP_TIMEOUT)

    def check_app(self, name: str, instances: object, listen: Sequence[Listen], *, spread: bool) -> None:
        """Raise SpecError unless an app that is like this can be a balancer."""
        if instances != 1:
            raise SpecError(f"app {name!r} is a balancer: instances is {instances}", hint="One is enough.")
        if self.include:
            if listen:
                raise SpecError(f"app {name!r} is a part of {self.program}, which listens itself", hint="Drop listen.")
            return
        if not listen or spread:
            raise SpecError(f"app {name!r} is a balancer: it must listen", hint="Add listen=9000, without spread.")
        if self.program is Program.NGINX and any(one.port is None for one in listen):
            raise SpecError(
                f"app {name!r}: nginx would remove the unix socket that it listens on when it ends",
                hint="Listen on a port, or take HAProxy.",
            )

    def _check_health(self) -> None:
        if not self.health:
            return
        if not _PATH.fullmatch(self.health):
            raise SpecError(f"balance.health is {self.health!r}, not a path", hint="Write it like /health.")
        if self.program is Program.NGINX:
            raise SpecError(
                "nginx does not ask instances for their health",
                hint="It notices failed requests; HAProxy asks: --with haproxy.",
            )

    def _check_include(self) -> None:
        if not self.include:
            return
        check.path(self.include, "balance.include")
        for bind in self.binds:
            Listen(address=bind)
        if not self.binds:
            raise SpecError("balance.include is given, but no address to listen on", hint="Add balance.binds.")
        if self.program is Program.NGINX and self.mode is Mode.TCP:
            raise SpecError(
                "nginx includes files in its http block, where TCP cannot be balanced",
                hint="Take HAProxy, or run nginx apart: without --include.",
            )
