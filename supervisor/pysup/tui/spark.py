"""Numbers as a line of bars."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def line(values: Sequence[float | None], width: int, *, top: float) -> str:
    """The last *width* values, newest at the right, as bars of which *top* is the highest; unknown ones are blank."""
    shown = list(values)[-width:] if width > 0 else []
    scale, last = len(_BARS) / top if top > 0 else 0.0, len(_BARS) - 1
    bars = [" " if value is None else _BARS[max(0, min(last, int(value * scale)))] for value in shown]
    return "".join(bars).rjust(max(width, 0))
