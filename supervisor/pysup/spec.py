"""App <-> the section ``[X-Pysup]`` of its template unit, one JSON value a line; systemd ignores ``X-`` sections.

Values of the environment are not here, only their names: unit files are readable by everybody.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pysup.app import App, Limits, Log, Ready
from pysup.errors import CorruptUnit, SpecError
from pysup.health import Watchdog
from pysup.isolate import Isolation
from pysup.listen import Listen

if TYPE_CHECKING:
    from pysup.balance import Balance
    from pysup.triggers import Schedule, Watched

    _Nested = Ready | Watchdog | Limits | Log | Schedule | Watched | Balance | Isolation

SECTION = "X-Pysup"
FORMAT = 1


def encode(app: App) -> list[tuple[str, str]]:
    """The lines of the section: the format's number, then each field that is not at its default."""
    lines = [("Format", str(FORMAT))]
    for field, value in _changed(app).items():
        lines.append((_key(field), json.dumps(sorted(app.env) if field == "env" else value)))
    return lines


def decode(lines: Iterable[tuple[str, str]], env: Mapping[str, str], *, where: str) -> App:
    """The App that ``encode`` was given, with the values of its environment from *env*.

    Raises CorruptUnit, naming the line, when it is not what ``encode`` writes.
    """
    content = dict(lines)
    _check_format(content.pop("Format", ""), where)
    content.pop("Digest", None)
    known = {_key(field.name): field.name for field in fields(App)}
    values: dict[str, object] = {}
    for key, text in content.items():
        try:
            values[known[key]] = json.loads(text)
        except (KeyError, ValueError) as exc:
            raise _corrupt(f"{key}={text[:60]}", where) from exc
    try:
        for name, kind in _nested(values).items():
            if name in values:
                values[name] = kind(**values[name])  # type: ignore[arg-type]
        if "instance_limits" in values:
            single = values["instance_limits"].items()  # type: ignore[attr-defined]
            values["instance_limits"] = {int(number): Limits(**one) for number, one in single}
        if "listen" in values:
            values["listen"] = tuple(Listen(**one) for one in values["listen"])  # type: ignore[attr-defined]
        if "env" in values:
            values["env"] = _environment(values["env"], env, where)
        return App(**values)  # type: ignore[arg-type]
    except (SpecError, TypeError, ValueError, AttributeError) as exc:
        raise _corrupt(str(exc), where) from exc


def _nested(fields: Container[str]) -> Mapping[str, type[_Nested]]:
    """The types of those fields that have fields themselves."""
    usual: dict[str, type[_Nested]] = {
        "ready": Ready,
        "watchdog": Watchdog,
        "limits": Limits,
        "total": Limits,
        "log": Log,
        "isolate": Isolation,
    }
    if "balance" in fields:
        from pysup.balance import Balance  # few apps have it, and each list reads all apps

        usual["balance"] = Balance
    if "schedule" in fields or "watch" in fields:
        from pysup.triggers import Schedule, Watched  # as few

        usual |= {"schedule": Schedule, "watch": Watched}
    return usual


def _environment(wanted: object, env: Mapping[str, str], where: str) -> dict[str, str]:
    try:
        return {str(name): env[name] for name in wanted}  # type: ignore[attr-defined]
    except (KeyError, TypeError) as exc:
        raise _corrupt(f"Env={wanted!r} names what the environment file lacks ({exc})", where) from exc


def _changed(value: App | _Nested | Listen) -> dict[str, object]:
    """Field name to plain value, for the fields that are not at their default."""
    changed: dict[str, object] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if content == default:
            continue
        if is_dataclass(content):
            content = _changed(content)  # type: ignore[arg-type]
        elif field.name == "listen":
            content = [_changed(one) for one in content]
        elif field.name == "instance_limits":
            content = {number: _changed(one) for number, one in content.items()}
        changed[field.name] = dict(content) if isinstance(content, MappingProxyType) else content
    return changed


def _key(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))


def _check_format(number: str, where: str) -> None:
    if not number.isdigit():
        raise _corrupt("it has no Format=", where)
    if int(number) > FORMAT:
        raise CorruptUnit(
            f"{where} was written by a newer pysup (format {number}, this one knows {FORMAT})",
            hint="Upgrade pysup; systemctl works on its units meanwhile.",
        )


def _corrupt(what: str, where: str) -> CorruptUnit:
    return CorruptUnit(
        f"{where}: the section [{SECTION}] cannot be read back: {what}",
        hint="Mend the line, or delete the app and start it again; systemctl works on its units meanwhile.",
    )
