"""Addresses that systemd listens on for an app: changed under load, of every kind, and refused for a reason."""

from __future__ import annotations

import getpass
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import hammer
import programs
from clusters import pids, server
from pysup import names
from pysup.errors import SpecError, StartFailed
from pysup.listen import Listen, parse
from pysup.reload import ReloadOptions
from pysup.sync import Manager
from pysup.unit import Scope


@pytest.mark.parametrize("saved", [False, True])
def test_another_address_is_opened_before_the_old_one_goes(manager: Manager, saved: bool) -> None:
    """No request fails on the new one, ever, and none on the old one until it is refused; no unit of it remains."""
    old, new = programs.free_port(), programs.free_port()
    app = server("one", old)
    before = manager.start(app)
    if saved:
        manager.save("web")
    with hammer.load(old) as gone:
        gone.wait_for(50)
        changed = replace(app, listen=(Listen(address=f"127.0.0.1:{new}", name="http"),))
        (after,) = manager.reload(changed)
        with hammer.load(new) as tally:
            tally.wait_for(200)
            manager.reload("web")
            tally.wait_for(200)
        gone.wait_for(3)
    assert tally.failures == []
    refused = [failure for failure in gone.failures if "Refused" in failure]
    # Whoever waits in the old socket at the moment at which it closes is reset: eight clients, one request each.
    assert len(gone.failures) - len(refused) <= 8
    assert gone.failures[-1] in refused
    assert (after.spec, after.saved, after.notes) == (changed, saved, ())
    assert not pids(before) & pids(after)
    files = [file.name for file in manager._store.files("web") if file.suffix == ".socket"]
    assert files == [f"pysup-web@http:127.0.0.1:{new}.socket"]


def test_a_broken_version_with_another_address_touches_nothing(manager: Manager) -> None:
    """The new address is closed again, and none is opened that somebody else has."""
    old, new, taken = (programs.free_port() for _ in range(3))
    app = server("one", old)
    before = manager.start(app)
    other = Listen(address=f"127.0.0.1:{new}")
    with pytest.raises(StartFailed, match="nothing else was touched"):
        manager.reload(replace(app, command=(*app.command[:-1], "crash"), listen=(other,)))
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(StartFailed, match="somebody else listens there"):
        manager.reload(replace(app, listen=(Listen(address=str(taken)),)))
    after = manager.get("web")
    assert (pids(after), after.spec) == (pids(before), app)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", new))
    assert not [file for file in manager._store.runtime.iterdir() if f":{new}" in file.name or f"@{taken}" in file.name]


def test_addresses_that_exclude_each_other_are_changed_with_a_gap_and_it_is_said(manager: Manager) -> None:
    """A port of one address, and of all; the instances come back on the new one."""
    port = programs.free_port()
    app = server("one", port)
    manager.start(app)
    (after,) = manager.reload(replace(app, listen=(Listen(address=str(port), name="http"),)))
    assert after.notes == (f"it was down for a moment: {port} cannot be open beside 127.0.0.1:{port}",)
    with hammer.load(port) as tally:
        tally.wait_for(20)
    assert tally.failures == []


def test_a_later_instance_that_fails_leaves_old_and_new_addresses_open(manager: Manager, tmp_path: Path) -> None:
    """What runs the new version is reached at the new address, the rest at the old one; the next reload ends that."""
    old, new = programs.free_port(), programs.free_port()
    version = tmp_path / "version"
    tmp_path.chmod(0o755)
    version.write_text("one")
    app = server(str(version), old, instances=3, stop_timeout=5)
    manager.start(app)
    changed = replace(app, listen=(Listen(address=f"127.0.0.1:{new}", name="http"),))
    override = manager._store.runtime / "pysup-web@1.service.d"
    override.mkdir()
    (override / "override.conf").write_text("[Service]\nExecStart=\nExecStart=/bin/false\n")
    with pytest.raises(StartFailed, match="with the new ones: web@0"):
        manager.reload(changed, options=ReloadOptions(surge=False))
    (override / "override.conf").unlink()
    override.rmdir()
    for port in (old, new):
        with hammer.load(port) as tally:
            tally.wait_for(20)
        assert tally.failures == []
    (after,) = manager.reload(changed)
    assert [one.is_up for one in after.instances] == [True] * 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))


def test_what_a_connection_has_started_does_not_hold_the_old_address(manager: Manager) -> None:
    """systemd hands the sockets to that unit, too, which lasts longer than a reload: here for a minute."""
    old, new = programs.free_port(), programs.free_port()
    wake = names.wake_unit("web")
    override = manager._store.runtime / f"{wake}.d"
    override.mkdir(parents=True)
    (override / "override.conf").write_text("[Service]\nExecStart=\nExecStart=/bin/sleep 60\n")
    app = server("one", old)
    manager.start(app)
    systemctl = ["systemctl", f"--{manager.scope.value}"]
    subprocess.run([*systemctl, "start", "--no-block", wake], check=True)
    subprocess.run([*systemctl, "start", "pysup-web.target"], check=True)  # what comes later is done
    manager.reload(replace(app, listen=(Listen(address=f"127.0.0.1:{new}", name="http"),)))
    (override / "override.conf").unlink()
    override.rmdir()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))


def test_ipv6_alone_leaves_the_port_of_ipv4_free(manager: Manager) -> None:
    """[::] takes both unless v6only says otherwise."""
    port = programs.free_port()
    for text, is_shared in ((f"[::]:{port}", True), (f"[::]:{port},v6only", False), (f"[::1]:{port}", False)):
        manager.start(server("one", 80, listen=(parse(text),)), force=True)
        with socket.create_connection(("::1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"200 OK" in sock.recv(100)
        if is_shared:
            socket.create_connection(("127.0.0.1", port)).close()
        else:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))


def test_a_port_below_1024_is_opened_by_the_machines_manager_alone(manager: Manager) -> None:
    """Whoever the program runs as; an ordinary user is told before anything is written what to do."""
    if manager.scope is Scope.SYSTEM:
        app = server("one", 80, user="nobody")
        manager.start(app)
        with hammer.load(80) as tally:
            tally.wait_for(20)
        assert tally.failures == []
    else:
        with pytest.raises(SpecError, match="ports below 1024 are not for your own systemd") as caught:
            manager.start(server("one", 80))
        assert "sysctl net.ipv4.ip_unprivileged_port_start=80" in caught.value.hint
        assert f"--listen 80 --uid {getpass.getuser()}" in caught.value.hint
        assert manager.list() == []


def test_an_address_that_cannot_be_had_is_named_with_the_reason(manager: Manager, tmp_path: Path) -> None:
    """One that is taken, one that this machine does not have, and a path at which there is something else."""
    taken = programs.free_port()
    path = tmp_path / "file"
    path.write_text("not a socket")
    tmp_path.chmod(0o755)
    with socket.create_server(("127.0.0.1", taken)):
        for address, reason in (
            (f"127.0.0.1:{taken}", "somebody else listens there"),
            (f"192.0.2.1:{taken}", "this machine has no such address"),
        ):
            for on_demand in (False, True):
                with pytest.raises(StartFailed, match=f"cannot listen on {address}: {reason}"):
                    manager.start(server("one", 80, listen=(Listen(address=address),), on_demand=on_demand))
                manager.delete("web")
    with pytest.raises(SpecError, match="there is a file that is no socket"):  # which systemd would unlink
        manager.start(server("one", 80, listen=(Listen(address=str(path)),)))
    assert path.read_text() == "not a socket"


def test_a_unix_socket_has_the_owner_the_group_and_the_mode_that_were_asked_for(
    manager: Manager, tmp_path: Path
) -> None:
    """The machine's manager gives it to anybody; a user's own to itself, and to groups that the user is in."""
    tmp_path.chmod(0o755)
    path = tmp_path / "web.sock"
    owner, group = ("nobody", "nogroup") if manager.scope is Scope.SYSTEM else (getpass.getuser(),) * 2
    manager.start(server("one", 80, listen=(parse(f"{path},mode=0660,owner={owner},group={group}"),)))
    assert (path.owner(), path.group(), path.stat().st_mode & 0o777) == (owner, group, 0o660)
    manager.stop("web")
    assert not path.exists()
    for text, reason in ((f"{path},owner=nosuch", "does not exist"), (f"{path},group=nosuch", "does not exist")):
        with pytest.raises(SpecError, match=reason):
            manager.start(server("one", 80, listen=(parse(text),)), force=True)
    if manager.scope is Scope.USER:
        for text in (f"{path},owner=root", f"{path},group=root"):
            with pytest.raises(SpecError, match="cannot"):
                manager.start(server("one", 80, listen=(parse(text),)), force=True)
