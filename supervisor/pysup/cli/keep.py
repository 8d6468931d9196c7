"""``save``, ``unsave``, ``startup``, ``unstartup``: what comes back after a reboot."""

from __future__ import annotations

from pysup.cli import output
from pysup.cli.options import OptionalTargets, Scopes, chosen_scope, manager
from pysup.selector import ALL
from pysup.startup import Boot
from pysup.unit import Scope


def save(targets: OptionalTargets = None, scope: Scopes = None) -> None:
    """Have apps come back after a reboot: all, or those that are named. Nothing restarts for it.

    Their unit files move to where systemd keeps them for good, and are enabled. What changes later is saved with it.

    Examples:
      pysup save
      pysup save web api
    """
    with manager(scope) as apps:
        _tell("Saved", apps.save(targets or ALL), "There is nothing more to save.")
    _tell_of_lingering(chosen_scope(scope))


def unsave(targets: OptionalTargets = None, scope: Scopes = None) -> None:
    """Keep apps until the next reboot only: all, or those that are named. Nothing stops for it.

    Examples:
      pysup unsave web
    """
    with manager(scope) as apps:
        _tell("Kept until the next reboot only", apps.unsave(targets or ALL), "There is nothing saved.")


def startup(scope: Scopes = None) -> None:
    """Turn on what saved apps need at boot, and say which apps those are.

    The machine's systemd starts its saved apps by itself; this checks that the boot gets that far. Your own systemd
    starts at boot only if you may linger; this turns that on, or says what to type as root.

    Examples:
      pysup save && pysup startup
      pysup startup --system
    """
    from pysup import startup as library

    boot = library.enable(chosen_scope(scope))
    whose = "The machine's systemd" if boot.scope is Scope.SYSTEM else f"The systemd of user {boot.user}"
    output.echo(f"{whose} starts at boot{'' if boot.scope is Scope.SYSTEM else ': lingering is on'}.")
    _tell_of_saved(boot)


def unstartup(scope: Scopes = None) -> None:
    """Turn off what pysup startup turned on: your own systemd then ends with your last session, and its apps with it.

    What the machine's systemd starts is for pysup save and pysup unsave to say.

    Examples:
      pysup unstartup
      pysup unsave all --system
    """
    from pysup import startup as library

    boot = library.disable(chosen_scope(scope))
    if boot.scope is Scope.SYSTEM:
        output.echo("The machine's systemd starts at boot in any case. Keep apps from it with: pysup unsave all")
        _tell_of_saved(boot)
    else:
        output.echo(f"The systemd of user {boot.user} no longer starts at boot, and ends with the last session.")


def _tell(what: str, moved: list[str], otherwise: str) -> None:
    output.echo(f"{what}: {', '.join(moved)}" if moved else otherwise)


def _tell_of_saved(boot: Boot) -> None:
    output.echo(f"Saved apps, which come back: {', '.join(boot.saved)}" if boot.saved else "No app is saved.")
    if boot.unsaved:
        output.echo(f"Not saved: {', '.join(boot.unsaved)}. To save them, type: pysup save")


def _tell_of_lingering(scope: Scope) -> None:
    import os

    from pysup.host import users

    if scope is Scope.USER and not users.lingering(users.name(os.geteuid())):
        output.warn("your systemd does not start at boot yet; type: pysup startup")
