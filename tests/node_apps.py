"""Node programs with the preload, and the programs of tests/node."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import grounds
from activated import Activated

PRELOAD = grounds.ROOT / "supervisor/pysup/preload/node.cjs"
PROGRAMS = grounds.ROOT / "tests/node"
INSTALLED = grounds.ROOT / ".cache/npm-tests"


class Node(Activated):
    """``node --require=PRELOAD WORDS``."""

    def __init__(self, *words: str | Path, sockets: Mapping[str, socket.socket] | None = None, **env: str) -> None:
        super().__init__("node", f"--require={PRELOAD}", *words, sockets=sockets, **env)


def which() -> str:
    """Where Node is."""
    return shutil.which("node") or "node"


def program(name: str) -> Path:
    """One of tests/node."""
    return PROGRAMS / name


def installed(name: str) -> Path:
    """One of tests/node that needs packages, beside those packages."""
    install()
    for file in PROGRAMS.glob("*.?js"):
        (INSTALLED / file.name).write_text(file.read_text())
    return INSTALLED / name


def install() -> None:
    """Have npm get what tests/node needs, unless it is there."""
    wanted = (PROGRAMS / "package.json").read_text()
    done = INSTALLED / "node_modules" / ".made-from"
    if not done.exists() or done.read_text() != wanted:
        subprocess.run([grounds.ROOT / "scripts/setup", "npm"], check=True, stdin=subprocess.DEVNULL)
        INSTALLED.mkdir(parents=True, exist_ok=True)
        (INSTALLED / "package.json").write_text(wanted)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", f"--prefix={INSTALLED}"]
        subprocess.run(npm, check=True, stdin=subprocess.DEVNULL)
        done.write_text(wanted)


def certificate(directory: Path) -> dict[str, str]:
    """KEY and CERT for localhost, in the environment's words."""
    files = {"KEY": str(directory / "key.pem"), "CERT": str(directory / "cert.pem")}
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *subject, "-keyout", files["KEY"], "-out", files["CERT"]]
    subprocess.run(command, check=True, capture_output=True)
    return files
