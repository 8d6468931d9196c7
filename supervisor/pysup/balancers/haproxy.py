"""HAProxy: a server line for each instance, and some in reserve; states change by its runtime API."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from pysup.app import App
from pysup.balance import Balance, Mode

FILE = "haproxy.cfg"
CHECK = '"$@" -c -q -f "$f"'
CHECK_INCLUDED = '"$@" -c -q -f /etc/haproxy/haproxy.cfg -f "$p"'
RELOAD = "USR2"
SOCKET = "api"
"""The runtime API's socket, in the runtime directory."""


def run(listens: int) -> str:
    """The script that runs it, in master-worker mode, on sockets that it inherits."""
    binds = " ".join(f"PYSUP_BIND_{number}=fd@{number + 3}" for number in range(listens))
    return f'export {binds}; exec "$0" "$@" -Ws -f "$RUNTIME_DIRECTORY/{FILE}"'


def server(balance: Balance, number: int) -> str:
    """What the server of an instance is called."""
    return f"{balance.app}-{number}"


def config(balancer: App, balance: Balance, places: Mapping[int, str], served: Collection[int]) -> str:
    """The whole file; or a part of one, which has nobody else's defaults to lean on, and must not set them."""
    if balance.include:
        places = {number: place for number, place in places.items() if number in served}
        own = (f"mode {balance.mode.value}", f"timeout client {_time(balance.patience)}")
        sections: tuple[Iterable[str], ...] = (
            (*_frontend(balancer, balance), *own),
            (*_backend(balance, places, served), *_trying(balance)),
        )
    else:
        sections = (
            _global(balancer, balance),
            _defaults(balance),
            _frontend(balancer, balance),
            _backend(balance, places, served),
        )
    return "\n".join("\n    ".join(lines) + "\n" for lines in sections)


def _global(balancer: App, balance: Balance) -> Iterator[str]:
    yield "global"
    for number, listen in enumerate(balancer.listen):
        address = f"[::]:{listen.address}" if listen.address.isdecimal() else listen.address
        yield f"presetenv PYSUP_BIND_{number} {address}  # systemd listens, and says fd@{number + 3}"
    yield "presetenv RUNTIME_DIRECTORY ."
    if balance.account:
        yield f"user {balance.account}"
    yield f'stats socket "${{RUNTIME_DIRECTORY}}/{SOCKET}" mode 600 level admin'


def _defaults(balance: Balance) -> Iterator[str]:
    yield "defaults"
    yield f"timeout client {_time(balance.patience)}"
    if balance.mode is Mode.HTTP:
        yield "timeout http-request 30s"
        yield "timeout http-keep-alive 60s"
    yield from _trying(balance)


def _trying(balance: Balance) -> Iterator[str]:
    """How long is waited for instances, and what is tried again."""
    is_here = balance.host == "localhost" or balance.host.startswith(("127.", "::1"))
    yield f"mode {balance.mode.value}"
    yield f"timeout connect {'100ms' if is_here else '2s'}  # also the pause before it is tried again"
    yield "timeout queue 30s"
    yield f"timeout server {_time(balance.patience)}"
    yield f"retries {30 if is_here else 3}"
    yield "option redispatch 1"
    if balance.mode is Mode.HTTP:
        yield "timeout tunnel 1h  # WebSockets"
        yield "option forwardfor"
        yield "retry-on conn-failure empty-response"


def _frontend(balancer: App, balance: Balance) -> Iterator[str]:
    yield f"frontend {balancer.name}"
    for number, _ in enumerate(balancer.listen):
        yield f'bind "${{PYSUP_BIND_{number}}}"'
    for bind in balance.binds:
        yield f"bind {_bind(bind, ipv6=balance.ipv6)}"
    if balance.mode is Mode.HTTP:
        yield "http-request set-header X-Forwarded-Proto http"
    yield f"default_backend {balance.backend}"


def _backend(balance: Balance, places: Mapping[int, str], served: Collection[int]) -> Iterator[str]:
    yield f"backend {balance.backend}"
    yield from _dealing(balance)
    if balance.mode is Mode.HTTP:
        yield "http-request disable-l7-retry unless METH_GET  # what may not be done twice is not tried twice"
    if balance.health:
        yield f"option httpchk GET {balance.health}"
    # What clients meet has checks come at once; these alone take a server down, for all clients meet the same stall.
    yield (
        "default-server check inter 1s fastinter 500ms downinter 250ms rise 1 fall 3"
        " observe layer4 error-limit 5 on-error fastinter"
    )
    for number, address in places.items():
        name = server(balance, number)
        cookie = f" cookie {name}" if balance.sticky and balance.mode is Mode.HTTP else ""
        yield f"server {name} {address}{cookie}{'' if number in served else ' disabled'}"


def _bind(address: str, *, ipv6: bool) -> str:
    if not address.isdecimal():
        return address
    return f"[::]:{address} v4v6" if ipv6 else f"*:{address}"


def _dealing(balance: Balance) -> Iterator[str]:
    if balance.mode is Mode.HTTP:
        yield "balance roundrobin"
        if balance.sticky:
            yield f"cookie pysup_{balance.app} insert indirect nocache httponly attr SameSite=Lax"
    elif balance.sticky:
        yield "balance source"
        yield "hash-type consistent"
    else:
        yield "balance leastconn"


def _time(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
