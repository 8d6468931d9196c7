"""All that the command prints: plain when piped, coloured on a terminal; no library but the standard one, for speed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn, TextIO

from pysup.errors import PysupError, StartFailed
from pysup.wording import plain as plain

GREEN, RED, YELLOW, BLUE, DIM, BOLD = "32", "31", "33", "34", "2", "1"

_WIDTH = 80


def prepare() -> None:
    """Have characters that the terminal's encoding lacks printed as escapes, and a closed stdout or stderr be none."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    return open(os.devnull, "w")  # noqa: PTH123 (it lasts as long as the process)


def echo(text: str = "") -> None:
    """Print a line to stdout, or several; of control characters, only our own colours."""
    print(_tame(text))


def note(text: str) -> None:
    """Print a line for people to stderr."""
    print(paint(_tame(text), DIM, sys.stderr), file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    print(f"pysup: {paint('warning:', YELLOW, sys.stderr)} {_tame(text)}", file=sys.stderr)


def print_error(exc: PysupError) -> None:
    """Print what went wrong, the last log lines if there are some, and what to do next."""
    try:
        flush()
    except OSError:  # who cannot read stdout any more may still read this
        give_up()
    print(f"pysup: {paint(_tame(exc.message), RED, sys.stderr)}", file=sys.stderr)
    for line in exc.log if isinstance(exc, StartFailed) else ():
        print("  " + paint(f"| {plain(line)}", DIM, sys.stderr), file=sys.stderr)
    if exc.hint:
        print(f"  {_tame(exc.hint)}", file=sys.stderr)


def report(failed: Sequence[PysupError]) -> int | None:
    """Have a lone error reported as any other; print several. The exit code."""
    if len(failed) == 1:
        raise failed[0]
    for exc in failed:
        print_error(exc)
    return 1 if failed else None


def flush() -> None:
    """Have all that was printed reach its reader."""
    sys.stdout.flush()


def give_up() -> None:
    """Stop printing: nobody can read stdout any more, and Python's own last flush must not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def leave(code: int) -> NoReturn:
    """End the process as it is: all is done, and taking the interpreter down would take another tenth of the time."""
    with contextlib.suppress(OSError):
        flush()
    os._exit(code)


def is_coloured(stream: TextIO | None = None) -> bool:
    """Whether colours are wanted: on a terminal that has them, and unless NO_COLOR is set (no-color.org)."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str, stream: TextIO | None = None) -> str:
    """The text in a colour (one of this module's constants) where colours are wanted."""
    return f"\033[{code}m{text}\033[0m" if code and text and is_coloured(stream) else text


def _tame(text: str) -> str:
    """Text that was put together, where nobody else's part of it may rule the terminal: the last of several lines.

    Line ends and our own colours stay.
    """
    if text.replace("\n", "").isprintable():
        return text
    import re  # few texts have such characters

    own = rf"\x1b\[(?:0|{'|'.join((GREEN, RED, YELLOW, BLUE, DIM, BOLD))})m"
    return "".join(
        part
        if index % 2
        else "".join(char if char == "\n" or (char.isspace() and char >= "\xa0") else plain(char) for char in part)
        for index, part in enumerate(re.split(f"({own})", text))
    )


def width() -> int | None:
    """Columns of the terminal on stdout; None if it is none, and lines may be as long as they are."""
    if not sys.stdout.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH
    except OSError:
        return _WIDTH


_FIRST = 24
"""So wide the first column of a table stays while others may go instead."""


class Column(NamedTuple):
    """A column of a table. ``rank`` says which go first when there is no room: the highest; 0 never goes.

    The first column does not go: when it is its turn, it is cut to a few letters before others go.
    """

    title: str
    rank: int = 0
    right: bool = False


class Cell(NamedTuple):
    """What stands in a table's field, and its colour."""

    text: str
    colour: str = ""


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell | str]], *, room: int | None) -> list[str]:
    """The lines of a table with a line of titles, two blanks between columns.

    When it is wider than *room*, columns go by their rank; what is still too long is cut with ``…``.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = [
        max([len(column.title), *(len(row[index].text) for row in cells)]) for index, column in enumerate(columns)
    ]
    kept = _fitting(columns, widths, room)
    widths[0] = _first_width([widths[index] for index in kept], room)
    titles = [Cell(column.title, BOLD) for column in columns]
    return [_line([(row[index], columns[index], widths[index]) for index in kept]) for row in [titles, *cells]]


def _fitting(columns: Sequence[Column], wanted: Sequence[int], room: int | None) -> list[int]:
    kept, widths = list(range(len(columns))), list(wanted)
    for index in sorted(kept, key=lambda index: -columns[index].rank):
        over = 0 if room is None else _total(widths[index] for index in kept) - room
        if over <= 0 or not columns[index].rank:
            break
        if index:
            kept.remove(index)
        else:
            widths[0] = min(widths[0], _FIRST)
    return kept


def _first_width(widths: Sequence[int], room: int | None) -> int:
    """The first column's width; it is the one that gives way when all others are needed."""
    if room is None or _total(widths) <= room:
        return widths[0]
    return max(8, widths[0] - (_total(widths) - room))


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + 2 * (len(each) - 1)


def _line(fields: Iterable[tuple[Cell, Column, int]]) -> str:
    return "  ".join(_field(cell, column, wide) for cell, column, wide in fields).rstrip()


def _field(cell: Cell, column: Column, wide: int) -> str:
    text = cell.text if len(cell.text) <= wide else cell.text[: wide - 1] + "…"
    blanks = " " * (wide - len(text))
    painted = paint(text, cell.colour)
    return blanks + painted if column.right else painted + blanks
