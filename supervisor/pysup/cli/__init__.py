"""The command ``pysup``: a skin over the library. A command parses, makes one library call, and prints.

``main`` is the console script. It knows the exit codes (0 done, 1 failed, 2 not understood, 130 interrupted), and it is
the one place where errors meet users. ``commands`` has the table of commands and tells how one plugs in, ``options``
the options that commands share, ``output`` all that prints.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pysup.errors import PysupError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main() -> None:
    """The console script."""
    from pysup.cli import later

    later.defer(*later.RARELY_USED)
    from pysup.cli import output

    gc.disable()  # until it is known that the command may last: collecting garbage is a tenth of a short one's time
    code = execute(sys.argv[1:])
    output.leave(code)


def execute(words: Sequence[str]) -> int:
    """Carry out a command line (without the program's name) and return its exit code."""
    from pysup.cli import output
    from pysup.errors import PysupError

    output.prepare()
    if os.geteuid() == 0:
        _leave_out_relative_places()
    try:
        code = _dispatch(words)
        output.flush()
    except PysupError as exc:
        output.print_error(exc)
        code = _code(exc)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough: pysup list | head -3
        output.give_up()
        code = FAILED
    except OSError as exc:  # a full disk behind > file, a program that is gone
        output.give_up()
        output.print_error(PysupError(": ".join(filter(None, (exc.filename, exc.strerror or str(exc))))))
        code = FAILED
    return code


def _leave_out_relative_places() -> None:
    """Have root find no programs in whatever directory it is in: ``./node_modules/.bin`` may be anybody's."""
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = ":".join(place for place in path.split(":") if place.startswith("/")) or os.defpath


def _dispatch(words: Sequence[str]) -> int:
    from pysup.cli import commands

    meant = commands.expand(words)
    code = _quickly(meant) if "_PYSUP_COMPLETE" not in os.environ else None
    if code is not None:
        return code
    from pysup.cli import frame  # typer: half of what a whole list takes

    gc.enable()
    return frame.run(meant)


def _quickly(words: Sequence[str]) -> int | None:
    """The exit code of what can be done without typer; None for anything else."""
    from pysup.cli import commands

    quick = commands.QUICK.get(tuple(words))
    if quick:
        return cast("Callable[[], int | None]", commands.load(quick))() or 0
    with_options = commands.QUICK_WITH_OPTIONS.get(words[0]) if words else None
    return (
        cast("Callable[[Sequence[str]], int | None]", commands.load(with_options))(words[1:]) if with_options else None
    )


def _code(exc: PysupError) -> int:
    from pysup.errors import SpecError

    return MISUSED if isinstance(exc, SpecError) else FAILED
