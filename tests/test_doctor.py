"""``pysup doctor`` on a mess that was made on purpose, in both scopes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysup import local
from pysup.host import cgroups
from pysup.unit import Scope
from running import Running, started

pytestmark = pytest.mark.usefixtures("scope")

Command = Callable[..., subprocess.CompletedProcess[str]]


def systemctl(*words: str) -> None:
    """Change the manager of whoever runs the test."""
    scope = "--user" if os.getuid() else "--system"
    subprocess.run(["systemctl", scope, *words], capture_output=True, check=True)


def findings(pysup: Command, name: str) -> dict[str, str]:
    """What is said about something, but for what is well: status by message."""
    found: list[dict[str, Any]] = json.loads(pysup("doctor", "--json", check=False).stdout)
    assert all(one["remedy"] for one in found if one["status"] in ("warn", "fail"))
    return {one["message"]: one["status"] for one in found if one["name"] == name and one["status"] != "ok"}


def said(found: dict[str, str], words: str) -> str:
    """The status of the one finding that has these words."""
    (status,) = [status for message, status in found.items() if words in message]
    return status


def test_all_is_well(pysup: Command) -> None:
    """The host is looked at, and the apps; the exit code is 0."""
    with started("sleep 1000", "-n", "web"):
        found = pysup("doctor")
        assert "ok    systemd: version" in found.stdout
        assert "ok    apps: " in found.stdout
        assert "fail" not in found.stdout
        few, many = found.stdout.count("feature"), pysup("doctor", "--all").stdout.count("feature")
        assert few <= 1
        assert few <= many  # none is lacking on a systemd of today
        assert {"name", "status", "message", "remedy"} == set(json.loads(pysup("doctor", "--json").stdout)[0])


def test_what_failed_for_good_is_a_failure(pysup: Command) -> None:
    """systemd does not start it again; so the exit code is 1."""
    with started("sleep 1000", "-n", "other"):
        pysup("start", "/bin/false", "--restart-limit", "2", check=False)
        with Running("logs", "false", "-n", "all", "--grep", "repeated too quickly") as command:
            command.expect("quickly")
        assert said(findings(pysup, "false@0"), "failed, and systemd leaves it so") == "fail"
        assert pysup("doctor", check=False).returncode == 1
        pysup("reset", "false")
        assert findings(pysup, "false@0") == {}


def test_hands_of_others(pysup: Command, scope: Scope) -> None:
    """Edited templates, what systemd has not read yet, drop-ins of others, and directives that need a newer systemd."""
    store = local.store(scope)
    with started("sleep 1000", "-n", "web", "--total", "cpus=0"):
        pysup("limit", "web@0", "memory_high=1G")
        if cgroups.hierarchy() is not cgroups.Hierarchy.V2:
            found = findings(pysup, "web")
            assert said(found, "AllowedCPUs=0 does not work here") == "warn"
            assert said(found, "MemoryHigh=1073741824 does not work here") == "warn"
        template = store.runtime / "pysup-web@.service"
        template.write_text(template.read_text().replace("[Service]\n", "[Service]\nRestartMode=direct\n"))
        added = store.runtime / "pysup-web@.service.d" / "override.conf"
        added.parent.mkdir()
        added.write_text("[Service]\nOpenFile=/etc/hostname\n")
        try:
            found = findings(pysup, "web")
            assert said(found, "was changed by hand") == "warn"
            assert said(found, str(added)) == "info"
            assert said(findings(pysup, "units"), "pysup-web@0.service") == "warn"
            version = int(subprocess.run(["systemctl", "--version"], capture_output=True, text=True).stdout.split()[1])
            if version < 253:
                assert said(found, "OpenFile=/etc/hostname does not work here") == "warn"
                assert said(found, "RestartMode=direct does not work here") == "warn"
            systemctl("daemon-reload")
            assert findings(pysup, "units") == {}
        finally:
            added.unlink()
            added.parent.rmdir()


def test_files_that_cannot_be_read_back(pysup: Command, scope: Scope) -> None:
    """With the line that is wrong."""
    with started("sleep 1000", "-n", "web"):
        template = local.store(scope).runtime / "pysup-web@.service"
        template.write_text(template.read_text().replace('Name="web"', 'Name="web'))
        assert said(findings(pysup, "web"), "cannot be read back") == "fail"


def test_orphans(pysup: Command, scope: Scope) -> None:
    """An instance that its app does not want, and one whose app is gone."""
    store = local.store(scope)
    with started("sleep 1000", "-n", "web"):
        systemctl("start", "pysup-web@7.service")
        assert said(findings(pysup, "web@7"), "does not want that many") == "warn"
        kept = {file: file.read_bytes() for file in store.files("web")}
        for file in kept:
            file.unlink()
        assert said(findings(pysup, "web@0"), "files are gone") == "warn"
        for file, content in kept.items():
            file.write_bytes(content)
        systemctl("stop", "pysup-web@7.service")


def test_saved_apps_must_start_at_boot(pysup: Command, scope: Scope) -> None:
    """The target's link is what does it."""
    with started("sleep 1000", "-n", "web"):
        pysup("save", "web")
        assert findings(pysup, "web") == {}
        store = local.store(scope)
        (store.saved / f"{store.boot_target}.wants" / "pysup-web.target").unlink()
        assert said(findings(pysup, "web"), "not enabled") == "fail"


def test_ports_of_two_apps(pysup: Command) -> None:
    """Also when only the ranges overlap."""
    with started("sleep 1000", "-n", "api", "-p", "4000", "-i", "3"):
        pysup("start", "sleep 1000", "-n", "web", "-p", "4002")
        assert said(findings(pysup, "web"), "port 4002 is api's as well") == "warn"


def test_secrets_in_plain_sight(pysup: Command, tmp_path: Path) -> None:
    """In arguments, in directives, in files; but not where they belong, and not names of files."""
    tmp_path.chmod(0o755)
    file = tmp_path / "open.env"
    file.write_text("TOKEN=x\n")
    file.chmod(0o644)
    words = ("--token=abc", "--password", "abc", "--secret-file", "/etc/hostname", "--ssl-key=/etc/hostname")
    script = ("sleep 1000; true", "-n", "web")
    with started("sleep 1000", "-n", "good", "-e", "API_TOKEN=abc"):
        pysup("start", *script, "--service", "Environment=DB_PASSWORD=x", "--env-file", str(file))
        pysup("start", "sh", "-n", "args", "--", "-c", "exec sleep 1000", "sh", *words)
        assert findings(pysup, "good") == {}
        found = findings(pysup, "web")
        assert said(found, "DB_PASSWORD in Environment=") == "warn"
        assert said(found, f"may read its environment in {file}") == "warn"
        assert set(findings(pysup, "args")) == {
            "everybody on this machine can read --token in its command",
            "everybody on this machine can read --password in its command",
        }


def test_an_environment_that_others_can_read(pysup: Command, scope: Scope) -> None:
    """It was written for its owner only."""
    with started("sleep 1000", "-n", "web", "-e", "A=b"):
        (local.store(scope).runtime / "pysup-web.env").chmod(0o644)
        assert said(findings(pysup, "web"), "others may read its environment") == "fail"


def test_starts_that_would_fail(pysup: Command, tmp_path: Path) -> None:
    """The program is gone, though the process still runs."""
    tmp_path.chmod(0o755)
    script = tmp_path / "app.sh"
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    script.chmod(0o755)
    with started(str(script)):
        script.unlink()
        assert said(findings(pysup, "app"), "its next start will fail") == "fail"


def test_a_script_that_is_gone(pysup: Command, tmp_path: Path) -> None:
    """Its interpreter is there still."""
    tmp_path.chmod(0o755)
    script = tmp_path / "app.sh"
    script.write_text("exec sleep 1000\n")
    with started(str(script)):
        script.unlink()
        assert said(findings(pysup, "app"), f"{str(script)!r} is not there") == "fail"


def test_units_that_failed_beside_apps(pysup: Command, scope: Scope) -> None:
    """A socket, say: nothing starts it again."""
    with started("sleep 1000", "-n", "web"):
        pysup("stop", "web")  # a socket whose service runs is refused, and does not fail
        socket = local.store(scope).runtime / "pysup-web.socket"
        socket.write_text("[Socket]\nListenStream=/proc/nosuch/socket\nService=pysup-web@0.service\n")
        try:
            with pytest.raises(subprocess.CalledProcessError):  # there is no such folder
                systemctl("start", "pysup-web.socket")
            assert said(findings(pysup, "pysup-web.socket"), "failed") == "fail"
        finally:
            socket.unlink()
            systemctl("daemon-reload")
            systemctl("reset-failed", "pysup-web.socket")


def test_without_systemd_it_says_so(tmp_path: Path) -> None:
    """On a machine whose PID 1 is something else the host's part is all there is; here is one without a bus."""
    with Running(
        "doctor", env={"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/nope", "XDG_RUNTIME_DIR": "/nope"}
    ) as it:
        said = it.rest().decode()
        assert it.ended() in (0, 1)
        assert "systemd: version" in said
        assert it.complaints() == ""


def test_a_bus_that_does_not_answer_is_a_failure(pysup: Command) -> None:
    """Its socket may be named, and nobody listen there."""
    nobody = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/nobody"}
    found = pysup("--system", "doctor", check=False, env=nobody)
    assert found.returncode == 1
    assert "fail  apps: the bus of the system manager does not answer" in found.stdout
