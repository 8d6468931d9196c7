"""Ready and Watchdog: when an instance counts as started, and when as dead though its process is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pysup import check
from pysup.errors import SpecError
from pysup.listen import Listen

_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/:?#]+)(?::(\d+|\{port\}))?([/?].*)?")
_USUAL_PORT = {"http": 80, "https": 443}


class Asked(NamedTuple):
    """Where a question goes: ``port`` None is the instance's own, be it its PORT or its share of a socket.

    ``is_usual`` if the port was not named, but follows from the URL's scheme, which is empty for bare TCP.
    """

    host: str
    port: int | None
    scheme: str = ""
    path: str = ""
    is_usual: bool = False

    @property
    def is_here(self) -> bool:
        """Whether the host is this machine, by any name that needs no looking up."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an instance is asked, where one is: by TCP to accept a connection, or by HTTP to answer a GET.

    ``port`` None means the instance's own. In ``url``, ``{port}`` stands for that port. ``statuses`` are the HTTP
    status codes that count; empty means 200 to 399.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    url: str = ""
    statuses: tuple[int, ...] = ()

    def check(self, name: str, *, is_http: bool) -> None:
        """Raise SpecError for what cannot be asked."""
        object.__setattr__(self, "statuses", tuple(self.statuses))
        check.line(self.host, f"{name}.host")
        if self.port is not None:
            check.port(self.port, f"{name}.port")
        if is_http:
            check.http_url(self.url, f"{name}.url")
            self.asked(name, is_http=True)
        for status in self.statuses:
            check.between(status, 100, 599, f"{name}.statuses")

    def asked(self, name: str, *, is_http: bool) -> Asked:
        """The URL taken apart, or the address."""
        if not is_http:
            return Asked(host=self.host, port=self.port)
        found = _URL.fullmatch(self.url)
        if not found:
            raise SpecError(
                f"{name}.url is {self.url!r}, not a URL of a host", hint="Write http://127.0.0.1:{port}/path."
            )
        scheme, host, port, path = found.groups()
        number = self.port if port == "{port}" else int(port or _USUAL_PORT[scheme])
        return Asked(host=host.strip("[]"), port=number, scheme=scheme, path=_path(path), is_usual=port is None)


def _path(text: str | None) -> str:
    path = (text or "/").partition("#")[0]
    return path if path.startswith("/") else f"/{path}"


def door(asked: Asked, listen: Sequence[Listen], port: int | None) -> Listen | None:
    """The address that a question means, among those that instances share, where a sibling might answer; or None."""
    if asked.port is None:
        return listen[0] if listen and port is None else None
    found = [one for one in listen if one.port == asked.port]
    # http://localhost/health, and no port 80: what it listens on is meant, maybe a unix socket
    return next(iter(found or (listen if asked.is_usual and asked.is_here else ())), None)


def doors(app: str, questions: Mapping[str, Asked | None], listen: Sequence[Listen], port: int | None) -> list[Listen]:
    """The shared addresses that an app's questions mean; SpecError if they are several, or there is none to ask."""
    found = []
    for name, asked in questions.items():
        if asked and asked.port is None and port is None and not listen:
            raise SpecError(
                f"app {app!r}: {name} is {asked.scheme or 'tcp'}, but there is no port to ask",
                hint=f"Give the app a base port, or name the port in what {name} asks.",
            )
        if asked and (meant := door(asked, listen, port)):
            found.append(meant)
    if len(found) > 1 and found[0] != found[1]:
        raise SpecError(
            f"app {app!r}: ready and watchdog ask at {found[0].address} and {found[1].address}",
            hint="Have them ask at the same one: each instance has one socket of its own for questions.",
        )
    return found


class ReadyWhen(StrEnum):
    """What makes an instance count as started; ``send`` is Node's ``process.send('ready')``, PM2's ``wait_ready``."""

    EXEC = "exec"
    NOTIFY = "notify"
    SEND = "send"
    TCP = "tcp"
    HTTP = "http"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Question):
    """The condition under which an instance is ``active``, and how long it may take.

    ``seconds`` is how long it must survive, for that condition; ``timeout`` how long any may take.
    """

    when: ReadyWhen = ReadyWhen.EXEC
    seconds: float = 0.5
    timeout: float = 90.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", check.choice(ReadyWhen, self.when, "ready"))
        check.positive(self.timeout, "ready.timeout")
        check.positive(self.seconds, "ready.seconds")
        self.check("ready", is_http=self.when is ReadyWhen.HTTP)

    @property
    def is_told(self) -> bool:
        """Whether the program says so itself."""
        return self.when in (ReadyWhen.NOTIFY, ReadyWhen.SEND)

    @property
    def question(self) -> Asked | None:
        """Whom to ask whether it is ready; None where nobody is."""
        asks = self.when in (ReadyWhen.TCP, ReadyWhen.HTTP)
        return self.asked("ready", is_http=self.when is ReadyWhen.HTTP) if asks else None


class WatchdogWhen(StrEnum):
    """How an instance shows that it lives: it tells systemd (sd_notify), or it is asked."""

    NOTIFY = "notify"
    TCP = "tcp"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog(Question):
    """An instance that does not show that it lives is ended, and started again as its restart policy says.

    ``interval`` is within what time it must tell systemd so, or how long is waited between two questions. An answer has
    ``timeout`` seconds; after ``failures`` in a row it counts as dead.
    """

    when: WatchdogWhen = WatchdogWhen.NOTIFY
    interval: float = 10.0
    timeout: float = 5.0
    failures: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", check.choice(WatchdogWhen, self.when, "watchdog"))
        check.positive(self.interval, "watchdog.interval")
        check.positive(self.timeout, "watchdog.timeout")
        check.between(self.failures, 1, 1000, "watchdog.failures")
        self.check("watchdog", is_http=self.when is WatchdogWhen.HTTP)

    @property
    def question(self) -> Asked | None:
        """Whom to ask whether it lives; None where it tells so itself."""
        asks = self.when is not WatchdogWhen.NOTIFY
        return self.asked("watchdog", is_http=self.when is WatchdogWhen.HTTP) if asks else None
