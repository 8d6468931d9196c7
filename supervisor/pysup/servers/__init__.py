"""Web servers that pysup knows: what each must be told so that it serves the sockets systemd holds, and how it stops.

Python's run behind ``launch.py``, which is written beside the units; the others have an option, a variable, or a signal
for it. A program that is none of them is left as it is: it finds ``LISTEN_FDS``, or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pysup.app import App, Ready
from pysup.errors import SpecError
from pysup.health import ReadyWhen

_FIRST = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """What to add to its command, to its environment; the signal that has it finish what it has begun; and what it is.

    One that ``waits_in_accept`` ends when a sibling was quicker and accept() finds nothing; one that ``removes_files``
    does so to its unix sockets when it ends.
    """

    option: tuple[str, ...] = ()
    environment: Callable[[App], tuple[str, str]] | None = None
    stop_signal: str = ""
    is_launched: bool = False
    is_ready_by_itself: bool = False
    waits_in_accept: bool = False
    removes_files: bool = False


def _fpm_sockets(app: App) -> tuple[str, str]:
    return "FPM_SOCKETS", f"{app.listen[0].address}={_FIRST}"


def _nginx(_: App) -> tuple[str, str]:
    return "NGINX", f"{_FIRST};"


_PYTHON = _Server(is_launched=True, is_ready_by_itself=True)
_SERVERS = {
    "gunicorn": _PYTHON,
    "uvicorn": _PYTHON,
    "hypercorn": _PYTHON,
    "puma": _Server(option=("--bind-to-activated-sockets", "only")),
    "unicorn": _Server(stop_signal="SIGQUIT"),
    "unicorn_rails": _Server(stop_signal="SIGQUIT"),
    "php-fpm": _Server(
        environment=_fpm_sockets,
        stop_signal="SIGQUIT",
        is_ready_by_itself=True,
        waits_in_accept=True,
        removes_files=True,
    ),
    "nginx": _Server(environment=_nginx, stop_signal="SIGQUIT"),
}

# Those of developers, which can only open a port of their own.
_OWN_PORT = (("php", "-S"), ("flask", "run"), ("http.server",), ("runserver",))

# The launcher under the interpreter that the script's first line names; a script of another kind as it is.
_BY_ITS_INTERPRETER = (
    'read -r line <"$1"; case $line in "#!"*python*) exec ${line#??} "$0" "$@";; '
    '*) ${NOTIFY_SOCKET:+systemd-notify --ready}; exec "$@";; esac'
)


def text() -> str:
    """What Python's servers are launched by."""
    return Path(__file__).with_name("launch.py").read_text(encoding="utf-8")


def check(app: App) -> None:
    """Raise SpecError for a program that is known not to take a socket."""
    words = [word.rpartition("/")[2] for word in app.argv[:4]]
    for signs in _OWN_PORT if app.listen else ():
        if all(sign in words for sign in signs):
            raise SpecError(
                f"app {app.name!r}: {' '.join(signs)} cannot serve a socket that systemd holds",
                hint="Use a server that can (docs/sockets.md names them), or --port: each instance then has its own.",
            )
    is_told = _known(app).environment is not None
    if is_told and (app.probed or len(app.listen) > 1):
        # systemd does not say in which order an instance inherits several
        raise SpecError(
            f"app {app.name!r}: {_program(app.argv)} can be told of one socket only"
            + (", and to be asked each instance needs another of its own" if app.probed else ""),
            hint="Listen on one address, and do not ask it: --ready notify, exec or a time such as 2s.",
        )
    files = [one.address for one in app.listen if one.port is None]
    if files and _known(app).removes_files:
        raise SpecError(
            f"app {app.name!r}: {_program(app.argv)} removes {files[0]} when an instance ends, and cuts the others off",
            hint="Have it listen on a port: --listen 127.0.0.1:9000.",
        )


def is_launched(app: App) -> bool:
    """Whether the app needs the launcher's file."""
    return bool(app.listen) and _known(app).is_launched


def argv(app: App, words: Sequence[str], file: str) -> tuple[str, ...]:
    """The app's command *words* with what its server needs to be told; *file* is the launcher."""
    known = _known(app)
    if not app.listen:
        return tuple(words)
    if known.is_launched:
        return _launched(words, file)
    return (*words, *known.option) if known.option and known.option[0] not in words else tuple(words)


def environment(app: App) -> tuple[tuple[str, str], ...]:
    """Variables that say which descriptors there are, where LISTEN_FDS is not read."""
    tell = _known(app).environment
    return (tell(app),) if app.listen and tell else ()


def stop_signal(app: App) -> str:
    """What asks the app to end; SIGTERM has some servers drop what they have begun."""
    usual = app.stop_signal == "SIGTERM" and bool(app.listen)
    return (usual and _known(app).stop_signal) or app.stop_signal


def waits_in_accept(app: App) -> bool:
    """Whether the app's sockets must block, against the rule."""
    return _known(app).waits_in_accept


def usual_ready(app: App) -> Ready:
    """When the app counts as started if nothing is said: the servers that tell are waited for."""
    tells = app.listen and (_known(app).is_ready_by_itself or app.argv[0].rpartition("/")[2] in ("node", "nodejs"))
    return Ready(when=ReadyWhen.NOTIFY) if tells else Ready()


def _known(app: App) -> _Server:
    return _SERVERS.get(_program(app.argv), _Server())


def _program(words: Sequence[str]) -> str:
    """What runs, by name: behind an interpreter, its ``-m``, or Ruby's ``bundle exec``."""
    first, second, third = ([word.rpartition("/")[2] for word in words] + ["", ""])[:3]
    if (first, second) == ("bundle", "exec") or (_is_python(first) and second == "-m"):
        return third
    if _is_python(first) or first.rstrip("0123456789.") == "ruby":
        return second
    return "php-fpm" if re.fullmatch(r"php-fpm[\d.]*", first) else first


def _is_python(name: str) -> bool:
    return bool(re.fullmatch(r"python[\d.]*", name))


def _launched(words: Sequence[str], file: str) -> tuple[str, ...]:
    if list(words[1:2]) == ["-m"]:
        return (words[0], file, *words[2:])
    if _is_python(words[0].rpartition("/")[2]):
        return (words[0], file, *words[1:])
    return ("/bin/sh", "-c", _BY_ITS_INTERPRETER, file, *words)
