"""Limits of namespaces: a drop-in for the slice around their apps, kept where the apps are, and gone with the last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pysup import disk, names, spec, status
from pysup.errors import Conflict, CorruptUnit, NotFound, SpecError
from pysup.limiting.groups import Group, Kind, of_app, of_namespace
from pysup.limits import Limits
from pysup.limits.table import BY_FIELD, directives
from pysup.render import File
from pysup.states import UnitState
from pysup.store import Store, Stored
from pysup.unitfile import parse, section


def members(store: Store, name: str) -> list[Stored]:
    """The apps of a namespace. Raises NotFound if there are none, and Conflict if an app has the same slice."""
    apps = status.read(store)
    found = [one for one in apps.values() if name and one.app and one.app.namespace == name]
    if not found:
        known = sorted({one.app.namespace for one in apps.values() if one.app and one.app.namespace})
        there = f"There are: {', '.join(known)}." if known else "Start an app in it: pysup start … --namespace NAME"
        raise NotFound(f"there is no namespace {name!r}", hint=there)
    same = apps.get(name)
    if same and same.app and not same.app.namespace:
        raise Conflict(
            f"the app {name!r} and the namespace {name!r} have the same slice, {names.slice_unit(name)}",
            hint="Give one of them another name.",
        )
    return found


def is_saved(members: list[Stored]) -> bool:
    """Whether its limits are to outlive a reboot: as soon as one of its apps does."""
    return any(one.saved for one in members)


def read(store: Store, name: str) -> Limits:
    """The limits of a namespace."""
    for saved in (True, False):
        path = _path(store, name, saved=saved)
        text = disk.read(path)
        lines = [one for one in parse(text or "") if one.section == spec.SECTION and one.key == "Limits"]
        if lines:
            try:
                return Limits(**json.loads(lines[0].value))
            except (TypeError, ValueError, SpecError) as exc:
                hint = f"Take it away: rm {path}; then set the limits again."
                raise CorruptUnit(f"{path} cannot be read back: {exc}", hint=hint) from exc
    return Limits()


def write(store: Store, name: str, limits: Limits, *, saved: bool) -> None:
    """Have these limits, in the one directory and not in the other; a file without any is none."""
    keep, other = _path(store, name, saved=saved), _path(store, name, saved=not saved)
    with disk.writing(keep.parent):
        if limits.given:
            disk.make(keep.parent)
            disk.replace(keep.parent, keep.name, File(_text(limits)))
        else:
            disk.unlink(keep)
        disk.unlink(other)


def settle(store: Store, name: str) -> None:
    """Have the limits of a namespace where its apps are; none, if it has no apps any more."""
    with store.lock(lock(name)):
        limits = read(store, name)
        if limits.given:
            there = [one for one in status.read(store).values() if one.app and one.app.namespace == name]
            write(store, name, limits if there else Limits(), saved=is_saved(there))


def lock(name: str) -> str:
    """What is locked by who changes a namespace; no app is called so."""
    return f"{name}:namespace"


def check(limits: Limits) -> None:
    """Raise SpecError for limits that a slice cannot have."""
    alone = [name for name in limits.given if not BY_FIELD[name].is_of_groups]
    if alone:
        raise SpecError(f"{alone[0]} is a limit of single processes", hint="Give it to the apps of the namespace.")


def running(name: str, members: list[Stored], units: Mapping[str, UnitState]) -> list[Group]:
    """The namespace's group and those of its apps, as far as they are there."""
    found = [groups[0] for one in members if one.app and (groups := of_app(one.app, units))]
    apps = [group for group in found if group.kind is Kind.APP]
    return [of_namespace(name, apps[0]), *apps] if apps else []


def _path(store: Store, name: str, *, saved: bool) -> Path:
    return store.directory(saved=saved) / f"{names.slice_unit(name)}.d" / names.NAMESPACE_FILE


def _text(limits: Limits) -> str:
    values = {name: getattr(limits, name) for name in limits.given}
    held = section("Slice", directives(limits))
    return f"# Made by pysup limit --namespace, which reads it back.\n{held}\n" + section(
        spec.SECTION, [("Limits", json.dumps(values))]
    )
