"""What people write (``300M``, ``2s``, ``150%``, ``tcp:8080``) -> the numbers and conditions of an App."""

from __future__ import annotations

import re
from typing import Any

from pysup import check, cron
from pysup.errors import SpecError
from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
from pysup.triggers import Schedule

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_RATE = re.compile(r"(/.*?)[: ]\s*(\d{1,15}(?:\.\d+)?)\s*([KMGT]?)B?(?:/s)?", re.IGNORECASE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, None: 1}


def size(text: str, field_name: str) -> int:
    """Bytes from ``512M``, ``1.5G`` or a plain number; units are powers of 1024, as systemd's are."""
    found = _SIZE.fullmatch(text.strip())
    if not found or len(found[1]) > 20:
        raise SpecError(f"{field_name} is {text[:40]!r}, not a size", hint="Write it like 300M, 1.5G or 1048576.")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def span(text: str, field_name: str) -> float:
    """Seconds from ``500ms``, ``2s``, ``5min``, ``1h`` or a plain number."""
    found = _SPAN.fullmatch(text.strip())
    if not found or len(found[1]) > 20:
        raise SpecError(f"{field_name} is {text[:40]!r}, not a time", hint="Write it like 500ms, 2s, 5min or 1h.")
    return float(found[1]) * _SECONDS[found[2]]


def cpus(text: str, field_name: str) -> float:
    """CPUs from ``150%`` or ``1.5``."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise SpecError(f"{field_name} is {text!r}, not a share", hint="Write it like 150% or 1.5.") from None
    return value


def numbers(text: str, field_name: str) -> tuple[int, ...]:
    """Numbers from the kernel's way to list them: ``0-3,8``."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 5 for end in ends) or int(ends[0]) > int(ends[1]):
            raise SpecError(f"{field_name} is {text[:40]!r}, not a list of numbers", hint="Write it like 0-3,8.")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return tuple(sorted(found))


def rates(text: str, field_name: str) -> tuple[str, ...]:
    """Bytes a second by device, or by a path on it, from ``/dev/vda:50M,/srv:1G``; units are powers of 1000, as
    systemd's are for these.
    """
    return tuple(_rate(part.strip(), field_name) for part in text.split(","))


def _rate(text: str, field_name: str) -> str:
    found = _RATE.fullmatch(text)
    if not found:
        raise SpecError(
            f"{field_name} is {text[:60]!r}, not a device and bytes a second",
            hint="Write it like /dev/vda:50M, or with a directory on the device: /srv:50M.",
        )
    return f"{found[1]} {int(float(found[2]) * 1000 ** ' KMGT'.index(found[3].upper() or ' '))}"


def ready(text: str, *, timeout: float = 90.0) -> Ready:
    """A condition from ``exec``, ``notify``, ``send``, ``tcp``, ``tcp:[HOST:]PORT``, ``2s`` or an http(s) URL.

    A URL may be followed by the wanted status codes: ``http://127.0.0.1:{port}/health 200,204``.
    """
    if text in ("exec", "notify", "send"):
        return Ready(when=ReadyWhen(text), timeout=timeout)
    if _SPAN.fullmatch(text):
        return Ready(when=ReadyWhen.SECONDS, seconds=span(text, "ready"), timeout=timeout)
    question = _question(text, "ready")
    if question:
        return Ready(when=ReadyWhen.HTTP if "url" in question else ReadyWhen.TCP, timeout=timeout, **question)
    raise SpecError(
        f"ready is {text!r}, not a condition",
        hint="Use exec, notify, send, tcp, tcp:PORT, http://127.0.0.1:{port}/path or a time such as 2s.",
    )


def watchdog(text: str, before: Watchdog | None = None) -> Watchdog | None:
    """A watchdog from a time (the program tells systemd within it), ``tcp``, ``tcp:[HOST:]PORT`` or an http(s) URL, as
    for ``ready``; None from ``off``. Interval, timeout and failures are those of *before*.
    """
    if text == "off":
        return None
    kept = {name: getattr(before or Watchdog(), name) for name in ("interval", "timeout", "failures")}
    if _SPAN.fullmatch(text):
        return Watchdog(**{**kept, "interval": span(text, "watchdog")})
    question = _question(text, "watchdog")
    if question:
        return Watchdog(when=WatchdogWhen.HTTP if "url" in question else WatchdogWhen.TCP, **kept, **question)
    raise SpecError(
        f"watchdog is {text!r}, not a condition",
        hint="Use 30s (within it, it says WATCHDOG=1), tcp, tcp:PORT, http://127.0.0.1:{port}/path, or off.",
    )


def _question(text: str, name: str) -> dict[str, Any]:
    """Whom to ask, in the words of a Question; empty if the text is none."""
    if text == "tcp":
        return {"port": None}
    if text.startswith("tcp:"):
        host, _, port = text[4:].rpartition(":")
        return {"host": host.strip("[]") or "127.0.0.1", "port": check.number(port, name)}
    if text.startswith(("http://", "https://")):
        url, _, wanted = text.partition(" ")
        codes = [check.number(code, f"{name} status") for code in wanted.split(",") if code.strip()]
        return {"url": url, "statuses": tuple(codes)}
    return {}


def schedule(text: str, *, zone: str = "", catch_up: bool = False, random_delay: float = 0.0) -> Schedule:
    """Times from a cron expression (``0 3 * * *``) or from systemd's (``Mon..Fri 03:00``), in a time zone if given.

    systemd alone can check its own: ``host.calendar`` asks it.
    """
    text = " ".join(text.split())
    calendar = cron.calendar(text) if cron.is_cron(text) else (text,)
    if zone:
        if not _ZONE.fullmatch(zone):
            raise SpecError(f"schedule has the time zone {zone!r}", hint="Such as Europe/Berlin or UTC.")
        calendar = tuple(f"{one} {zone}" for one in calendar)
    when = f"{text} {zone}".rstrip()
    return Schedule(when=when, calendar=calendar, catch_up=catch_up, random_delay=random_delay)
