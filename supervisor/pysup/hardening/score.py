"""How exposed an app's units are, by systemd-analyze: a score of 0 (safe) to 10, and what would lower it most."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pysup import names
from pysup.errors import EnvironmentProblem
from pysup.isolate import Level
from pysup.isolation import table
from pysup.unit import Scope

_OVERALL = re.compile(r"Overall exposure level for \S+: ([\d.]+) (\w+)")
_BEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A directive that would lower the score by about so much; ``level`` is the next that has it, if one does."""

    directive: str
    exposure: float
    about: str
    level: Level | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What systemd-analyze says of an app: ``exposure`` and its word for that, and the changes that help most."""

    app: str
    exposure: float
    word: str
    changes: tuple[Change, ...]


def of(app: str, scope: Scope, level: Level = Level.OFF) -> Score:
    """The score of an app's first instance, running or not; *level* is its own.

    Raises EnvironmentProblem where systemd cannot tell.
    """
    unit = names.instance_unit(app, 0)
    overall = _OVERALL.search(_analyze(scope, unit))
    if not overall:
        raise EnvironmentProblem(f"systemd-analyze tells no score of {unit}", hint="See: systemd-analyze security.")
    rows: Sequence[Mapping[str, object]] = json.loads(_analyze(scope, unit, "--json=short"))
    return Score(app=app, exposure=float(overall[1]), word=overall[2], changes=best(rows, scope, level))


def best(rows: Sequence[Mapping[str, object]], scope: Scope, now: Level = Level.OFF) -> tuple[Change, ...]:
    """The directives that lower the score most; parts of one (a capability, a group of system calls) count together."""
    totals: dict[str, float] = {}
    about: dict[str, str] = {}
    for row in rows:
        directive = str(row["name"]).partition("=")[0]
        if row.get("set") is False and row.get("exposure"):
            totals[directive] = totals.get(directive, 0) + float(str(row["exposure"]))
            about.setdefault(directive, str(row["description"]))
    highest = sorted(totals, key=lambda directive: (-totals[directive], directive))[:_BEST]
    return tuple(
        Change(directive=one, exposure=round(totals[one], 1), about=about[one], level=_above(now, one, scope))
        for one in highest
    )


def _above(now: Level, directive: str, scope: Scope) -> Level | None:
    """The first level above that which has more of a directive."""
    rule = next((rule for rule in table.RULES if rule.directive == directive), None)
    if rule is None or not rule.works_in(scope, namespaces=True):
        return None
    return next((one for one in Level if one.rank > now.rank and rule.values(one) != rule.values(now)), None)


def _analyze(scope: Scope, unit: str, *options: str) -> str:
    command = ["systemd-analyze", f"--{scope.value}", "--no-pager", "security", *options, unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise EnvironmentProblem(f"systemd-analyze cannot be run: {exc.strerror}", hint="It is systemd's own.") from exc
    if not done.stdout:
        raise EnvironmentProblem(
            f"systemd-analyze security: {done.stderr.strip() or 'it says nothing'}",
            hint="Its --json needs systemd 250; --user one that can be reached.",
        )
    return done.stdout
