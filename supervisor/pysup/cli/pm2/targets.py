"""PM2's targets: names, namespaces, numbers of its list, ``/regex/`` and files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pysup.errors import NotFound, SpecError


def is_file(target: str) -> bool:
    """Whether it is a file of apps."""
    from pysup.files import readers

    return readers.is_file(target)


def are_known(targets: Sequence[str]) -> bool:
    """Whether all of them mean apps that are there, and none a file."""
    try:
        return bool(selectors(targets)) and all(not Path(target).is_file() for target in targets)
    except NotFound:
        return False


def selectors(targets: Sequence[str]) -> list[str]:
    """What they are in pysup's words; files stay what they are. Raises NotFound for what means nothing."""
    if all(target == "all" or is_file(target) for target in targets):
        return list(targets)
    from pysup.cli.pm2 import jlist

    rows = jlist.rows()
    return [selector for target in targets for selector in _meant(target, rows)]


def _meant(target: str, rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """*rows* have the name, the namespace and the selector of each instance, in the order of their numbers."""
    names = dict.fromkeys(name for name, _, _ in rows)
    if target == "all" or target in names or is_file(target):
        return [target]
    if len(target) > 1 and target.startswith("/") and target.endswith("/"):
        pattern = _regex(target[1:-1])
        found = [name for name in names if pattern.search(name)]
    elif any(namespace == target for _, namespace, _ in rows):
        found = [f"{target}/"]
    elif target.isdigit() and int(target) < len(rows):
        name, _, selector = rows[int(target)]
        found = [name if [row[0] for row in rows].count(name) == 1 else selector]  # the only one is the app
    else:
        found = []
    if not found:
        raise NotFound(f"there is no app, namespace or number {target!r}", hint="pysup list shows what there is.")
    return found


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as exc:
        raise SpecError(f"/{text}/ is no regular expression: {exc}", hint="Quote it for the shell.") from exc
