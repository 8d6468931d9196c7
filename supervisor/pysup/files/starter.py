"""A first pysup.toml for a project: what runs in it, as far as its own files tell, and comments on all else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pysup.host.resolve import suggest_name

Apps = Mapping[str, str]
"""Commands by name."""

_TOP = """\
# What runs here, for pysup: apply makes it so, diff shows what that would do. All keys: pysup schema, docs/files.md.
# variables = ["environment", ".env"]     # where ${NAME} comes from, if you want any

# [defaults]                              # for all apps
# restart_delay = "1s"
"""
_FIRST = """\
# instances = "max"                       # one per CPU; "per-core": each pinned to its own
# listen = 8080                           # systemd holds the socket: reload loses no connection
# port = 3000                             # or: instance i gets PORT=3000+i
# ready = "notify"                        # or "tcp", "http://127.0.0.1:{port}/health", "2s"
# limits.memory_max = "512M"
# isolate = "basic"                       # recommended: kept from what it does not need; "strict": docs/isolation.md
# user = "web"                            # who runs it, of the machine's apps (root's); "root" has to be said, too
# env = { NODE_ENV = "production" }
# secrets = { DATABASE_URL = "file:/etc/app/database-url" }
"""
_NONE = """
# [apps.web]
# command = "./server"                    # a script, a program, a command line
"""
_LAST = """
# [env.production.apps.%s]                # pysup apply --env production
# instances = "max"
"""


def text(directory: Path) -> str:
    """The text of a file for the project in *directory*."""
    apps = next((found for find in _FINDERS if (found := dict(find(directory)))), {})
    lines = [_TOP]
    for index, (name, command) in enumerate(apps.items()):
        lines.append(f"\n[apps.{name}]\ncommand = {json.dumps(command, ensure_ascii=False)}\n{'' if index else _FIRST}")
    if not apps:
        lines.append(f"{_NONE}{_FIRST}")
    return "".join(lines) + _LAST % next(iter(apps), "web")


def _procfile(directory: Path) -> Iterator[tuple[str, str]]:
    for line in _read(directory / "Procfile").splitlines():
        found = re.fullmatch(r"([A-Za-z0-9_-]+):\s*(\S.*)", line.strip())
        if found:
            yield _name(found[1]), found[2]


def _node(directory: Path) -> Iterator[tuple[str, str]]:
    try:
        package = json.loads(_read(directory / "package.json") or "{}")
    except ValueError:
        return
    scripts = package.get("scripts") if isinstance(package, dict) else None
    start = scripts.get("start") if isinstance(scripts, dict) else None
    script = re.fullmatch(r"node ([\w./-]+)", start) if isinstance(start, str) else None
    main = package.get("main") if isinstance(package, dict) else None
    entries = [script[1] if script else None, main, "server.js", "app.js", "index.js"]
    there = [one for one in entries if isinstance(one, str) and (directory / one).is_file()]
    if script or (there and not start):
        yield _name(str(package.get("name") or there[0])), there[0] if there else str(start)
    elif isinstance(start, str):
        yield _name(str(package.get("name") or "web")), "npm start"


def _python(directory: Path) -> Iterator[tuple[str, str]]:
    import tomllib

    try:
        project = tomllib.loads(_read(directory / "pyproject.toml")).get("project", {})
    except ValueError:
        return
    if not project:
        return
    name = _name(str(project.get("name", "app")))
    wants = " ".join(map(str, project.get("dependencies", [])))
    module = next((one for one in ("main", "app", "server", "wsgi", "asgi") if (directory / f"{one}.py").is_file()), "")
    server = next((one for one in ("uvicorn", "gunicorn", "hypercorn") if one in wants), "")
    venv = ".venv/bin/" if (directory / ".venv/bin").is_dir() else ""
    scripts = project.get("scripts", {})
    if server and module:
        yield name, f"{venv}{server} {module}:app"
    elif module:
        yield name, f"{module}.py"
    elif scripts:
        yield name, f"{venv}{next(iter(scripts))}"


def _go(directory: Path) -> Iterator[tuple[str, str]]:
    found = re.search(r"^module\s+(\S+)", _read(directory / "go.mod"), re.MULTILINE)
    if found:
        name = re.sub(r"/v\d+$", "", found[1]).rpartition("/")[2]
        yield _name(name), f"./{name}"  # what go build makes


def _ruby(directory: Path) -> Iterator[tuple[str, str]]:
    gems = _read(directory / "Gemfile")
    if gems:
        yield _name(directory.resolve().name), "bundle exec puma" if "puma" in gems else "bundle exec rackup"


_FINDERS: tuple[Callable[[Path], Iterator[tuple[str, str]]], ...] = (_procfile, _node, _python, _go, _ruby)


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", suggest_name([text.rpartition("/")[2] or "app"]))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
