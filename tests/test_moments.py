"""What people write for a moment."""

from __future__ import annotations

from datetime import datetime

import pytest

from pysup.errors import SpecError
from pysup.moments import moment

NOW = datetime(2026, 11, 23, 15, 0, 0).timestamp()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", 0),
        ("10 min ago", 600),
        ("10min", 600),
        ("1h", 3600),
        ("-1h", 3600),
        ("1h30m", 5400),
        ("1d 12h ago", 129600),
        ("2 hours ago", 7200),
        ("1.5h", 5400),
        ("1 Week ago", 604800),
        ("today", 15 * 3600),
        ("yesterday", 39 * 3600),
        ("14:00", 3600),
        ("9:30", 5.5 * 3600),
        ("14:59:30", 30),
        ("2026-11-23", 15 * 3600),
        ("2026-11-23 10:00", 5 * 3600),
        ("2026-11-23T10:00:00", 5 * 3600),
    ],
)
def test_moments_before_now(text: str, ago: float) -> None:
    """Spans count back from now; clocks and dates are the local ones."""
    assert moment(text, "--since", now=NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1795428000", 1795428000),
        ("@1795428000.25", 1795428000.25),
        ("2026-11-23T10:00:00Z", 1795428000),
        ("2026-11-23 11:00:00+01:00", 1795428000),
    ],
)
def test_moments_of_any_clock(text: str, at: float) -> None:
    """The epoch, and times with a zone."""
    assert moment(text, "--since", now=NOW) == at


@pytest.mark.parametrize("text", ["", "soon", "10", "5 parsecs", "2026-13-01", "25:00", "-", "ago", "1h ago ago"])
def test_other_words_are_refused(text: str) -> None:
    """With examples."""
    with pytest.raises(SpecError, match="--until is") as caught:
        moment(text, "--until", now=NOW)
    assert "yesterday" in caught.value.hint
