"""Secrets set and taken away: kept on disk, named in the units of their app, and handed to its instances anew.

The value goes to disk first, then the units name it, then instances are replaced one by one. If one does not come up,
all of that is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pysup import check, revisions, vault
from pysup.app import App
from pysup.errors import Conflict, JobFailed, JobTimeout, NotFound, NotPermitted, PysupError, SpecError
from pysup.host import creds, features
from pysup.reload import USUAL, ReloadOptions
from pysup.secret import reference
from pysup.store import Store
from pysup.unit import AppStatus, Scope
from pysup.vault import Kept

LARGEST = 512 * 1024
"""Bytes of one secret; systemd hands a unit no more than 1 MiB of them altogether."""

TOGETHER = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret of an app: ``where`` it is, in words, and the variable that holds it besides, or empty.

    ``kept`` is how it is kept by ``set_secret``; None if its file is somebody else's. ``note`` is worth telling.
    """

    app: str
    name: str
    where: str
    variable: str = ""
    kept: Kept | None = None
    note: str = ""
    is_handed_over: bool = False


class Hands(Protocol):
    """What is asked of the manager."""

    async def define(self, app: App, *, anew: bool = False) -> AppStatus:
        """Have an app known as it is now."""

    async def reload(self, what: str, *, options: ReloadOptions = USUAL) -> list[AppStatus]:
        """Replace its instances."""

    async def start(self, what: str) -> list[AppStatus]:
        """Start those that do not run."""

    async def get(self, name: str) -> AppStatus:
        """How it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrusting:
    """One secret of one app, to be set or taken away; ``is_real`` unless its systemd is a fake."""

    hands: Hands
    store: Store
    scope: Scope
    app: str
    name: str
    restart: bool
    options: ReloadOptions
    is_real: bool = True

    async def set(self, value: bytes, *, variable: str | None, version: int) -> Secret:
        """Keep *value*; *variable* is to hold it, too, unless it is empty; None leaves that as it is."""
        before = await asyncio.to_thread(self._check, value, variable)
        wanted = before.variable if variable is None and before else variable or ""
        text, why = await asyncio.to_thread(self._encrypted, value, version)
        saved = await asyncio.to_thread(
            self._locked, lambda: vault.put(self._folder, self.name, text, is_encrypted=not why, variable=wanted)
        )
        is_handed_over = await self._hand_over(saved, drops_variable=variable is not None)
        kept = self.store.secrets(self.app)[self.name]
        return _told(self.app, kept, note=why, is_handed_over=is_handed_over)

    async def remove(self) -> bool:
        """Take it away; whether instances were replaced for it."""
        if self.name not in self.store.secrets(self.app):
            raise NotFound(f"app {self.app!r} has no secret {self.name!r} here", hint=f"pysup secret list {self.app}")
        saved = await asyncio.to_thread(self._locked, lambda: vault.put_back(self._folder, self.name, {}))
        return await self._hand_over(saved, drops_variable=True)

    def _check(self, value: bytes, variable: str | None) -> Kept | None:
        """Raise what keeps the value from being handed over; the secret as it is kept now."""
        check.app_name(self.app, "app")
        reference.check_name(self.name)
        before = self.store.secrets(self.app)
        there = before.get(self.name)
        if len(value) > LARGEST:
            raise SpecError(f"the secret is of {len(value)} bytes", hint=f"The most is {LARGEST}; take a file for it.")
        others = sum(len(name) + one.size for name, one in before.items() if name != self.name)
        if others + len(self.name) + len(value) > TOGETHER:
            raise SpecError(
                f"the secrets of app {self.app!r} would be more than {TOGETHER} bytes, systemd's limit",
                hint="Take one away, or a file for it.",
            )
        held = there.variable if variable is None and there else variable
        if held:
            _check_variable(held, value)
        stored = self.store.find(self.app)
        own = stored.require().secrets.get(self.name) if stored else None
        if own and not vault.is_kept(self._folder, own):
            raise Conflict(
                f"app {self.app!r} has secret {self.name!r} from elsewhere: {reference.said(self.name, own)}",
                hint="Take it out of the app's settings first, or take another name.",
            )
        return there

    def _encrypted(self, value: bytes, version: int) -> tuple[bytes, str]:
        """The value as it is to be kept, and why it is not encrypted, or empty."""
        if not self.is_real:
            return value, "there is no systemd that would decrypt it"
        since = features.since("LoadCredentialEncrypted", self.scope)
        if version < since:
            whose = "a user's own systemd" if self.scope is Scope.USER else "systemd"
            return value, f"{whose} decrypts nothing before version {since}, and this is {version}"
        try:
            return creds.encrypt(self.name, value, self.scope), ""
        except creds.CannotEncrypt as exc:
            return value, str(exc)

    def _locked(self, change: Callable[[], None]) -> Mapping[str, bytes]:
        """Change what is kept while nobody else does; the secret's files as they were."""
        with self.store.lock(self.app):
            before = vault.take(self._folder, self.name)
            change()
        return before

    @property
    def _folder(self) -> Path:
        if self.store.vault is None:
            raise NotPermitted("secrets are not kept here", hint="Use a Store with a vault.")
        return self.store.vault / self.app

    async def _hand_over(self, saved: Mapping[str, bytes], *, drops_variable: bool) -> bool:
        """Have the app's units and its instances know what is kept now; whether instances were replaced."""
        stored = self.store.find(self.app)
        if stored is None:
            return False
        before = stored.require()
        variables = {key: name for key, name in before.secret_env.items() if not (drops_variable and name == self.name)}
        try:
            await self.hands.define(replace(before, secret_env=variables))
            if not self.restart or not any(one.is_up for one in (await self.hands.get(self.app)).instances):
                return False
            await self.hands.reload(self.app, options=self.options)
        except PysupError as exc:
            await self._take_back(saved, before, is_begun=isinstance(exc, (JobFailed, JobTimeout)))
            exc.message += "; the secret is as it was before"
            exc.args = (exc.message,)
            raise
        return True

    async def _take_back(self, saved: Mapping[str, bytes], before: App, *, is_begun: bool) -> None:
        """Have the secret, the units and, if some of them were replaced, the instances as they were."""
        await asyncio.to_thread(self._locked, lambda: vault.put_back(self._folder, self.name, saved))
        with revisions.taking_back():
            await self.hands.define(before)
        if is_begun:
            await self.hands.reload(self.app, options=ReloadOptions(surge=False))
            await self.hands.start(self.app)  # those that had given up


def listed(store: Store, name: str) -> list[Secret]:
    """The secrets of an app, also those that are kept for one that is not there yet. Raises NotFound."""
    stored = store.find(name)
    try:
        kept = store.secrets(name)
    except NotPermitted:
        kept = vault.known(stored.app, store.vault / name) if stored and store.vault else {}
    if stored is None and not kept:
        raise NotFound(
            f"there is no app {name!r}, and no secret is kept for it", hint="pysup list shows what there is."
        )
    app = stored.app if stored else None
    found = {one: _told(name, each) for one, each in kept.items()}
    for one, text in app.secrets.items() if app else ():
        holder = next((variable for variable, held in app.secret_env.items() if held == one), "") if app else ""
        if one in found:
            found[one] = replace(found[one], variable=holder)
        else:
            found[one] = Secret(app=name, name=one, where=reference.said(one, text), variable=holder)
    return [found[one] for one in sorted(found)]


def _told(app: str, kept: Kept, *, note: str = "", is_handed_over: bool = False) -> Secret:
    where = reference.said(kept.name, kept.reference)
    return Secret(
        app=app,
        name=kept.name,
        where=where,
        variable=kept.variable,
        kept=kept,
        note=note,
        is_handed_over=is_handed_over,
    )


def _check_variable(variable: str, value: bytes) -> None:
    check.env_name(variable, "the variable")
    if b"\0" in value:
        raise SpecError("the secret has a NUL byte, which no variable can hold", hint="Hand it over as a file only.")
    if len(variable) + 1 + len(value) > check.MAX_ARGUMENT:
        raise SpecError(
            f"the secret is longer than the {check.MAX_ARGUMENT} bytes of a variable",
            hint="Hand it over as a file only.",
        )
