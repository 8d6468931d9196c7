"""Which program runs a file that is not one itself: by its extension, on the PATH of the caller."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pysup.errors import SpecError

# Programs to try, in this order.
BY_EXTENSION: Mapping[str, tuple[str, ...]] = {
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
    ".ts": ("node", "bun", "tsx", "ts-node"),
    ".mts": ("node", "bun", "tsx", "ts-node"),
    ".cts": ("node", "bun", "tsx", "ts-node"),
    ".py": ("python3", "python"),
    ".rb": ("ruby",),
    ".php": ("php",),
    ".pl": ("perl",),
    ".sh": ("bash", "sh"),
}

NODE_WITH_TYPESCRIPT = (22, 18)  # the first that strips types without a flag

_TYPESCRIPT = frozenset({".ts", ".mts", ".cts"})
_PACKAGES = {
    "node": "nodejs",
    "python3": "python3",
    "ruby": "ruby",
    "php": "php-cli",
    "perl": "perl",
    "bash": "bash",
}
_PYTHON = re.compile(r"python[0-9.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where to look: the directory that relative paths begin at, and the caller's PATH."""

    cwd: Path
    path: str

    def absolute(self, file: str | Path) -> Path:
        """The absolute path of a file. Symbolic links stay, but those that ``..`` goes up from."""
        whole = self.cwd / file
        if whole.name == "..":
            return whole.resolve()
        return whole.parent.resolve() / whole.name if ".." in whole.parts else whole

    def program(self, word: str | Path) -> Path | None:
        """The absolute path of a program: a path, or a name on PATH. None if there is none that can be executed."""
        folders = [""] if "/" in str(word) else self.path.split(":")
        for folder in folders:
            candidate = self.absolute(Path(folder, word))
            if os.access(candidate, os.X_OK) and candidate.is_file():
                return candidate
        return None

    def venv_python(self, script: Path) -> Path | None:
        """The Python of a virtual environment beside a script, or in a folder above it up to the current one."""
        folders = [script.parent]
        if script.is_relative_to(self.cwd):
            folders.extend(folder for folder in script.parents[1:] if folder.is_relative_to(self.cwd))
        places = (folder / name / "bin/python" for folder in folders for name in (".venv", "venv"))
        return next(filter(None, map(self.program, places)), None)


def is_python(program: str) -> bool:
    """Whether a program's name, or its path, is Python's, of any version."""
    return _PYTHON.fullmatch(Path(program).name) is not None


def extension(file: str | Path) -> str:
    """The extension, in small letters, if it is one of a script; else empty."""
    found = Path(file).suffix.lower()
    return found if found in BY_EXTENSION else ""


def for_extension(script: Path, search: Search) -> Path:
    """The program that runs a script with a known extension; raises SpecError if none is installed."""
    kind = extension(script)
    if kind == ".py" and (python := search.venv_python(script)):
        return python
    candidates = BY_EXTENSION[kind]
    for name in candidates:
        program = search.program(name)
        if program and not (name == "node" and kind in _TYPESCRIPT and _version(program) < NODE_WITH_TYPESCRIPT):
            return program
    if kind in _TYPESCRIPT:
        raise SpecError(
            f"nothing on PATH runs TypeScript, which {str(script)!r} is",
            hint="Install Node 22.18 or newer, or bun, or tsx (npm install -g tsx); or compile it to .js.",
        )
    raise missing(candidates[0], script)


def missing(program: str, script: Path) -> SpecError:
    """The error for an interpreter that is not on PATH."""
    package = _PACKAGES.get(program)
    install = f"Install it (sudo apt install {package})" if package else "Install it"
    return SpecError(
        f"{str(script)!r} needs {program!r}, which is not on PATH",
        hint=f"{install}, or name it: --interpreter /path/to/{Path(program).name}. "
        "Under sudo, PATH is root's: what nvm or pyenv installed is not on it.",
    )


def _version(program: Path) -> tuple[int, ...]:
    """Major and minor number; empty if it does not tell."""
    import subprocess  # only TypeScript needs to know

    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", done.stdout)[:2])
