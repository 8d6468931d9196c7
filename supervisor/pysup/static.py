"""A directory -> the app that serves it: nginx, told all by its command line, on a socket that systemd holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pysup import check
from pysup.app import App
from pysup.errors import SpecError
from pysup.listen import Listen

AUTH = "BASIC_AUTH"
"""The variable that holds ``user:password``; the environment of apps is for their owner only."""

TYPES = "/etc/nginx/mime.types"

# nginx wants a directory for what it puts aside; the password is there, too, and in no file that others may read.
# It takes the socket as it does from its own predecessor.
_SCRIPT = """umask 077
cd "$RUNTIME_DIRECTORY" || exit 1
: >auth
[ -z "$2" ] || chown "$2" auth || exit 1
[ -z "$BASIC_AUTH" ] || printf '%s:{PLAIN}%s\\n' "${BASIC_AUTH%%:*}" "${BASIC_AUTH#*:}" >auth || exit 1
printf '%s' "$1" >nginx.conf || exit 1
unset BASIC_AUTH
NGINX='3;' exec "$0" -e stderr -p "$PWD" -c nginx.conf"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is served, and how.

    ``spa`` answers with index.html what is no file; ``listing`` shows directories without one; ``auth`` is
    ``user:password``; ``cross_origin`` lets pages of other origins read it, as in PM2. ``account`` is who nginx's
    workers run as when it is the machine's, and root starts them.
    """

    name: str
    directory: str
    listen: Listen
    spa: bool = False
    listing: bool = False
    auth: str = ""
    cross_origin: bool = False
    account: str = ""

    def __post_init__(self) -> None:
        check.path(self.directory, "directory")
        if any(char in self.directory for char in '"\\$'):
            raise SpecError(f"directory is {self.directory!r}", hint='nginx can serve none with " \\ or $ in its path.')
        if self.auth and (not all(self.auth.partition(":")) or "\n" in self.auth):
            raise SpecError("basic auth is not user:password", hint="Write both on one line, with a colon between.")


def app(site: Site, nginx: str, env: dict[str, str]) -> App:
    """The app that serves a site with the program *nginx*."""
    return App(
        name=site.name,
        description=f"{site.directory} on {site.listen.address}",
        command=("/bin/sh", "-c", _SCRIPT, nginx, "\n".join(config(site)) + "\n", site.account),
        cwd=site.directory,
        user="root" if site.account else "",
        listen=(site.listen,),
        env={**env, AUTH: site.auth} if site.auth else env,
        stop_signal="SIGQUIT",  # requests in flight are answered
    )


def config(site: Site) -> Iterator[str]:
    """Nginx's configuration."""
    if site.account:
        yield f"user {site.account};"
    yield "daemon off; pid nginx.pid; error_log stderr warn; worker_processes 1; events { worker_connections 1024; }"
    yield f"http {{ include {TYPES}; default_type application/octet-stream; charset utf-8;"
    yield "access_log off; server_tokens off; sendfile on; tcp_nopush on; gzip on; absolute_redirect off;"
    yield " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    yield f"server {{ listen {address(site.listen)};"
    yield f'root "{site.directory}"; index index.html; disable_symlinks if_not_owner;'
    if site.auth:
        yield 'auth_basic "pysup"; auth_basic_user_file auth;'
    if site.cross_origin:
        yield 'add_header Access-Control-Allow-Origin "*" always;'
    if site.listing:
        yield "autoindex on;"
    if site.spa:
        yield "location / { try_files $uri $uri/ /index.html =404; }"
    else:
        yield "error_page 404 /404.html; location = /404.html { internal; }"
    yield r"location ~ /\. { return 404; } } }"


def address(listen: Listen) -> str:
    """Where systemd listens, in nginx's words: it must be the same, or nginx does not know the socket again."""
    if listen.address.startswith("/"):
        return f"unix:{listen.address}"
    host, _, port = listen.address.rpartition(":")
    if not host:
        return f"[::]:{port} ipv6only=off"
    return listen.address + (" ipv6only=on" if host.startswith("[") and listen.ipv6_only else "")
