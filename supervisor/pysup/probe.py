"""How a ready condition is checked: commands for ``ExecStartPost=`` that need nothing of pysup's.

They run on when pysup is uninstalled, so they are the shell's own means: bash's ``/dev/tcp`` for TCP and HTTP (curl for
TLS). systemd ends them at ``TimeoutStartSec=``; they end themselves when the main process does.
"""

from __future__ import annotations

import math
import re

from pysup.app import Ready, ReadyWhen
from pysup.errors import SpecError

_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/:?#]+)(?::(\d+|\{port\}))?([/?].*)?")

_ALIVE = 'kill -0 "$MAINPID" 2>/dev/null || exit 1'
_SURVIVE = f'n=$1; while [ "$n" -gt 0 ]; do {_ALIVE}; sleep 0.1; n=$((n-1)); done; {_ALIVE}'
_TCP = f'until (exec 3<>"/dev/tcp/$1/${{2:-$PORT}}") 2>/dev/null; do {_ALIVE}; sleep 0.1; done; {_ALIVE}'
_GOOD = (
    'good() { [ $# -gt 1 ] || set -- "$1" 2?? 3??; code=$1; shift; '
    "for wanted; do case $code in $wanted) return 0;; esac; done; return 1; }"
)
_ASK_PLAIN = (
    'ask() { exec 3<>"/dev/tcp/$host/$port" || return; '
    'printf "GET %s HTTP/1.0\\r\\nHost: %s:%s\\r\\nConnection: close\\r\\n\\r\\n" "$path" "$host" "$port" >&3; '
    'read -t 5 -r _ code _ <&3; printf "%s" "$code"; }'
)
_ASK_TLS = 'ask() { "$curl" -s -o /dev/null -m 5 -w "%{http_code}" "https://$host:$port$path"; }'
_LOOP = f'until good "$(ask 2>/dev/null)" "$@"; do {_ALIVE}; sleep 0.1; done; {_ALIVE}'


def command(ready: Ready, has_port: bool, *, curl: str) -> tuple[str, ...]:
    """The argument vector that returns 0 once the condition holds; empty when systemd itself knows."""
    match ready.when:
        case ReadyWhen.SECONDS:
            return ("/bin/sh", "-c", _SURVIVE, "ready", str(math.ceil(ready.seconds * 10)))
        case ReadyWhen.TCP:
            return ("/bin/bash", "-c", _TCP, "ready", ready.host, str(ready.port or ""))
        case ReadyWhen.HTTP:
            return _http(ready, has_port, curl)
        case _:
            return ()


def _http(ready: Ready, has_port: bool, curl: str) -> tuple[str, ...]:
    found = _URL.fullmatch(ready.url)
    if not found:
        raise SpecError(f"ready.url is {ready.url!r}, not a URL of a host", hint="Write http://127.0.0.1:{port}/path.")
    scheme, host, port, path = found.groups()
    if port == "{port}":
        port = str(ready.port or "")
    elif port is None:
        port = "443" if scheme == "https" else "80"
    if not port and not has_port:
        raise SpecError(f"ready.url is {ready.url!r}, but there is no port", hint="Give the app a base port.")
    if scheme == "https" and not curl:
        raise SpecError(f"ready.url is {ready.url!r}: https needs curl", hint="apt install curl")
    setting = "host=$1 port=${2:-$PORT} path=$3 curl=$4; shift 4"
    script = "; ".join([setting, _GOOD, _ASK_TLS if scheme == "https" else _ASK_PLAIN, _LOOP])
    host = host.strip("[]") if scheme == "http" else host
    return ("/bin/bash", "-c", script, "ready", host, port, path or "/", curl, *map(str, ready.statuses))
