"""A description as JSON: docs/json.md has the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from pysup.app import App
from pysup.describe import Description, InstanceDescription


def as_object(found: Description, *, show_env: bool) -> dict[str, object]:
    """An app with its instances; values of its environment only with *show_env*."""
    app = found.app
    return {
        "name": app.name,
        "scope": app.scope.value,
        "saved": app.saved,
        "problem": app.problem or None,
        "spec": _spec(app.spec, show_env=show_env and not found.is_env_hidden) if app.spec else None,
        "files": [str(file) for file in found.files],
        "foreign_files": [str(file) for file in found.foreign],
        "edited": found.is_edited,
        "stale": found.is_stale,
        "notes": list(app.notes),
        "next_run": app.next_run,
        "last_run": app.last_run,
        "instances": [_instance_object(one) for one in found.instances],
    }


def _spec(app: App, *, show_env: bool) -> dict[str, object]:
    own = {field.name: _plain(getattr(app, field.name)) for field in fields(app)}
    return {**own, "env": app.shown_env if show_env else dict.fromkeys(app.env)}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value  # type: ignore[call-overload]


def _instance_object(found: InstanceDescription) -> dict[str, object]:
    one = found.instance
    return {
        "id": str(one.name),
        "unit": one.name.unit,
        "state": one.state,
        "sub_state": one.sub_state,
        "result": one.result,
        "since": one.since,
        "pid": one.pid or None,
        "pids": list(found.pids),
        "user": one.user or None,
        "port": one.port,
        "cpus": list(one.cpus),
        "restarts": one.restarts,
        "last_exit": one.last_exit._asdict() if one.last_exit else None,
        "restarted": found.restarted._asdict() if found.restarted else None,
        "usage": one.usage._asdict(),
        "limits": found.limits._asdict(),
        "control_group": one.control_group or None,
        "invocation_id": one.invocation_id or None,
        "ended": found.ended.what if found.ended else None,
        "why": found.why.what if found.why else None,
        "remedy": found.why.remedy or None if found.why else None,
        "core": asdict(found.core) if found.core else None,
        "log": list(found.log),
    }
