"""The balancing programs as they are installed on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pysup.errors import EnvironmentProblem
from pysup.host import users

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules")
_ACCOUNTS = {"haproxy": ("haproxy",), "nginx": ("www-data", "nginx", "http")}


def is_here(program: str) -> bool:
    """Whether it is installed."""
    return shutil.which(program, path=_PATH) is not None


def argv(program: str) -> tuple[str, ...]:
    """The words that run it: its path; and where nginx, if it can (1.19.5), writes errors before it reads its file."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise EnvironmentProblem(f"{program} is not installed here", hint=f"On Debian: sudo apt install {program}")
    quietly = (path, "-e", "stderr")
    return quietly if program == "nginx" and _nginx(*quietly[1:], "-v", path=path).returncode == 0 else (path,)


def account(program: str) -> str:
    """The account that the package runs it as, or nobody's; empty for none."""
    return next((name for name in (*_ACCOUNTS[program], "nobody") if users.find(name)), "")


def stream_modules() -> tuple[str, ...]:
    """What nginx must load to balance TCP: nothing where that is built in."""
    path = argv("nginx")[0]
    if "--with-stream" in _nginx("-V", path=path).stderr.split():
        return ()
    found = (f"{directory}/ngx_stream_module.so" for directory in _MODULES)
    module = next((file for file in found if Path(file).is_file()), "")
    if not module:
        raise EnvironmentProblem(
            "nginx has no stream module here, which balances TCP",
            hint="On Debian: sudo apt install libnginx-mod-stream. HAProxy needs nothing more: --with haproxy",
        )
    return (module,)


def has_ipv6() -> bool:
    """Whether a port is listened on by IPv6, too: as systemd finds it out."""
    return os.path.exists("/proc/net/if_inet6")  # noqa: PTH110 (cheaper)


def _nginx(*words: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([path, *words], capture_output=True, text=True, check=False)
