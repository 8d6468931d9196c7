"""The examples of docs/servers.md, run as they stand there: reloads under load lose no request."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import grounds
import hammer
import node_apps
import programs

PAGE = (grounds.ROOT / "docs/servers.md").read_text()
RELOADS = {"Node": 10}
CLIENTS = {"Node": 128}  # of either kind; all else: 16
REQUESTS_PER_SECOND = 600
ENDS_SILENT_CONNECTIONS = {"nginx"}


@dataclass(frozen=True)
class Example:
    """A section of the page: files, and commands."""

    title: str
    files: dict[str, str]
    commands: list[str]

    @classmethod
    def of(cls, section: str) -> Example:
        """From its text."""
        files = re.findall(r"^`(\S+)`\n\n```\w+\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        commands = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
        return cls(section.partition("\n")[0], dict(files), commands)


EXAMPLES = [Example.of(section) for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that accounts without rights can read, too; where an example's files are, and its apps run."""
    made = Path(tempfile.mkdtemp(prefix="example-"))
    made.chmod(0o755)
    yield made
    _run("pysup delete all", made)
    shutil.rmtree(made)


@pytest.mark.systemd
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_reloads_of_the_example_lose_no_request(example: Example, folder: Path) -> None:
    """Both instances answer; new connections and kept ones, while one instance after the other is replaced."""
    port, behind = programs.free_port(), programs.free_port()
    for name, text in example.files.items():
        (folder / name).write_text(_at(text, port, behind))
    kinds = [False] if example.title in ENDS_SILENT_CONNECTIONS else [False, True]
    *starts, reload = (_here(_at(command, port, behind)) for command in example.commands)
    for command in starts:
        if command.startswith("npm install"):
            (folder / "node_modules").symlink_to(node_apps.INSTALLED / "node_modules")
        else:
            _run(command, folder)
    with ExitStack() as stack:
        clients = CLIENTS.get(example.title, 16)
        pause = len(kinds) * clients / REQUESTS_PER_SECOND
        loads = [
            stack.enter_context(hammer.load(port, clients=clients, keep_alive=kept, pause=pause)) for kept in kinds
        ]
        _both_answer(loads[0])
        for _ in range(RELOADS.get(example.title, 2)):
            _run(reload, folder)
            for tally in loads:
                tally.wait_for(50)
        _both_answer(loads[0])
    assert [tally.failures for tally in loads] == [[] for _ in loads]


def _both_answer(tally: hammer.Tally) -> None:
    while True:
        before = dict(tally.answers)
        tally.wait_for(200)
        new = {answer for answer, count in tally.answers.items() if count > before.get(answer, 0)}
        if len(new) >= 2:
            return
        assert tally.requests < 5000, tally


def _at(text: str, port: int, behind: int = 9000) -> str:
    return text.replace("8080", str(port)).replace("9000", str(behind))


def _here(command: str) -> str:
    """As this machine has it."""
    fpm = next((file.name for file in sorted(Path("/usr/sbin").glob("php-fpm*"))), "php-fpm")
    return command.replace("php-fpm8.2", fpm)


def _run(command: str, folder: Path) -> None:
    env = grounds.environment(HOME=str(folder), LANG="C.UTF-8")
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.systemd
def test_a_program_that_gunicorn_cannot_load_replaces_none(folder: Path) -> None:
    """gunicorn by itself says READY=1 before it knows: the spare must not be believed then."""
    port = programs.free_port()
    (example,) = (one for one in EXAMPLES if one.title == "gunicorn")
    program = folder / "web.py"
    program.write_text(example.files["web.py"])
    _run(_at(example.commands[0], port), folder)
    with hammer.load(port, clients=4, pause=0.02) as tally:
        program.write_text("import time; time.sleep(1)\nraise RuntimeError('broken')\n")
        with pytest.raises(AssertionError, match=r"nothing else was touched"):
            _run("pysup reload web", folder)
        _both_answer(tally)
    assert tally.failures == []
