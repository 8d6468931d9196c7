"""Secrets on a systemd of today: what a user's manager can decrypt, and several credentials by one name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import apps
import programs
from pysup.host import features
from pysup.sync import Manager
from pysup.unit import Scope

pytestmark = pytest.mark.vm

SHOWN = programs.shell(
    'cd "$CREDENTIALS_DIRECTORY"; for file in *; do echo "$file=$(cat "$file")"; done; exec sleep 1000'
)


def said(manager: Manager) -> list[str]:
    """What the app printed."""
    return [entry.message for entry in manager.logs("web") if "=" in entry.message and entry.kind != "systemd"]


def test_what_is_kept_is_what_this_manager_can_decrypt(manager: Manager, scope: Scope) -> None:
    """A user's own cannot before 258, though systemd-creds would encrypt for it: it is told, and handed over."""
    kept = manager.set_secret("web", "key", b"hunter2")
    manager.start(apps.app("web", command=SHOWN))
    assert said(manager) == ["key=hunter2"]
    assert kept.kept
    assert kept.kept.is_encrypted is (
        (features.parse_version(_version()) or 0) >= features.since("LoadCredentialEncrypted", scope)
    )
    assert ("258" in kept.note) is (not kept.kept.is_encrypted)


@pytest.mark.systemd
def test_one_name_stands_for_several_credentials() -> None:
    """Of systemd's own store, by ImportCredential=; those that are not there are no error."""
    store = Path("/etc/credstore")
    store.mkdir(exist_ok=True, mode=0o700)
    files = [store / f"pysup-test.{name}" for name in ("one", "two")]
    try:
        for file in files:
            file.write_text(f"hunter-{file.suffix[1:]}")
        with Manager(Scope.SYSTEM) as manager:
            manager.start(apps.app("web", command=SHOWN, secrets={"pysup-test.*": "import", "not-there.*": "import"}))
            assert said(manager)[-2:] == ["pysup-test.one=hunter-one", "pysup-test.two=hunter-two"]
            manager.delete("web")
    finally:
        for file in files:
            file.unlink()


def _version() -> str:
    return subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout
