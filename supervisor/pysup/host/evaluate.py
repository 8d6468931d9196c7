"""What a configuration file in JavaScript says: the user's own ``node`` evaluates it, with a limit of time and size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

from pysup.errors import EnvironmentProblem, SpecError
from pysup.host import nvm, trust, users

PROGRAM = Path(__file__).with_name("evaluate.cjs")
SECONDS = 10.0
MOST = 32 * 1024 * 1024

_HARMLESS = ("PATH", "LANG", "LC_ALL", "TZ", "TERM", "NODE_ENV")

_HINTS = {
    "function": "PM2 does not call it either; export what it returns: module.exports = config()",
    "promise": "Nobody waits for it; in an .mjs file write: export default await …",
    "undefined": "Write: module.exports = { apps: [ … ] }",
}


def javascript(file: Path, *, timeout: float = SECONDS) -> Any:
    """What *file* exports, as plain data.

    ``{"$pysup": KIND}`` stands for what is no data: functions, regular expressions (with their ``text``). What the file
    prints goes to stderr. For root it runs as the user behind sudo, or as who else may change it.
    Raises SpecError for a file that throws, does not end, or exports no object; EnvironmentProblem without node.
    """
    node = nvm.node()
    if node is None:
        raise EnvironmentProblem(
            f"{str(file)!r} is JavaScript, and there is no node to evaluate it",
            hint="Install it (sudo apt install nodejs), or put it on PATH. Under sudo, PATH is root's.",
        )
    with tempfile.TemporaryFile() as result:
        command = [
            str(node),
            "--no-warnings",
            str(PROGRAM),
            str(result.fileno()),
            str(file),
        ]
        code = _run(command, file, result.fileno(), timeout)
        told = _read(result, file)
    if told is None:
        raise SpecError(
            f"{str(file)!r} told nothing before node ended (exit code {code})",
            hint="Does it call process.exit(), or wait for what never comes?",
        )
    return _value(told, file)


def _run(command: list[str], file: Path, result: int, timeout: float) -> int:
    """Have the result written to a descriptor of its own: files may print what they like."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=[result],
        start_new_session=True,
        **_invoker(file),
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise SpecError(
            f"{str(file)!r} did not end within {timeout:g} seconds",
            hint="It is to say what runs, and no more: no loops, servers or questions to the network.",
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _invoker(file: Path) -> dict[str, Any]:
    """For root, who it must not be: a file that others may change, or its directory, must not become root's program.

    Under sudo that is whoever typed it, else who may change the file.
    """
    whose = trust.stranger(file) if os.geteuid() == 0 else None
    if whose is None:
        return {}
    invoker = users.find(os.environ.get("SUDO_UID", ""))
    account = invoker if invoker and invoker.uid else users.find(str(whose))
    if account is None:
        raise SpecError(
            f"{str(file)!r} can be changed by user {whose}, who has no account here, and root does not execute it",
            hint=f"Give it to root, with the directories above it: chown root {file}",
        )
    # Behind sudo the environment is the invoker's; root's own is not for others to see.
    kept = os.environ if account is invoker else {name: os.environ[name] for name in _HARMLESS if name in os.environ}
    env = {**kept, "HOME": account.home, "USER": account.name, "LOGNAME": account.name}
    return {
        "user": account.uid,
        "group": account.gid,
        "extra_groups": os.getgrouplist(account.name, account.gid),
        "env": env,
    }


def _read(result: IO[bytes], file: Path) -> dict[str, Any] | None:
    size = result.seek(0, os.SEEK_END)
    if size > MOST:
        raise SpecError(
            f"{str(file)!r} says {size // 2**20} MB, more than the {MOST // 2**20} that are read",
            hint="It is to say what runs, and no more.",
        )
    result.seek(0)
    told: dict[str, Any] | None = json.loads(result.read() or "null")
    return told


def _value(told: dict[str, Any], file: Path) -> Any:
    if "error" in told:
        where = f"{file}:{told['line']}" if told["line"] else str(file)
        raise SpecError(f"{where}: {told['error']}", hint=f"node {file} shows more.")
    if told["kind"] not in ("object", "array"):
        kind = told["kind"]
        a = "an" if kind[0] in "aeiou" and kind != "undefined" else "a"
        what = kind if kind in ("null", "undefined") else f"{a} {kind}"
        raise SpecError(
            f"{str(file)!r} exports {what}, not an object with apps", hint=_HINTS.get(kind, _HINTS["undefined"])
        )
    return told["value"]
