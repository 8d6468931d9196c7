"""Write the table of docs/requirements.md, which feature needs what, by the one that pysup asks (host/features.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pysup.host.features import FEATURES, OLDEST, Feature
from pysup.unit import Scope

DOCUMENT = Path(__file__).parent.parent / "docs/requirements.md"
_BEGIN, _END = "<!-- scripts/requirements.py writes this -->\n", "<!-- to here -->\n"


def table() -> str:
    """The rows as Markdown, by what they need."""
    rows = sorted(FEATURES, key=lambda one: (max(one.since, OLDEST), one.needs_v2, one.name))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (*_HEAD, *map(_cells, rows)))


def written() -> str:
    """The document with the table of now."""
    before, rest = DOCUMENT.read_text().split(_BEGIN)
    return before + _BEGIN + table() + _END + rest.split(_END)[1]


_HEAD = (
    ("feature", "asked for by", "systemd", "control groups", "in a user's own manager", "without it"),
    ("---",) * 6,
)


def _cells(feature: Feature) -> Iterator[str]:
    yield feature.name
    yield ", ".join(f"`{one}`" for one in (feature.option, feature.directive) if one)
    yield str(feature.since) if feature.since > OLDEST else "any"
    yield "v2" if feature.needs_v2 else "any"
    yield _own(feature)
    yield feature.without


def _own(feature: Feature) -> str:
    """What it needs there on top."""
    if feature.for_root:
        return "not there"
    later = feature.first_in(Scope.USER)
    needs = [f"systemd {later}"] if later > feature.since else []
    needs += [f"v2, `{feature.controller}` delegated"] if feature.controller else []
    return ", ".join(needs) or "the same"


if __name__ == "__main__":
    DOCUMENT.write_text(written())
