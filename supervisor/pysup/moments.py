"""What people write for a moment (``10 min ago``, ``yesterday``, ``2026-11-23 10:00``) -> seconds since the epoch."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from pysup.errors import SpecError

_UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BY_WORD = {word: _SECONDS[unit] for unit, words in _UNITS.items() for word in words} | {"ms": 0.001}

_PART = r"(\d+(?:\.\d+)?)\s*([a-z]+)"
_SPAN = re.compile(rf"-?\s*((?:{_PART}\s*)+)(?:\s*ago)?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
_EPOCH = re.compile(r"@(\d+(?:\.\d+)?)|(\d{9,}(?:\.\d+)?)")


def moment(text: str, field: str, *, now: float | None = None) -> float:
    """The moment that *text* means, for a clock that shows *now*; without a zone it is the local time's.

    ``now``, ``today``, ``yesterday``; ``1h``, ``10 min ago``, ``1d 12h``; ``10:30``, ``2026-11-23``,
    ``2026-11-23 10:30``, ISO 8601 with a zone; seconds since the epoch, with or without ``@``.
    """
    now = time.time() if now is None else now
    wanted = text.strip().lower()
    found = _by_name(wanted, now)
    if found is None:
        found = _by_number(wanted)
    if found is None:
        found = _by_span(wanted, now)
    if found is None:
        found = _by_calendar(text.strip(), now)
    if found is None:
        raise SpecError(
            f"{field} is {text!r}, not a moment",
            hint="Write it like 10min, '2 hours ago', yesterday, 10:30, '2026-11-23 10:30' or 1795428000.",
        )
    return found


def _by_name(text: str, now: float) -> float | None:
    days = {"today": 0, "yesterday": 1}.get(text)
    if days is None:
        return now if text == "now" else None
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - timedelta(days=days)).timestamp()


def _by_number(text: str) -> float | None:
    found = _EPOCH.fullmatch(text)
    return float(found[1] or found[2]) if found else None


def _by_span(text: str, now: float) -> float | None:
    found = _SPAN.fullmatch(text)
    if not found:
        return None
    parts = re.findall(_PART, found[1])
    if any(unit not in _BY_WORD for _, unit in parts):
        return None
    return now - sum(float(number) * _BY_WORD[unit] for number, unit in parts)


def _by_calendar(text: str, now: float) -> float | None:
    if _CLOCK.fullmatch(text):
        text = f"{datetime.fromtimestamp(now).date()} {text.zfill(5) if text.count(':') == 1 else text.zfill(8)}"
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
