"""How the apps are that a file may be about: a conversation with systemd, and their unit files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from pysup import names, status
from pysup.bus import systemd1
from pysup.bus.call import Conversation
from pysup.bus.call import check as check_reply
from pysup.errors import PysupError
from pysup.files.change import Seen
from pysup.store import Store

_PATTERNS = (f"{names.PREFIX}*.target", f"{names.PREFIX}*@*.service")
_IDLE = ("inactive", "failed")


def look(store: Store, wanted: Collection[str]) -> Conversation[dict[str, Seen]]:
    """Every app that there is; of those that are *wanted*, also whether their files were changed by somebody else."""
    stored = status.read(store)
    if not stored:
        return {}
    (reply,) = yield [systemd1.list_units(_PATTERNS)]
    rows = cast("list[Sequence[object]]", check_reply(reply)[0])
    paths = {str(row[0]): str(row[6]) for row in rows if row[3] not in _IDLE}
    up: dict[str, list[str]] = {}
    for unit in paths:
        instance = names.parse_instance(unit)
        if instance:
            up.setdefault(instance.app, []).append(unit)
    asked = [unit for name in wanted for unit in up.get(name, ())]
    replies = (yield [systemd1.get(paths[unit], systemd1.UNIT, "NeedDaemonReload") for unit in asked]) if asked else []
    old = {unit for unit, told in zip(asked, replies, strict=True) if not isinstance(told, PysupError) and told[0]}
    return {
        name: Seen(
            stored=one,
            up=len(up.get(name, ())),
            is_on=names.target_unit(name) in paths,
            is_edited=name in wanted and store.is_edited(name),
            is_stale=name in wanted and (store.is_unfinished(name) or bool(old & set(up.get(name, ())))),
        )
        for name, one in stored.items()
    }
