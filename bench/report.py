"""The table."""

from __future__ import annotations

from collections.abc import Iterable

from bench.measure import Result

HEADS = ("row", "what", "pysup", "other", "ratio", "wanted", "")


def table(results: Iterable[Result]) -> str:
    """All results, a line each."""
    lines = [HEADS, *map(_cells, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    return "\n".join("  ".join(_place(line, widths)).rstrip() for line in lines)


def _cells(result: Result) -> tuple[str, ...]:
    theirs = "" if result.theirs is None else _figure(result.theirs, result.unit)
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    return (
        result.row,
        result.what,
        _figure(result.pysup, result.unit),
        theirs,
        ratio,
        _wanted(result),
        result.verdict,
    )


def _place(line: tuple[str, ...], widths: list[int]) -> Iterable[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if column in (0, 1, 6) else cell.rjust(width)


def _figure(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def _wanted(result: Result) -> str:
    unit = "" if result.theirs is not None else f" {result.unit}".rstrip()
    if result.at_most is not None and result.at_most == result.at_least:
        return f"= {result.at_most:g}{unit}"
    if result.at_most is not None:
        return f"<= {result.at_most:g}{unit}"
    return f">= {result.at_least:g}{unit}" if result.at_least is not None else ""
