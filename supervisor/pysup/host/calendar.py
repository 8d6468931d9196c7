"""systemd's own word on a calendar event: ``systemd-analyze calendar``."""

from __future__ import annotations

import subprocess

from pysup.errors import SpecError


def check(event: str, app: str) -> None:
    """Raise SpecError for what is no calendar event, or one that never comes."""
    try:
        said = subprocess.run(
            ["systemd-analyze", "calendar", "--", event], capture_output=True, text=True, check=False, timeout=30
        )
    except FileNotFoundError:
        return  # a systemd without its tools: the timer itself will refuse
    if said.returncode:
        raise SpecError(
            f"app {app!r}: schedule has {event!r}, which is no time for systemd",
            hint="Write cron's '0 3 * * *', or a calendar event such as 'Mon..Fri 03:00': man systemd.time.",
        )
    if "Next elapse: never" in said.stdout:
        raise SpecError(f"app {app!r}: schedule has {event!r}, which never comes again", hint="Look at its date.")
