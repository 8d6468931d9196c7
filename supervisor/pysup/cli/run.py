"""``pysup run``: a command as a transient unit, as if it ran here."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from pysup import explain
from pysup.cli import options, output, wanted
from pysup.cli.frame import Command
from pysup.cli.request import Request
from pysup.cli.requesting import takes_request
from pysup.errors import SpecError
from pysup.limits.table import ROWS
from pysup.transient import RunOptions, RunResult
from pysup.unit import Scope

run = typer.Typer()

# Those options of pysup start that mean the same here.
_SHARED = (
    *("name", "cwd", "user", "group", "description", "env", "pass_env"),
    *(row.field for row in ROWS),
    *("nice", "scope"),
)


# What stands behind the first word is the command's, options too, as with sudo and env.
@run.command(cls=Command, context_settings={"allow_interspersed_args": False})
@takes_request(_SHARED)
def _run(
    request: Request,
    *,
    words: Annotated[list[str], typer.Argument(metavar="[--] CMD…", help="The command.", show_default=False)],
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Stop it after this time; exit code 124.", show_default=False),
    ] = None,
    pty: Annotated[bool, typer.Option("--pty", "-t", help="Give it a terminal, for commands that want one.")] = False,
) -> int:
    """Run a command once, as a job of systemd's: with limits, in a control group of its own, gone when it ends.

    It has your stdin, stdout and stderr, and runs here unless --cwd says otherwise. Its environment is clean, as that
    of apps is; nobody else can see it. Ctrl-C stops it, with all that it started. The exit code is the command's:
    128+N if signal N killed it, 124 if its time was up.

    Examples:
      pysup run -- make -j4
      pysup run --memory-max 512M --cpu-quota 50% -- ./import.py < data.csv
      pysup run --timeout 10min --pass-env 'AWS_*' -- ./backup
      sudo pysup run --uid www-data -- php artisan migrate
      pysup run --pty -- bash
    """
    scope = options.chosen_scope(request.scope)
    given = wanted.changes(request, None)
    if pty and not sys.stdin.isatty():
        raise SpecError("--pty is for a terminal, and stdin is none", hint="Leave --pty out.")
    conditions = RunOptions(
        **given,  # type: ignore[arg-type]
        env=_environment(request, scope),
        timeout=options.seconds(timeout, "--timeout"),
        pty=pty,
    )
    result = asyncio.run(_carried_out(scope, words, conditions))
    if isinstance(result, int):
        return result
    _tell(result, words[0], timeout)
    return result.returncode


def _environment(request: Request, scope: Scope) -> Mapping[str, str]:
    return {**wanted.usual_environment(scope, request.user or ""), **wanted.environment(request)}


def _tell(result: RunResult, word: str, timeout: str | None) -> None:
    """Say on stderr what the exit code alone does not: that time was up, or that it never ran."""
    if result.result == "timeout":
        output.note(f"pysup: {word} was stopped after {timeout}")
    elif result.result == "oom-kill":
        output.note(f"pysup: {word} was killed for want of memory")
    elif before := explain.before_exec(result.code):
        output.note(f"pysup: {word}: systemd gives exit code {result.code} when {before.what}")


async def _carried_out(scope: Scope, words: Sequence[str], conditions: RunOptions) -> RunResult | int:
    """The result; or an exit code, if a signal ended us: as with Ctrl-C, the job is stopped then."""
    from pysup.manager import Manager

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[int] = []

    def end(number: int) -> None:
        came.append(number)
        if task:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    try:
        async with Manager(scope) as manager:
            return await manager.run(words, options=conditions)
    except asyncio.CancelledError:
        if not came:
            raise
        return 128 + came[0]
