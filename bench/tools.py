"""The contenders' programs: where they are, and how they get there (outside of the box, from npm and PyPI)."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / ".cache" / "bench"
PM2 = HERE / "node_modules" / ".bin" / "pm2"
BIN = HERE / "venv" / "bin"

VERSIONS = {"pm2": "7.0.4", "supervisor": "4.3.0", "circus": "0.19.0"}


def install() -> None:
    """Put them into .cache/bench, unless they are there."""
    HERE.mkdir(parents=True, exist_ok=True)
    if not PM2.exists():
        _do("npm", "install", "--silent", "--no-audit", "--no-fund", f"--prefix={HERE}", f"pm2@{VERSIONS['pm2']}")
    if not (BIN / "circusd").exists():
        venv.create(HERE / "venv", with_pip=True, clear=True)
        wanted = [f"{name}=={VERSIONS[name]}" for name in ("supervisor", "circus")]
        _do(str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)


def _do(*command: str) -> None:
    print(f"bench: {' '.join(command)}", flush=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
