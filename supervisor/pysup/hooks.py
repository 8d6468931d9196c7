"""Hooks: whom systemd tells when instances fail, restart, are given up, or are well again; for one app, or for all.

They are one drop-in for the instances of all apps, one unit, a script for the shell and one for Python, and the
settings, in a file of mode 0600: addresses of webhooks are secrets. Nothing of it needs pysup once it is written.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pysup import check, companions, disk
from pysup.deeds import HOOKS
from pysup.errors import CorruptUnit, SpecError
from pysup.render import File
from pysup.store import Store
from pysup.unit import Scope
from pysup.unitfile import command_line, section

DROP_IN = "pysup-@.service.d/hooks.conf"  # for all templates whose name begins so: systemd.unit(5)
UNIT = "pysup@.service"
SETTINGS = "pysup-hooks.json"
SHELL, PYTHON = "pysup-hooks.sh", "pysup-hooks.py"

KINDS = ("slack", "discord", "ntfy")

Target = Mapping[str, object]
ByHook = Mapping[str, tuple[Target, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Targets by hook (``on_failure`` …): for all apps, and more for single ones."""

    everyone: ByHook = field(default_factory=lambda: MappingProxyType({}))
    apps: Mapping[str, ByHook] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.everyone or self.apps)

    def of(self, app: str | None) -> ByHook:
        """Those of one app alone, or those for all."""
        return self.everyone if app is None else self.apps.get(app, {})

    def replaced(self, app: str | None, hooks: ByHook) -> Hooks:
        """The same with other hooks for one app, or for all."""
        some = {name: targets for name, targets in hooks.items() if targets}
        if app is None:
            return Hooks(everyone=some, apps=self.apps)
        apps = {**self.apps, app: some}
        return Hooks(everyone=self.everyone, apps={name: one for name, one in apps.items() if one})


def target(text: str, option: str) -> Target:
    """What a text means: a URL, ``slack:URL``, ``discord:URL``, ``ntfy:URL``, ``mailto:ADDRESS``, or a command line."""
    kind, colon, rest = text.partition(":")
    if kind == "mailto" and colon:
        check.line(rest, option)
        if "@" not in rest:
            raise SpecError(f"{option} is {text!r}, not an address", hint="Write mailto:ops@example.org.")
        return {"kind": "mail", "to": rest}
    if kind in KINDS and colon:
        _require_url(rest, option, f"{kind}:")
        return {"kind": kind, "url": rest}
    if kind in ("http", "https"):
        _require_url(text, option, "")
        return {"kind": "webhook", "url": text}
    return {"kind": "command", "argv": _command(text, option)}


def _require_url(url: str, option: str, kind: str) -> None:
    try:
        check.http_url(url, option)
    except SpecError as exc:
        raise SpecError(exc.message, hint=f"Write {kind}https://HOST/PATH.") from None


def _command(text: str, option: str) -> list[str]:
    check.text(text, option)
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise SpecError(f"{option} is {text!r}: {exc}", hint="Close the quotes.") from None
    program = shutil.which(words[0]) if words else None
    if program is None and words and Path(words[0]).is_file():
        raise SpecError(f"{option} is {text!r}: it may not be executed", hint=f"Type: chmod +x {words[0]}")
    if program is None:
        hint = "Write a command, a URL, slack:URL, discord:URL, ntfy:URL or mailto:ADDRESS."
        raise SpecError(f"{option} is {text!r}: there is no such program", hint=hint)
    return [os.path.abspath(program), *words[1:]]  # noqa: PTH100 (resolves no links: a name may be what counts)


def shown(one: Target) -> str:
    """A target as people may see it: of a URL its host only, for the rest of it may be a secret."""
    if one["kind"] == "command":
        argv = one["argv"]
        return shlex.join(argv if isinstance(argv, list) else [])
    if one["kind"] == "mail":
        return f"mailto:{one['to']}"
    host = "/".join(str(one["url"]).split("/")[:3]).rpartition("@")
    return f"{one['kind']} at {host[2]}"


def read(store: Store) -> Hooks:
    """The hooks that there are. Raises NotPermitted for who may not read them."""
    text = disk.read(store.saved / SETTINGS)
    if text is None:
        return Hooks()
    try:
        found = json.loads(text)
        return Hooks(
            everyone=_by_hook(found.get("all", {})), apps={app: _by_hook(one) for app, one in found["apps"].items()}
        )
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CorruptUnit(f"{store.saved / SETTINGS} cannot be read: {exc}", hint="Type: pysup hooks --clear") from exc


def _by_hook(found: Mapping[str, Sequence[Target]]) -> ByHook:
    return {name: tuple(dict(one) for one in targets) for name, targets in found.items() if name in HOOKS}


def are_there(store: Store) -> bool:
    """Whether any hook is set; everybody may know that."""
    return (store.saved / DROP_IN).exists()


def write(store: Store, scope: Scope, hooks: Hooks, python: str) -> bool:
    """Put the hooks in place, or all of it away if there are none; whether systemd must read its units again."""
    place = store.saved
    with disk.writing(place):
        before = [disk.read(place / path) for path in (DROP_IN, UNIT)]
        if not hooks:
            for path in (DROP_IN, UNIT, SHELL, PYTHON, SETTINGS):
                disk.unlink(place / path)
        else:
            disk.make((place / DROP_IN).parent)
            for path, file in _files(place, scope, hooks, python).items():  # the drop-in, that has it work, comes last
                disk.replace((place / path).parent, Path(path).name, file)
        return before != [disk.read(place / path) for path in (DROP_IN, UNIT)]


def _files(place: Path, scope: Scope, hooks: Hooks, python: str) -> dict[str, File]:
    settings = {"all": dict(hooks.everyone), "apps": {app: dict(one) for app, one in hooks.apps.items()}}
    manager = f"--{scope.value}"

    def told(what: str) -> str:
        line = command_line(("/bin/sh", f"{place}/{SHELL}", what, manager, python))
        return f"-+{line} %p %i"

    failed = command_line((python, "-I", "-B", f"{place}/{PYTHON}", "failed", manager))
    unit = section("Unit", [("Description", "Hooks of %i"), ("StartLimitIntervalSec", "0")])
    service = [("Type", "oneshot"), ("ExecStart", f"{failed} %i"), ("TimeoutStartSec", "300"), ("Nice", "10")]
    drop_in = section("Unit", [("OnFailure", "pysup@%p@%i.service")]) + "\n"
    return {
        SETTINGS: File(json.dumps(settings, indent=2) + "\n", 0o600),
        SHELL: File(companions.script("hooks.sh")),
        PYTHON: File(companions.script("hooks.py")),
        UNIT: File(unit + "\n" + section("Service", [*service, ("LogLevelMax", "notice")])),
        DROP_IN: File(drop_in + section("Service", [("ExecStartPost", told("start")), ("ExecStopPost", told("exit"))])),
    }
