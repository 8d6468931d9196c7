"""systemd's own word on calendar events: ``systemd-analyze calendar``."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from pysup.errors import SpecError


def check(events: Sequence[str], app: str) -> None:
    """Raise SpecError if one is no calendar event, or if none of them ever comes."""
    come = [_comes(event, app) for event in events]
    if not any(come):
        raise SpecError(f"app {app!r}: schedule has {events[0]!r}, which never comes again", hint="Look at its date.")


def _comes(event: str, app: str) -> bool:
    try:
        said = subprocess.run(
            ["systemd-analyze", "calendar", "--", event], capture_output=True, text=True, check=False, timeout=30
        )
    except FileNotFoundError:
        return True  # a systemd without its tools: the timer itself will refuse
    if said.returncode:
        raise SpecError(
            f"app {app!r}: schedule has {event!r}, which is no time for systemd",
            hint="Write cron's '0 3 * * *', or a calendar event such as 'Mon..Fri 03:00': man systemd.time.",
        )
    return "Next elapse: never" not in said.stdout
