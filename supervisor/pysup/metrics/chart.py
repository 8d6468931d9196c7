"""A timeline as charts: braille in a terminal (plotille), or a picture (matplotlib)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from pysup.errors import EnvironmentProblem
from pysup.metrics.ring import Point
from pysup.metrics.timeline import Timeline

MIB = 1 << 20
HEIGHT = 8
_DAY = 86400
_GAP = 5  # times what is usual between two looks
_COLOURS = ("green", "blue", "yellow", "magenta", "cyan", "red")

Run = Sequence[tuple[float, float]]
Line = tuple[str, Sequence[Run]]
"""A name, and times with values; where nothing is known for a while, another run begins."""


def panels(timeline: Timeline) -> Iterator[tuple[str, list[Line]]]:
    """Title and lines of each chart; of those that have any."""
    rows: tuple[tuple[str, Callable[[Point], float | None]], ...] = (
        ("CPU, in CPUs", lambda point: point.cpus),
        ("memory, in MiB", lambda point: None if point.memory is None else point.memory / MIB),
        ("tasks", lambda point: point.tasks),
    )
    for title, value in rows:
        lines: list[Line] = []
        for name, points in timeline.points.items():
            pairs = [(point.at, found) for point in points if (found := value(point)) is not None]
            if pairs:
                lines.append((str(name), _runs(pairs)))
        if lines:
            yield title, lines
    steps = [_steps(str(name), times, timeline) for name, times in timeline.restarts.items() if times]
    if steps:
        yield "restarts, added up", steps


def _runs(pairs: Run) -> list[Run]:
    """Parted where they are much further apart than usual: it did not run, or nothing was kept."""
    apart = [later[0] - earlier[0] for earlier, later in pairwise(pairs)]
    longest = _GAP * sorted(apart)[len(apart) // 2] if apart else 0.0
    cuts = [0, *(index for index, seconds in enumerate(apart, 1) if seconds > longest), len(pairs)]
    return [pairs[start:end] for start, end in pairwise(cuts)]


def _steps(name: str, times: Sequence[float], timeline: Timeline) -> Line:
    """A line that goes up by one at each of the times."""
    run = [(timeline.since, 0.0)]
    for count, at in enumerate(sorted(times)):
        run += [(at, float(count)), (at, float(count + 1))]
    return name, [[*run, (timeline.until, run[-1][1])]]


def terminal(timeline: Timeline, *, width: int, colours: bool) -> Iterator[str]:
    """The lines of all charts."""
    import plotille  # 30 ms, for who draws

    for title, lines in panels(timeline):
        figure: Any = plotille.Figure()
        figure.width, figure.height = max(20, width - 20), HEIGHT
        figure.with_colors, figure.color_mode, figure.origin = colours, "names", False
        figure.set_x_limits(min_=timeline.since, max_=timeline.until)
        highest = max(value for _, runs in lines for run in runs for _, value in run)
        figure.set_y_limits(min_=0, max_=highest * 1.05 or 1.0)
        figure.y_ticks_fkt = _number
        figure.x_ticks_fkt = partial(_clock, days=timeline.until - timeline.since > _DAY)
        hues = [_COLOURS[index % len(_COLOURS)] if colours else None for index in range(len(lines))]
        for hue, (_, runs) in zip(hues, lines, strict=True):
            for run in runs:
                figure.plot(*zip(*run, strict=True), lc=hue)
        yield title
        rows = figure.show(legend=False).splitlines()[1:]  # the first is the name of the axis
        yield from (row.removesuffix(" (X)").rstrip() for row in rows)
        yield "  " + "  ".join(plotille.color(_last(line), fg=hue) for hue, line in zip(hues, lines, strict=True))
        yield ""


def _last(line: Line) -> str:
    name, runs = line
    return f"{name}: {runs[-1][-1][1]:.4g}"


def _number(value: float, _: object) -> str:
    return f"{value:9.4g}"


def _clock(value: float, _: object, *, days: bool) -> str:
    return time.strftime("%a %H:%M" if days else "%H:%M", time.localtime(value))


def picture(timeline: Timeline, file: Path) -> None:
    """The same as a PNG. Raises EnvironmentProblem without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second, for who wants a picture
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise EnvironmentProblem(
            "pictures need matplotlib, which is not installed", hint="Type: pip install 'pysup-systemd[plot]'"
        ) from exc
    from datetime import datetime

    found = list(panels(timeline))
    figure = Figure(figsize=(10, 2.5 * max(1, len(found))), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(max(1, len(found)), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, lines) in zip(axes, found, strict=False):
        for number, (name, runs) in enumerate(lines):
            for index, run in enumerate(runs):
                days = date2num([datetime.fromtimestamp(at).astimezone() for at, _ in run])
                label = "_" if index else name  # one for all runs: what begins with _ is in no legend
                axis.plot(days, [value for _, value in run], label=label, lw=1, color=f"C{number}")
        axis.set_title(title, loc="left", fontsize="medium")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", fontsize="small", ncols=4)
    locator = AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=datetime.now().astimezone().tzinfo))
    canvas.print_png(str(file))
