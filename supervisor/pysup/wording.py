"""Numbers and strangers' text for people: times, sizes, shares of a CPU, text that cannot rule a terminal."""

from __future__ import annotations

from pysup.unit import Instance

_SPANS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """A time in its largest unit: ``5m``."""
    for size, unit in _SPANS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "0s"


def size(count: int) -> str:
    """Bytes for people: ``48.1M``; units are powers of 1024, as systemd's are."""
    value = float(count)
    for unit in "BKMGT":
        if value < 1000 or unit == "T":
            break
        value /= 1024
    return f"{value:.0f}{unit}" if unit in "BK" or value >= 100 else f"{value:.1f}{unit}"


def cpu_percent(instance: Instance, now: float) -> float | None:
    """What part of a CPU it has had since it came up, on average."""
    used, since = instance.usage.cpu_seconds, instance.since
    if used is None or since is None or not instance.pid:
        return None
    return 100 * used / max(now - since, 0.1)


def plain(text: str) -> str:
    """Text of somebody else's without control characters: they could rule the terminal."""
    return "".join(char if char.isprintable() or char == "\t" else _visible(char) for char in text)


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode()
