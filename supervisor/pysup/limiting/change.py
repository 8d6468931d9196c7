"""Changing limits: of apps, written into their files, and of namespaces; what runs is held to them at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from pysup import preflight, revisions, states, status
from pysup.bus import systemd1
from pysup.bus.protocol import Bus
from pysup.converge import Workshop
from pysup.errors import PysupError
from pysup.limiting import foresee, groups, live, namespaces, words
from pysup.limiting.groups import Kind
from pysup.limits import Limits
from pysup.selector import Chosen
from pysup.store import Store


async def app(bus: Bus, store: Store, workshop: Workshop, chosen: Chosen, wish: words.Wish) -> tuple[str, ...]:
    """Hold an app to other limits, or single instances; nothing of it restarts. What has to wait.

    Its lock must be held, and systemd read its files after.
    """
    name = chosen.app
    stored = store.get(name)
    before = stored.require()
    after = wish.of(before, chosen)
    running = await bus.converse(groups.running(before))
    rendered = workshop.render(after, saved=stored.saved)
    await asyncio.to_thread(store.write, name, rendered.files, saved=stored.saved)
    try:
        return await live.change(bus, store, running, before, after)
    except BaseException:
        files = workshop.render(before, saved=stored.saved).files
        with revisions.taking_back() if after != before else contextlib.nullcontext():
            await asyncio.to_thread(store.write, name, files, saved=stored.saved)
        with contextlib.suppress(PysupError):  # the groups that took it before another refused
            await live.change(bus, store, running, after, before)
        raise


async def namespace(
    bus: Bus, store: Store, name: str, wanted: Sequence[str] | Limits, *, force: bool
) -> tuple[str, ...]:
    """Hold all apps of a namespace together to other limits. What is worth telling. Its lock must be held."""
    members = namespaces.members(store, name)
    units = await bus.converse(states.loaded(status.patterns([one.name for one in members])))
    around = [group for group in namespaces.running(name, members, units) if group.kind is Kind.NAMESPACE]
    before = namespaces.read(store, name)
    after = wanted if isinstance(wanted, Limits) else words.limits(wanted, before)
    namespaces.check(after)
    preflight.check_parts(after, f"namespaces.{name}")
    told = foresee.check([(group, after) for group in around], force=force)
    namespaces.write(store, name, after, saved=namespaces.is_saved(members))
    try:
        for group in around:
            await live.set_group(bus, store, group, before, after)
    except BaseException:
        namespaces.write(store, name, before, saved=namespaces.is_saved(members))
        raise
    await bus.call(systemd1.reload())
    return tuple(told)
