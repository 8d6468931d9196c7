"""What pysup does to apps, as fields of a journal entry, there and back: so that history knows it. Pure.

The journal is the only place where it is written. An entry counts if its ``_UID=`` (journald's own word) is that of the
manager's owner: nobody else can write history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pysup import names
from pysup.events import (
    Asked,
    Deleted,
    HookRan,
    Limited,
    OfApp,
    Reloaded,
    Saved,
    Scaled,
    SecretRemoved,
    SecretSet,
    Unsaved,
)
from pysup.secret import reference
from pysup.unit import Scope

MESSAGE_ID = "c0d7b1f2a3e84d5f9a6be1c47d20f853"
VERBS = ("start", "stop", "restart")
HOOKS = ("on_failure", "on_restart", "on_give_up", "on_recover")

_PLAIN = (Reloaded, Saved, Unsaved, Deleted)
_LONGEST = 1000


def encode(event: OfApp, scope: Scope) -> dict[str, str]:
    """The fields of the entry."""
    kind = type(event).__name__.lower()
    fields = {
        "MESSAGE": sentence(event),
        "MESSAGE_ID": MESSAGE_ID,
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "pysup",
        "PYSUP_EVENT": kind,
        "PYSUP_SCOPE": scope.value,
        "PYSUP_APP": event.app,
        "PYSUP_BY": event.by,
    }
    match event:
        case Asked(verb=verb, instances=instances, why=why):
            fields |= {"PYSUP_VERB": verb, "PYSUP_INSTANCES": " ".join(map(str, instances)), "PYSUP_WHY": why}
        case Scaled(before=before, count=count):
            fields |= {"PYSUP_BEFORE": str(before), "PYSUP_COUNT": str(count)}
        case Limited(instances=instances):
            fields |= {"PYSUP_INSTANCES": " ".join(map(str, instances))}
        case SecretSet(secret=secret) | SecretRemoved(secret=secret):
            fields |= {"PYSUP_SECRET": secret}
        case HookRan(hook=hook, instance=instance, problem=problem):
            fields |= {"PYSUP_HOOK": hook, "PYSUP_INSTANCES": "" if instance is None else str(instance)}
            fields |= {"PYSUP_PROBLEM": problem}
        case _:
            pass
    return fields


def sentence(event: OfApp) -> str:
    """The entry's message."""
    by = f" by {event.by}" if event.by else ""
    match event:
        case Asked(verb=verb, instances=instances):
            return f"pysup: {verb} of {_who(event.app, instances)} was asked for{by}"
        case Limited(instances=instances):
            return f"pysup: {_who(event.app, instances)} was given other limits{by}"
        case SecretSet(secret=secret):
            return f"pysup: secret {secret} of {event.app} was set{by}"
        case SecretRemoved(secret=secret):
            return f"pysup: secret {secret} of {event.app} was removed{by}"
        case Scaled(before=before, count=count):
            return f"pysup: {event.app} was scaled from {before} to {count} instances{by}"
        case HookRan(hook=hook, problem=problem):
            return f"pysup: {hook} of {event.app} {f'went wrong: {problem}' if problem else 'was run'}"
        case _:
            return f"pysup: {event.app} was {type(event).__name__.lower()}{by}"


def _who(app: str, instances: tuple[int, ...]) -> str:
    return ", ".join(f"{app}@{number}" for number in instances) or app


def decode(field: Callable[[str], str], at: float, scope: Scope) -> OfApp | None:
    """The event of an entry; None if it is not one of this scope's, or damaged."""
    app = field("PYSUP_APP")
    if field("PYSUP_SCOPE") != scope.value or not names.NAME.fullmatch(app):
        return None
    decoder = _DECODERS.get(field("PYSUP_EVENT"))
    try:
        return decoder(field, app, at, field("PYSUP_BY")[:_LONGEST]) if decoder else None
    except ValueError:
        return None


_Field = Callable[[str], str]
_Decoder = Callable[[_Field, str, float, str], OfApp]


def _asked(field: _Field, app: str, at: float, by: str) -> OfApp:
    verb = field("PYSUP_VERB")
    if verb not in VERBS:
        raise ValueError(verb)
    numbers = _numbers(field("PYSUP_INSTANCES"))
    return Asked(app=app, at=at, by=by, verb=verb, instances=numbers, why=field("PYSUP_WHY")[:_LONGEST])


def _scaled(field: _Field, app: str, at: float, by: str) -> OfApp:
    return Scaled(app=app, at=at, by=by, before=_number(field("PYSUP_BEFORE")), count=_number(field("PYSUP_COUNT")))


def _limited(field: _Field, app: str, at: float, by: str) -> OfApp:
    return Limited(app=app, at=at, by=by, instances=_numbers(field("PYSUP_INSTANCES")))


def _of_secret(kind: type[SecretSet | SecretRemoved]) -> _Decoder:
    def decoded(field: _Field, app: str, at: float, by: str) -> OfApp:
        secret = field("PYSUP_SECRET")
        reference.check_name(secret)
        return kind(app=app, at=at, by=by, secret=secret)

    return decoded


def _hook_ran(field: _Field, app: str, at: float, by: str) -> OfApp:
    hook, numbers = field("PYSUP_HOOK"), _numbers(field("PYSUP_INSTANCES"))
    if hook not in HOOKS:
        raise ValueError(hook)
    return HookRan(
        app=app,
        at=at,
        by=by,
        hook=hook,
        instance=numbers[0] if numbers else None,
        problem=field("PYSUP_PROBLEM")[:_LONGEST],
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(_number, text[:_LONGEST].split()))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(text)
    return int(text)


def _plain(kind: type[Reloaded | Saved | Unsaved | Deleted]) -> _Decoder:
    return lambda _field, app, at, by: kind(app=app, at=at, by=by)


_DECODERS: Mapping[str, _Decoder] = {
    "asked": _asked,
    "scaled": _scaled,
    "limited": _limited,
    "secretset": _of_secret(SecretSet),
    "secretremoved": _of_secret(SecretRemoved),
    "hookran": _hook_ran,
    **{kind.__name__.lower(): _plain(kind) for kind in _PLAIN},
}
