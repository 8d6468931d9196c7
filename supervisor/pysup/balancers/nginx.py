"""nginx: an upstream of the instances that are served; each change is a new file and a graceful reload."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pysup.app import App
from pysup.balance import Balance, Mode
from pysup.listen import Listen

FILE = "nginx.conf"
CHECK = '"$@" -t -q -p "$RUNTIME_DIRECTORY" -c "$f"'
CHECK_INCLUDED = '"$@" -t -q'
RELOAD = "HUP"

_INDENT = "    "


def run(listens: int) -> str:
    """The script that runs it in the foreground on sockets that it inherits: the way in which nginx replaces itself."""
    descriptors = "".join(f"{number + 3};" for number in range(listens))
    return f'export NGINX="{descriptors}"; exec "$0" "$@" -p "$RUNTIME_DIRECTORY" -c {FILE}'


def config(balancer: App, balance: Balance, places: Mapping[int, str], served: Collection[int]) -> str:
    """The whole file, or what stands in somebody else's ``http`` block."""
    servers = [place for number, place in places.items() if number in served]
    lines = (_balanced if balance.include else _file)(balancer, balance, servers)
    return "\n".join(_indented(lines)) + "\n"


def _file(balancer: App, balance: Balance, servers: Collection[str]) -> Iterator[str]:
    for module in balance.modules:
        yield f"load_module {module};"
    if balance.account:
        yield f"user {balance.account};"
    yield "daemon off;"
    yield "pid nginx.pid;"
    yield "error_log stderr warn;"
    yield "worker_processes auto;"
    yield "worker_rlimit_nofile 8192;"
    yield "events {"
    yield "worker_connections 4000;"
    yield "}"
    yield from (_http if balance.mode is Mode.HTTP else _stream)(balancer, balance, servers)


def _http(balancer: App, balance: Balance, servers: Collection[str]) -> Iterator[str]:
    yield "http {"
    yield "access_log off;"
    yield "server_tokens off;"
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        yield f"{kind}_temp_path {kind};"
    yield from _balanced(balancer, balance, servers)
    yield "}"


def _balanced(balancer: App, balance: Balance, servers: Collection[str]) -> Iterator[str]:
    name = _variable(balance)
    if balance.sticky:
        yield from _cookie_maps(name)
    yield from _upstream(balance, servers, hashed=f"${name}_key")
    yield "server {"
    yield from _listen(balancer, balance)
    yield "client_max_body_size 0;"
    if balance.sticky:
        yield f"add_header Set-Cookie ${name}_new;"
    yield "error_page 418 = @upgrade;"
    yield "location / {"
    yield "if ($http_upgrade) {"
    yield "return 418;"
    yield "}"
    yield from _proxied(balance, balance.patience)
    yield 'proxy_set_header Connection "";'
    yield "}"
    yield "location @upgrade {"
    yield from _proxied(balance, max(balance.patience, 3600))
    yield "proxy_set_header Upgrade $http_upgrade;"
    yield "proxy_set_header Connection upgrade;"
    yield "}"
    yield "}"


def _variable(balance: Balance) -> str:
    return "pysup_" + re.sub(r"[^A-Za-z0-9_]", "_", balance.app)


def _proxied(balance: Balance, patience: float) -> Iterator[str]:
    yield f"proxy_pass http://{balance.backend};"
    yield "proxy_http_version 1.1;"
    yield "proxy_set_header Host $http_host;"
    yield "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    yield "proxy_set_header X-Forwarded-Proto $scheme;"
    yield "proxy_connect_timeout 5s;"
    yield f"proxy_read_timeout {_time(patience)};"
    yield f"proxy_send_timeout {_time(patience)};"
    yield "proxy_next_upstream error timeout;"


def _cookie_maps(name: str) -> Iterator[str]:
    """A client without the cookie gets one, and is dealt by what it holds."""
    yield f"map $cookie_{name} ${name}_key {{"
    yield '"" $request_id;'
    yield f"default $cookie_{name};"
    yield "}"
    yield f"map $cookie_{name} ${name}_new {{"
    yield f'"" "{name}=$request_id; Path=/; HttpOnly; SameSite=Lax";'
    yield 'default "";'
    yield "}"


def _stream(balancer: App, balance: Balance, servers: Collection[str]) -> Iterator[str]:
    yield "stream {"
    yield from _upstream(balance, servers, hashed="$remote_addr")
    yield "server {"
    yield from _listen(balancer, balance)
    yield f"proxy_pass {balance.app};"
    yield "proxy_connect_timeout 5s;"
    yield f"proxy_timeout {_time(balance.patience)};"
    yield "}"
    yield "}"


def _upstream(balance: Balance, servers: Collection[str], hashed: str) -> Iterator[str]:
    yield f"upstream {balance.backend} {{"
    yield f"zone {balance.backend} 256k;"
    if balance.sticky:
        yield f"hash {hashed} consistent;"
    elif balance.mode is Mode.TCP:
        yield "least_conn;"
    addresses = [f"unix:{server}" if server.startswith("/") else server for server in servers]
    # A server that failed is left out for a while; when that has come to all of them, all are tried.
    rests = len(addresses) > 1 and not balance.sticky  # backup servers go with no hash
    for address in addresses:
        yield f"server {address} {'max_fails=3 fail_timeout=2s' if rests else 'max_fails=0'};"
    for address in addresses if rests else ():
        yield f"server {address} max_fails=0 backup;"
    if balance.mode is Mode.HTTP:
        yield "keepalive 32;"
    yield "}"


def _listen(balancer: App, balance: Balance) -> Iterator[str]:
    for listen in balancer.listen:
        yield f"listen {_address(listen, ipv6=balance.ipv6)};"
    for bind in balance.binds:
        yield f"listen {bind};"
        if bind.isdecimal() and balance.ipv6:
            yield f"listen [::]:{bind};"


def _address(listen: Listen, *, ipv6: bool) -> str:
    """The address as nginx must write it to find it among the sockets that it inherits."""
    if listen.address.isdecimal() and ipv6:
        return f"[::]:{listen.address} ipv6only={'on' if listen.ipv6_only else 'off'}"
    return listen.address


def _time(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    depth = 0
    for line in lines:
        depth -= line.startswith("}")
        yield _INDENT * depth + line
        depth += line.endswith("{")
