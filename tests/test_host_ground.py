"""pysup.host.ground finds buses and directories, and says which piece is missing."""

from __future__ import annotations

import errno
import os
import pwd
import threading
from pathlib import Path

import pytest

from pysup.errors import EnvironmentProblem, NoBus, NoSystemd, NotPermitted
from pysup.host import ground
from pysup.host.ground import Caller, NoDBus, NoUserManager
from pysup.unit import Scope

ME = os.geteuid()
NAME = pwd.getpwuid(ME).pw_name


def make(root: Path, *paths: str) -> Path:
    """Make files, and directories where a path ends with a slash."""
    for path in paths:
        place = root / path.lstrip("/")
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            place.touch()
    return root


def make_foreign(place: Path) -> None:
    """Make a directory that is somebody else's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if ME:
        place.symlink_to("/usr")
    else:
        place.mkdir()
        os.chown(place, 12345, 12345)


@pytest.fixture
def booted(tmp_path: Path) -> Path:
    """A machine that systemd runs, with its PAM module."""
    return make(tmp_path, "/run/systemd/system/", "/usr/lib/x86_64-linux-gnu/security/pam_systemd.so")


def caller(root: Path, uid: int = ME, **environ: str) -> Caller:
    return Caller(uid=uid, environ=environ, root=root)


def problem(root: Path, scope: Scope, uid: int = ME, **environ: str) -> EnvironmentProblem:
    with pytest.raises(EnvironmentProblem) as caught:
        ground.bus_address(scope, caller(root, uid, **environ))
    return caught.value


@pytest.mark.parametrize("scope", list(Scope))
def test_container_without_systemd_is_told_of_the_box(tmp_path: Path, scope: Scope) -> None:
    """In a container the way out is a private systemd."""
    found = problem(make(tmp_path, "/.dockerenv"), scope)
    assert type(found) is NoSystemd
    assert "container" in found.message
    assert "pysup box up" in found.hint


def test_machine_without_systemd_is_told_to_install_it(tmp_path: Path) -> None:
    """Elsewhere it is a package and a reboot."""
    found = problem(tmp_path, Scope.SYSTEM)
    assert type(found) is NoSystemd
    assert "apt install systemd-sysv" in found.hint


def test_system_bus_is_the_machines_socket(booted: Path) -> None:
    """The well-known path, without any environment."""
    make(booted, "/run/dbus/system_bus_socket")
    assert f"unix:path={booted}/run/dbus/system_bus_socket" == ground.bus_address(Scope.SYSTEM, caller(booted))


def test_system_bus_can_be_named_by_the_environment(booted: Path) -> None:
    """DBUS_SYSTEM_BUS_ADDRESS, as the D-Bus specification has it."""
    there = caller(booted, DBUS_SYSTEM_BUS_ADDRESS="unix:path=/elsewhere")
    assert ground.bus_address(Scope.SYSTEM, there) == "unix:path=/elsewhere"


def test_absent_dbus_and_stopped_dbus_have_their_own_remedies(booted: Path) -> None:
    """A package to install, or a socket to start."""
    absent = problem(booted, Scope.SYSTEM)
    stopped = problem(make(booted, "/usr/bin/dbus-daemon"), Scope.SYSTEM)
    assert (type(absent), type(stopped)) == (NoDBus, NoDBus)
    assert "apt install dbus" in absent.hint
    assert "systemctl start dbus.socket" in stopped.hint
    assert "apt" not in stopped.hint


def test_user_bus_needs_no_environment(booted: Path) -> None:
    """cron, su and CI set no XDG_RUNTIME_DIR: /run/user/UID is where it is."""
    make(booted, f"/run/user/{ME}/bus")
    assert f"unix:path={booted}/run/user/{ME}/bus" == ground.bus_address(Scope.USER, caller(booted))


def test_given_runtime_directory_wins(booted: Path) -> None:
    """XDG_RUNTIME_DIR is believed when it is the caller's own."""
    make(booted, f"/run/user/{ME}/bus", "/tmp/own/bus")
    there = caller(booted, XDG_RUNTIME_DIR="/tmp/own")
    assert f"unix:path={booted}/tmp/own/bus" == ground.bus_address(Scope.USER, there)


@pytest.mark.parametrize("inherited", ["/run/user/12345", "relative", "/not/there", ""])
def test_inherited_runtime_directory_is_not_believed(booted: Path, inherited: str) -> None:
    """What su and sudo leave over from somebody else is passed by."""
    make_foreign(booted / "run/user/12345")
    make(booted, f"/run/user/{ME}/bus")
    there = caller(booted, XDG_RUNTIME_DIR=inherited, DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/12345/bus")
    assert f"unix:path={booted}/run/user/{ME}/bus" == ground.bus_address(Scope.USER, there)


def test_runtime_directory_of_the_manager_wins(booted: Path) -> None:
    """A CI job may have made one of its own, with no systemd in it."""
    make(booted, f"/run/user/{ME}/bus", f"/run/user/{ME}/systemd/private", "/tmp/own/")
    there = caller(booted, XDG_RUNTIME_DIR="/tmp/own")
    assert f"unix:path={booted}/run/user/{ME}/bus" == ground.bus_address(Scope.USER, there)


def test_user_without_manager_is_told_to_linger(booted: Path) -> None:
    """Nobody is logged in, and nothing keeps their manager."""
    found = problem(booted, Scope.USER)
    assert type(found) is NoUserManager
    assert f"loginctl enable-linger {NAME}" in found.hint


def test_lingering_user_without_manager_is_told_to_look_at_it(booted: Path) -> None:
    """Lingering is on, so the manager must have failed."""
    found = problem(make(booted, f"/var/lib/systemd/linger/{NAME}"), Scope.USER)
    assert type(found) is NoUserManager
    assert f"systemctl start user@{ME}.service" in found.hint
    assert f"journalctl -u user@{ME}.service" in found.hint


def test_missing_pam_module_is_named(tmp_path: Path) -> None:
    """Without libpam-systemd no user manager ever starts."""
    found = problem(make(tmp_path, "/run/systemd/system/"), Scope.USER)
    assert type(found) is NoUserManager
    assert "apt install libpam-systemd" in found.hint


def test_runtime_directory_without_manager_is_not_enough(booted: Path) -> None:
    """The directory is there, but neither a bus nor systemd in it."""
    assert type(problem(make(booted, f"/run/user/{ME}/"), Scope.USER)) is NoUserManager


def test_user_manager_without_bus_is_told_the_package(booted: Path) -> None:
    """dbus-user-session brings the user's bus; when it is there it can be started."""
    make(booted, f"/run/user/{ME}/systemd/private")
    absent = problem(booted, Scope.USER)
    stopped = problem(make(booted, "/usr/lib/systemd/user/dbus.socket"), Scope.USER)
    assert (type(absent), type(stopped)) == (NoDBus, NoDBus)
    assert "apt install dbus-user-session" in absent.hint
    assert "systemctl --user start dbus.socket" in stopped.hint


def test_user_without_account_has_a_number(booted: Path) -> None:
    """A container may run as a uid that nobody has."""
    assert "'4000000'" in problem(booted, Scope.USER, uid=4000000).message


def test_bus_path_is_escaped(booted: Path) -> None:
    """Blanks, commas and letters beyond ASCII are %XX in an address."""
    make(booted, "/a, é/bus")
    there = caller(booted, XDG_RUNTIME_DIR="/a, é")
    assert ground.bus_address(Scope.USER, there).endswith("/a%2c%20%c3%a9/bus")


def test_system_directories(tmp_path: Path) -> None:
    """Where systemd.unit(5) says; the locks beside, in /run."""
    there = caller(tmp_path)
    found = [f(Scope.SYSTEM, there) for f in (ground.runtime_dir, ground.saved_dir, ground.lock_dir)]
    assert found == [tmp_path / "run/systemd/system", tmp_path / "etc/systemd/system", tmp_path / "run/pysup"]


def test_user_directories(booted: Path) -> None:
    """Runtime files and locks in the runtime directory, saved ones in the account's home."""
    make(booted, f"/run/user/{ME}/")
    there = caller(booted, HOME="/somebody/else")
    run = booted / f"run/user/{ME}"
    home = booted / pwd.getpwuid(ME).pw_dir.lstrip("/")
    found = [f(Scope.USER, there) for f in (ground.runtime_dir, ground.saved_dir, ground.lock_dir)]
    assert found == [run / "systemd/user", home / ".config/systemd/user", run / "pysup"]


def test_config_home_counts_when_it_is_ones_own(booted: Path) -> None:
    """XDG_CONFIG_HOME inherited from somebody else is passed by."""
    make(booted, "/conf/")
    make_foreign(booted / "theirs")
    own = ground.saved_dir(Scope.USER, caller(booted, XDG_CONFIG_HOME="/conf"))
    theirs = ground.saved_dir(Scope.USER, caller(booted, XDG_CONFIG_HOME="/theirs"))
    assert own == booted / "conf/systemd/user"
    assert theirs == ground.saved_dir(Scope.USER, caller(booted))


def test_only_root_changes_the_machine(tmp_path: Path) -> None:
    """Everybody may change their own."""
    for uid in (0, 1000):
        ground.require_rights(Scope.USER, caller(tmp_path, uid))
    ground.require_rights(Scope.SYSTEM, caller(tmp_path, 0))
    with pytest.raises(NotPermitted) as caught:
        ground.require_rights(Scope.SYSTEM, caller(tmp_path, 4000000))
    assert "--user" in caught.value.hint


def test_scope_defaults_by_user(tmp_path: Path) -> None:
    """SYSTEM for root, USER for everyone else."""
    assert tuple(ground.default_scope(caller(tmp_path, uid)) for uid in (0, 1000)) == (Scope.SYSTEM, Scope.USER)


def test_a_bus_that_refuses_is_told_apart_from_one_that_is_dead(tmp_path: Path) -> None:
    """Rights, or a daemon that ended and left its socket."""
    refused = ground.unreachable(Scope.USER, OSError(errno.EACCES, "Permission denied"), caller(tmp_path))
    dead = ground.unreachable(Scope.SYSTEM, OSError(errno.ECONNREFUSED, "Connection refused"), caller(tmp_path))
    assert (type(refused), type(dead)) == (NotPermitted, NoBus)
    assert "systemctl restart dbus.socket" in dead.hint


def test_a_manager_that_is_just_coming_up_is_waited_for(booted: Path) -> None:
    """loginctl enable-linger returns before it is there."""
    make(booted, f"/var/lib/systemd/linger/{NAME}")
    there = caller(booted)._replace(patience=30)
    coming = threading.Timer(0.1, lambda: make(booted, f"/run/user/{ME}/bus"))
    coming.start()
    assert f"unix:path={booted}/run/user/{ME}/bus" == ground.bus_address(Scope.USER, there)
    coming.join()


def test_a_manager_that_should_long_be_there_is_not_waited_for(booted: Path) -> None:
    """Then something else is wrong."""
    make(booted, f"/var/lib/systemd/linger/{NAME}")
    with pytest.raises(NoUserManager):
        ground.bus_address(Scope.USER, caller(booted)._replace(patience=1e-6))
