"""The command ``pysup``: a skin over the library. A command parses, makes one library call, and prints.

``main`` is the console script. It knows the exit codes (0 done, 1 failed, 2 not understood, 130 interrupted), and it is
the one place where errors meet users. ``commands`` has the table of commands and tells how one plugs in, ``options``
the options that commands share, ``output`` all that prints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import cast

from pysup.cli import commands, output
from pysup.errors import PysupError, SpecError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Carry out a command line (without the program's name) and return its exit code."""
    output.prepare()
    try:
        code = _dispatch(commands.expand(list(words)))
        output.flush()
    except PysupError as exc:
        output.print_error(exc)
        return MISUSED if isinstance(exc, SpecError) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough: pysup list | head -3
        output.give_up()
        return FAILED
    return code


def _dispatch(words: list[str]) -> int:
    quick = commands.QUICK.get(tuple(words)) if "_PYSUP_COMPLETE" not in os.environ else None
    if quick:
        return cast("Callable[[], int | None]", commands.load(quick))() or 0
    from pysup.cli import frame  # typer: half of what a whole list takes

    return frame.run(words)
