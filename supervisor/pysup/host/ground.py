"""Whether systemd and its buses are here, where its unit directories are, and what to do when one is missing."""

from __future__ import annotations

import os
import pwd
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from pysup.errors import EnvironmentProblem, NoBus, NoSystemd, NotPermitted
from pysup.host import files, users
from pysup.unit import Scope

T = TypeVar("T")

# Lingering is on before the user's manager is there: usually within a second, on busy machines later.
PATIENCE, PAUSE = 5.0, 0.02

_PAM_MODULE = ("lib*/security/pam_systemd.so", "lib/*/security/pam_systemd.so")


class NoDBus(NoBus):
    """The machine has no D-Bus, or the user has none: a package is missing."""


class NoUserManager(NoBus):
    """systemd runs, but no manager of this user's own."""


class Caller(NamedTuple):
    """Who asks, from which environment, on which machine.

    A manager whose user began to linger, or got a runtime directory, up to ``patience`` seconds ago is waited for.
    """

    uid: int
    environ: Mapping[str, str]
    root: Path = Path("/")
    patience: float = 0.0

    @classmethod
    def now(cls) -> Caller:
        """This process."""
        return cls(uid=os.geteuid(), environ=os.environ, patience=PATIENCE)

    @property
    def name(self) -> str:
        """The account's name, or its number if it has none."""
        return users.name(self.uid)

    def path(self, absolute: str) -> Path:
        """A path of the machine, below the root that this caller sees."""
        return self.root / absolute.lstrip("/")

    def owns(self, path: Path) -> bool:
        """Whether it is a directory of the caller's own.

        Environments are inherited over ``su`` and ``sudo``: what they name may be somebody else's.
        """
        try:
            found = path.stat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self.uid


def default_scope(caller: Caller | None = None) -> Scope:
    """The machine's manager for root, the user's own for everyone else."""
    return Scope.USER if (caller or Caller.now()).uid else Scope.SYSTEM


def is_systemd_pid1(caller: Caller | None = None) -> bool:
    """Whether systemd runs the machine: sd_booted(3)."""
    return (caller or Caller.now()).path("/run/systemd/system").is_dir()


def require_systemd(caller: Caller | None = None) -> None:
    """Raise NoSystemd, with the way out, where something else is PID 1."""
    caller = caller or Caller.now()
    if is_systemd_pid1(caller):
        return
    if _in_container(caller):
        raise NoSystemd(
            "systemd is not PID 1 in this container",
            hint="As root, type: pysup box up, then: pysup box enter (a private systemd). Or run the container "
            "with systemd as its command: podman run --systemd=always IMAGE /sbin/init",
        )
    raise NoSystemd(
        "systemd is not PID 1 on this machine",
        hint="Boot it with systemd (Debian: apt install systemd-sysv, then reboot). "
        "To try pysup without, type as root: pysup box up, then: pysup box enter",
    )


def bus_address(scope: Scope, caller: Caller | None = None) -> str:
    """The D-Bus address of a scope's manager.

    The user's is found without a session, too: below ``/run/user/UID`` when ``XDG_RUNTIME_DIR`` is unset or not the
    caller's own. Raises NoSystemd, NoDBus or NoUserManager.
    """
    caller = caller or Caller.now()
    require_systemd(caller)
    return _system_bus(caller) if scope is Scope.SYSTEM else _when_up(caller, _user_bus)


def unreachable(scope: Scope, error: OSError, caller: Caller | None = None) -> EnvironmentProblem:
    """What to tell the user when connecting to ``bus_address(scope)`` failed with *error*."""
    caller = caller or Caller.now()
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        return NotPermitted(
            f"the bus of the {scope} manager refuses user {caller.name!r}: {reason}",
            hint="Type sudo before the command."
            if scope is Scope.SYSTEM
            else f"Type: ls -ld /run/user/{caller.uid}; it must be {caller.name}'s own, with mode drwx------.",
        )
    unit = "systemctl" if scope is Scope.SYSTEM else "systemctl --user"
    return NoBus(
        f"the bus of the {scope} manager does not answer: {reason}",
        hint=f"Type: {unit} restart dbus.socket dbus.service",
    )


def require_rights(scope: Scope, caller: Caller | None = None) -> None:
    """Raise NotPermitted unless the caller may change this scope's units."""
    caller = caller or Caller.now()
    if scope is Scope.SYSTEM and caller.uid != 0:
        raise NotPermitted(
            f"user {caller.name!r} may not change the machine's units",
            hint="Type sudo before the command, or add --user for apps of your own.",
        )


def user_runtime_dir(caller: Caller | None = None) -> Path:
    """The user's own runtime directory, best the one that their manager uses.

    Raises NoSystemd or NoUserManager if they have none.
    """
    return _when_up(caller or Caller.now(), _own_runtime_dir)


def _own_runtime_dir(caller: Caller) -> Path:
    given = caller.environ.get("XDG_RUNTIME_DIR", "")
    named = [caller.path(path) for path in (given, f"/run/user/{caller.uid}") if path.startswith("/")]
    own = [path for path in named if caller.owns(path)]
    if not own:
        require_systemd(caller)
        raise _no_user_manager(caller)
    return next((path for path in own if (path / "systemd").is_dir()), own[0])


def runtime_dir(scope: Scope, caller: Caller | None = None) -> Path:
    """Where unit files live until the next boot."""
    caller = caller or Caller.now()
    if scope is Scope.SYSTEM:
        return caller.path("/run/systemd/system")
    return user_runtime_dir(caller) / "systemd/user"


def volatile_dir(scope: Scope) -> Path:
    """Where services have the directories that they need while they run: ``%t`` in unit files."""
    return Path("/run") if scope is Scope.SYSTEM else user_runtime_dir()


def has_user_namespaces(root: Path = Path("/")) -> bool:
    """Whether users may make user namespaces, by which their own managers can isolate programs."""
    kernel, user = root / "proc/sys/kernel", root / "proc/sys/user"
    forbidding = (  # Debian's switch, the kernel's, and Ubuntu's
        (kernel / "unprivileged_userns_clone", "0"),
        (user / "max_user_namespaces", "0"),
        (kernel / "apparmor_restrict_unprivileged_userns", "1"),
    )
    return all((files.read(str(file)) or b"").decode().strip() != value for file, value in forbidding)


def saved_dir(scope: Scope, caller: Caller | None = None) -> Path:
    """Where unit files live for good.

    ``XDG_CONFIG_HOME`` counts only if it is the caller's own; the home is the account's, as the user's manager has it.
    """
    caller = caller or Caller.now()
    if scope is Scope.SYSTEM:
        return caller.path("/etc/systemd/system")
    given = caller.environ.get("XDG_CONFIG_HOME", "")
    if given.startswith("/") and caller.owns(caller.path(given)):
        return caller.path(given) / "systemd/user"
    return caller.path(_home(caller)) / ".config/systemd/user"


def lock_dir(scope: Scope, caller: Caller | None = None) -> Path:
    """Where the locks of a scope's apps live; it may have to be made, mode 0700."""
    caller = caller or Caller.now()
    return caller.path("/run/pysup") if scope is Scope.SYSTEM else user_runtime_dir(caller) / "pysup"


def history_dir(scope: Scope, caller: Caller | None = None) -> Path:
    """Where revisions of a scope's apps are kept; it may have to be made."""
    return _state_dir(scope, caller or Caller.now()) / "revisions"


def vault_dir(scope: Scope, caller: Caller | None = None) -> Path:
    """Where secrets of a scope's apps are kept; it may have to be made."""
    return _state_dir(scope, caller or Caller.now()) / "secrets"


def _state_dir(scope: Scope, caller: Caller) -> Path:
    if scope is Scope.SYSTEM:
        return caller.path("/var/lib/pysup")
    return caller.path(_home(caller)) / ".local/state/pysup"


def _home(caller: Caller) -> str:
    try:
        return pwd.getpwuid(caller.uid).pw_dir
    except KeyError:
        return caller.environ.get("HOME", "/")


def _system_bus(caller: Caller) -> str:
    given = caller.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
    if given:
        return given
    socket = caller.path("/run/dbus/system_bus_socket")
    if socket.exists():
        return f"unix:path={_escape(socket)}"
    if caller.path("/usr/bin/dbus-daemon").exists() or caller.path("/usr/bin/dbus-broker").exists():
        raise NoDBus("the system's D-Bus is not running", hint="As root, type: systemctl start dbus.socket")
    raise NoDBus(
        "D-Bus is not installed",
        hint="As root, type: apt install dbus && systemctl start dbus.socket",
    )


def _user_bus(caller: Caller) -> str:
    runtime = _own_runtime_dir(caller)
    socket = runtime / "bus"
    if socket.exists():
        return f"unix:path={_escape(socket)}"
    if not (runtime / "systemd/private").exists():
        raise _no_user_manager(caller)
    if caller.path("/usr/lib/systemd/user/dbus.socket").exists():
        raise NoDBus(
            f"the D-Bus of user {caller.name!r} is not running", hint="Type: systemctl --user start dbus.socket"
        )
    raise NoDBus(
        f"user {caller.name!r} has a systemd manager, but no D-Bus to reach it by",
        hint=f"Type: sudo apt install dbus-user-session && sudo systemctl restart user@{caller.uid}.service",
    )


def _when_up(caller: Caller, find: Callable[[Caller], T]) -> T:
    """What *find* finds; tried again while the user's manager is just coming up."""
    while True:
        try:
            return find(caller)
        except NoBus:
            if not _is_coming_up(caller):
                raise
        time.sleep(PAUSE)  # nobody tells those who have no bus yet


def _is_coming_up(caller: Caller) -> bool:
    for sign in (f"/var/lib/systemd/linger/{caller.name}", f"/run/user/{caller.uid}"):
        try:
            if time.time() - caller.path(sign).stat().st_ctime < caller.patience:
                return True
        except OSError:
            continue
    return False


def _no_user_manager(caller: Caller) -> NoUserManager:
    what = f"no systemd manager is running for user {caller.name!r}"
    sudo = "sudo " if caller.uid else ""
    if not any(any(caller.path("/usr").glob(place)) for place in _PAM_MODULE):
        return NoUserManager(
            f"{what}: the package that starts it is missing",
            hint=f"Type: {sudo}apt install libpam-systemd && {sudo}loginctl enable-linger {caller.name}",
        )
    if users.lingering(caller.name, root=caller.root):
        return NoUserManager(
            f"{what}, though they may linger",
            hint=f"Type: {sudo}systemctl start user@{caller.uid}.service; if that fails: "
            f"{sudo}journalctl -u user@{caller.uid}.service",
        )
    return NoUserManager(
        f"{what}: not logged in, and no lingering",
        hint=f"Type: {sudo}loginctl enable-linger {caller.name}",
    )


def _in_container(caller: Caller) -> bool:
    marks = ("/run/systemd/container", "/.dockerenv", "/run/.containerenv")
    return any(caller.path(mark).exists() for mark in marks) or "container" in caller.environ


def _escape(path: Path) -> str:
    """As addresses want it: all but a few characters as %XX (D-Bus specification, server addresses)."""
    plain = b"-_/.\\*abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(chr(byte) if byte in plain else f"%{byte:02x}" for byte in os.fsencode(path))
