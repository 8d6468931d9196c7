"""What an app's isolation asks of the machine: refused where it is not to be had, told where it does nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pysup.app import App
from pysup.errors import SpecError
from pysup.isolate import Level
from pysup.isolation import lines, table
from pysup.unit import Scope

_AS_ROOT = "As root: sudo pysup start --system …, with --uid for the account."


def check(app: App, scope: Scope, *, namespaces: bool, filters: bool) -> None:
    """Raise SpecError for what cannot be had, and would be silently missing.

    *namespaces*: users may make user namespaces; *filters*: the kernel can filter a control group's packets.
    """
    isolate, in_user = app.isolate, scope is Scope.USER
    for is_wrong, what, hint in (
        (in_user and isolate.dynamic_user, "your own systemd cannot make accounts (dynamic_user)", _AS_ROOT),
        (
            in_user and isolate.bind_low_ports,
            "your own systemd cannot give rights that you do not have (bind_low_ports)",
            "Let everybody open them: sudo sysctl net.ipv4.ip_unprivileged_port_start=80. " + _AS_ROOT,
        ),
        (
            in_user and isolate.is_filtered,
            f"your own systemd cannot filter addresses (network {', '.join(isolate.network)})",
            "Take --network off, or on. " + _AS_ROOT,
        ),
        (
            isolate.is_filtered and not filters,
            f"network {', '.join(isolate.network)} needs control groups v2, which this machine does not use",
            "Boot it with systemd.unified_cgroup_hierarchy=1; or take --network off, or on.",
        ),
        (
            in_user and isolate.has_no_network and not namespaces,
            "network off needs user namespaces, which users may not make here",
            "As root: sysctl kernel.unprivileged_userns_clone=1 or, on Ubuntu, "
            "kernel.apparmor_restrict_unprivileged_userns=0.",
        ),
    ):
        if is_wrong:
            raise SpecError(f"app {app.name!r}: {what}", hint=hint)


def notes(app: App, scope: Scope, *, namespaces: bool) -> Iterator[str]:
    """What of its level an app does not have, and why."""
    level = app.isolate.level
    if level is Level.OFF:
        return
    if scope is Scope.USER and not namespaces:
        missing = ", ".join(table.vain(level, scope, namespaces=False))
        yield f"isolation {level} is without {missing}: users may not make user namespaces here"
    for directive, why in lines.exceptions(app).items():
        if directive not in app.service:
            yield f"isolation {level} is without {directive}: {why}"
    if lines.is_whole_home(app):
        yield f"isolation {level} shows it all of {app.cwd}, which is its directory: give it one of its own"
