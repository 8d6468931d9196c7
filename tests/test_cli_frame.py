"""The frame of the command: which commands there are, what their help says, how errors end, what is not imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import pysup
from pysup import cli
from pysup.cli import commands
from pysup.host import ground

HEAVY = (
    "typer",
    "rich",
    "asyncio",
    "psutil",
    "jeepney",
    "dbus_fast",
    "subprocess",
    "shutil",
    "hashlib",
    "difflib",
    "pysup.events",
)


def call(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    code = f"import sys; sys.argv[1:] = {list(words)!r}; from pysup.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command line."""
    code = cli.execute(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without importing one of them."""
    code, out, _ = said(capsys, "--help")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.strip()]
    assert set(commands.TABLE) <= set(listed)


@pytest.mark.parametrize("name", list(commands.TABLE))
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its docstring's, and they begin with its name."""
    code, out, _ = said(capsys, name, "--help")
    assert code == 0
    assert f"Usage: pysup {name}" in out
    assert f"\n  pysup {name}" in out or "\nCommands:\n" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("alias", list(commands.ALIASES))
def test_aliases_are_commands(alias: str) -> None:
    """PM2's names; none hides a command."""
    assert commands.expand([alias, "x"])[0] in commands.TABLE
    assert commands.expand([alias, "x"])[-1] == "x"
    assert alias not in commands.TABLE


def test_aliases_show_the_commands_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Under its own name."""
    assert "Usage: pysup list" in said(capsys, "ls", "--help")[1]
    assert "Usage: pysup delete" in said(capsys, "--system", "del", "--help")[1]


@pytest.mark.parametrize("words", [("--version",), ("-V",), ("--system", "--version")])
def test_version(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The package's."""
    assert said(capsys, *words) == (0, f"pysup {pysup.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("lst",), "there is no command 'lst'\n  Did you mean 'list'?"),
        (("frobnicate",), "there is no command 'frobnicate'"),
        (("stop",), "no target given, and there is no pysup.toml here"),
        (("stop", "--nope"), "no such option: --nope"),
        (("start", "/bin/true", "--port", "many"), "'many' is not a valid int"),
        (("start", "/bin/true", "--restart", "perhaps"), "'perhaps' is not one of"),
        (("list", "--sort"), "requires an argument"),
        (("scale", "web"), "missing argument"),
        (("stop", "x", "--wait-timeout", "soon"), "--wait-timeout is 'soon', not a time"),
    ],
)
def test_misuse_is_exit_code_2(words: Sequence[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is wrong and what to do, on stderr."""
    code, out, err = said(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("pysup: ")
    assert problem in err
    assert err.count("\n") == 2


def test_no_command_is_help_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was asked for."""
    code, out, err = said(capsys)
    assert (code, err.splitlines()[0]) == (2, "pysup: no command given")
    assert "Usage: pysup" in out


def test_list_imports_nothing_heavy() -> None:
    """What it imports is most of the time that it takes."""
    code = (
        "import sys; from pysup.cli import later; later.defer(*later.RARELY_USED); from pysup.cli import early;"
        "import pysup.bus.blocking; [*early._imports()];"
        "print(*(name for name, one in sys.modules.items() if type(one) is not later._Deferred))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pysup.app" in loaded
    assert not {*HEAVY, "inspect", "ast"} & set(loaded)


def test_a_deferred_module_is_there_when_it_is_used() -> None:
    """By whoever imports it, in whatever way, before and after."""
    code = (
        "import sys; from pysup.cli import later; sys.modules.pop('inspect', None); later.defer('inspect', 'sys');"
        "import inspect; from inspect import signature; import inspect as again; import asyncio;"
        "print(inspect.signature is signature is again.signature, type(again).__name__, sys.maxsize > 0)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "True module True\n"


def test_what_happens_to_apps_by_their_names_goes_without_typer() -> None:
    """pysup stop web."""
    code = "import sys; from pysup.cli import commands; commands.load(commands.QUICK_WITH_OPTIONS['stop']);"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{code} print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"typer", "rich", "asyncio"} & set(loaded.stdout.split())


def test_commands_that_are_called_do_not_import_the_others() -> None:
    """One command's module, and what it needs."""
    code = (
        "import sys; from pysup.cli import execute; execute(['stop', '--help']); print(*sys.modules, file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "pysup.cli.life" in loaded
    assert not {"pysup.cli.start", "pysup.cli.live", "asyncio", "rich"} & set(loaded)


def test_every_row_has_a_module() -> None:
    """No command that is listed and not there."""
    quick = [*commands.QUICK.values(), *commands.QUICK_WITH_OPTIONS.values()]
    places = [row.place for row in commands.ROWS] + quick
    modules = {f"pysup.cli.{place.partition(':')[0]}" for place in places}
    assert [module for module in sorted(modules) if importlib.util.find_spec(module) is None] == []


def complete(line: str, *, shell: str = "bash") -> list[str]:
    """What the shell would be told about the last word of the line."""
    words = line.split(" ")
    if shell == "bash":
        env = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_PYSUP_COMPLETE": "complete_bash"}
    else:
        env = {"_TYPER_COMPLETE_ARGS": line, "_PYSUP_COMPLETE": f"complete_{shell}"}
        env["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    found = call(env=env)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def test_commands_are_completed() -> None:
    """Their names, with their help where the shell shows it."""
    assert complete("pysup st") == ["start", "stop", "startup"]
    assert complete("pysup sto", shell="fish") == ["stop\tStop apps or instances; they stay known."]
    assert '"stop"' in "".join(complete("pysup sto", shell="zsh"))


def test_options_are_completed() -> None:
    """Of the command that stands there, also under an alias; and their values."""
    assert complete("pysup stop --w") == ["--wait", "--wait-timeout"]
    assert "--json" in complete("pysup ls --js")
    assert complete("pysup start --restart on-a") == ["on-abnormal", "on-abort"]
    assert complete("pysup list --sort mem") == ["memory", "memory:desc"]


def test_files_are_completed_for_start(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside names of apps."""
    assert "pyproject.toml" in complete("pysup start pyproj")
    assert "docs/json.md" in complete("pysup start docs/js")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str) -> None:
    """The script to be sourced, which asks this command."""
    shown = call(env={"_PYSUP_COMPLETE": f"source_{shell}"})
    assert shown.returncode == 0
    assert "_PYSUP_COMPLETE" in shown.stdout


def test_a_closed_stdout_is_no_traceback() -> None:
    """pysup --version >&-."""
    command = [sys.executable, "-c", "import sys; sys.argv[1:] = ['--version']; from pysup.cli import main; main()"]
    found = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, check=False)
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """pysup --help | head -1."""
    code = "import sys; sys.argv[1:] = ['--help']; from pysup.cli import main; main()"
    ours, theirs = os.pipe()
    os.close(ours)
    found = subprocess.run([sys.executable, "-c", code], stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    assert (found.returncode, found.stderr) == (1, "")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_full_disk_is_an_error_and_no_traceback(word: str) -> None:
    """pysup --help > /mnt/full/help."""
    code = f"import sys; sys.argv[1:] = [{word!r}]; from pysup.cli import main; main()"
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (found.returncode, found.stderr) == (1, "pysup: No space left on device\n")


def test_an_error_is_told_though_nobody_reads_stdout() -> None:
    """pysup start broken.js | true: the table has no reader, the error has."""
    code = (
        "from pysup.cli import output; from pysup.errors import *; print('x'); output.print_error(NotFound('no web'))"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=env, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    assert (found.returncode, found.stderr) == (0, "pysup: no web\n")


@pytest.mark.parametrize("words", [("logs",), ("start", "sleep", "--", "5")])
def test_they_say_when_there_is_no_systemd(
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As every other command does, and not first that there are no apps yet, or that something would run as root."""
    bare = ground.Caller(uid=0, environ={}, root=tmp_path)
    monkeypatch.setattr(ground.Caller, "now", lambda: bare)
    code, _, err = said(capsys, *words)
    assert code == 1
    assert "systemd is not PID 1" in err
