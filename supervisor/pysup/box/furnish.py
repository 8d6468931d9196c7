"""Turn a fresh copy of a machine into a box: none of the machine's own services, disks, history or identity.

Runs with the copy as its root folder, so that no path, not even an absolute symlink, leads out of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_GENERATORS = (
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
)

# The machine's settings of systemd and what is enabled; its lingering users, timers' stamps, seeds; its journal.
_EMPTIED = ("/etc/systemd", "/var/lib/systemd", "/var/log/journal")

# All that packages have systemd start on its own, but these, is left out; it can still be started by hand.
_KEPT = frozenset(
    (
        "dbus.service",
        "dbus.socket",
        "dev-mqueue.mount",
        "systemd-journal-flush.service",
        "systemd-journald-dev-log.socket",
        "systemd-journald.service",
        "systemd-journald.socket",
        "systemd-logind.service",
        "systemd-tmpfiles-setup.service",
        "systemd-user-sessions.service",
    )
)

# What must not run even when another unit wants it: the kernel, the devices and the clock are the machine's.
_MASKED = (
    "console-getty.service",
    "dev-hugepages.mount",
    "getty.target",
    "modprobe@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "systemd-journald-audit.socket",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-random-seed.service",
    "systemd-sysctl.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
    "tmp.mount",
)


def furnish(name: str, machine_id: str) -> None:
    """Make the folder tree at / that of a box with this name and machine id."""
    for folder in _EMPTIED:
        _empty(Path(folder))
    system = Path("/etc/systemd/system")
    system.mkdir()
    _start_nothing_but_ours()
    _mask(Path("/etc/systemd/system-generators"), _generators())
    _mask(system, _MASKED)
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    _identify(name, machine_id)


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _start_nothing_but_ours() -> None:
    for folder in map(Path, _UNIT_FOLDERS):
        for link in [*folder.glob("*.wants/*"), *folder.glob("*.requires/*")]:
            if link.name not in _KEPT:
                link.unlink(missing_ok=True)


def _generators() -> list[str]:
    return [file.name for folder in map(Path, _GENERATORS) if folder.is_dir() for file in folder.iterdir()]


def _mask(folder: Path, names: tuple[str, ...] | list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for name in set(names):
        (folder / name).symlink_to("/dev/null")


def _identify(name: str, machine_id: str) -> None:
    _replace(Path("/etc/machine-id"), f"{machine_id}\n")
    _replace(Path("/etc/hostname"), f"{name}\n")
    _replace(Path("/etc/hosts"), f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\n")
    _replace(Path("/etc/fstab"), "# A box mounts no disks.\n")
    _replace(Path("/etc/crypttab"), "")
    Path("/var/lib/dbus/machine-id").unlink(missing_ok=True)  # D-Bus then takes systemd's


def _replace(file: Path, text: str) -> None:
    # The machine may have a symlink here (as /etc/resolv.conf often is), or a read-only file in a container.
    try:
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o644)
    except OSError as exc:
        print(f"{file}: left as it is on the machine ({exc})", flush=True)
