"""Cron expressions -> calendar events of systemd's: crontab(5), systemd.time(7).

Five fields, or six with the seconds first as PM2 has them. As in cron, a day of the month and a day of the week are
alternatives when both are given, which takes two calendar events; systemd alone would want both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pysup.errors import SpecError

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK = (1, 2, 3, 4, 5, 6, 0)  # systemd's weeks begin on Monday, and a range of days must not run backwards
_NAMES = re.compile(r"\b(?:SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\b")


def is_cron(text: str) -> bool:
    """Whether this is cron's way to write a time, and not systemd's, which never has more than four words."""
    return text.startswith("@") or len(text.split()) >= 5


def calendar(text: str) -> tuple[str, ...]:
    """The calendar events that stand for a cron expression; SpecError for what they cannot say."""
    from cronsim import CronSim, CronSimError  # few start an app with a schedule

    wanted = MACROS.get(text.lower(), text)
    _check(wanted, text)
    try:
        found = CronSim(wanted, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        raise SpecError(
            f"schedule is {text!r}: {str(exc)[:1].lower()}{str(exc)[1:]}",
            hint="A cron expression is: [second] minute hour day-of-month month day-of-week.",
        ) from exc
    time = ":".join(
        (
            _numbers(found.hours, range(24)),
            _numbers(found.minutes, range(60)),
            _numbers(found.seconds, range(60)),
        )
    )
    months = _numbers(found.months, range(1, 13))
    days = _numbers(found.days, range(1, 32))
    week = _week({day % 7 for day in found.weekdays if isinstance(day, int)})
    if found.day_and or not week:
        return (f"{week} *-{months}-{days} {time}".strip(),)
    return (f"*-{months}-{days} {time}", f"{week} *-{months}-* {time}")


def _check(wanted: str, text: str) -> None:
    """Refuse what some crons know and a calendar event cannot say."""
    if text.startswith("@") and wanted == text:
        raise SpecError(f"schedule is {text!r}", hint=f"Cron's words that have a time: {', '.join(MACROS)}.")
    bare = _NAMES.sub("", wanted.upper())
    for sign, instead in (
        ("L", "for the last day of the month systemd's '*-*~01 03:00', for its last Monday 'Mon *-*~07/1 03:00'"),
        ("#", "for the second Monday systemd's 'Mon *-*-8..14 03:00'"),
        ("W", "for weekdays 'Mon..Fri 03:00'"),
        ("?", "'*'"),
    ):
        if sign in bare:
            raise SpecError(f"schedule is {text!r}: {sign} is not in crontab(5)", hint=f"Write {instead}.")


def _week(days: Iterable[int]) -> str:
    """Days of the week in systemd's words; empty for all."""
    wanted = [_WEEK.index(day) for day in days]
    if len(wanted) == 7:
        return ""
    return ",".join(
        _DAYS[_WEEK[first]] + ("" if first == last else f"..{_DAYS[_WEEK[last]]}") for first, last in _runs(wanted)
    )


def _numbers(values: Iterable[int], full: Sequence[int]) -> str:
    """``*``, ``00/15``, ``09..17``, ``01,15``: whichever says it shortest."""
    wanted = sorted(values)
    if wanted == list(full):
        return "*"
    step = wanted[1] - wanted[0] if len(wanted) > 2 else 1
    if step > 1 and wanted == list(range(wanted[0], full[-1] + 1, step)):
        return f"{wanted[0]:02}/{step}"
    return ",".join(f"{first:02}" if first == last else f"{first:02}..{last:02}" for first, last in _runs(wanted))


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers that follow on one another, as (first, last)."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
