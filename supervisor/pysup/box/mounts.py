"""Read /proc/self/mountinfo: which mounts hold data, and which cgroup hierarchies there are (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# File systems whose content the kernel makes up; a box has its own or does without.
_KERNEL_MADE = re.compile(
    "autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs|mqueue|nsfs"
    "|proc|pstore|rpc_pipefs|securityfs|selinuxfs|sysfs|tracefs"
)
_PRIVATE = tuple(map(PurePosixPath, ("/dev", "/proc", "/run", "/sys", "/tmp")))  # noqa: S108 - not a file of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo: where it is, what kind it is, and the options of its file system."""

    where: str
    fstype: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """A cgroup hierarchy of this machine; ``controllers`` is empty for cgroup v2."""

    where: Path
    controllers: tuple[str, ...] = ()

    @property
    def is_v2(self) -> bool:
        """Whether this is the cgroup v2 tree."""
        return not self.controllers

    @property
    def is_systemds(self) -> bool:
        """Whether systemd keeps its units here (the others are for limits only)."""
        return self.is_v2 or "name=systemd" in self.controllers


def parse(mountinfo: str) -> list[Mount]:
    """The mounts that *mountinfo* lists, in its order."""
    return [_parse_line(line) for line in mountinfo.splitlines() if line]


def current() -> list[Mount]:
    """The mounts that this process sees."""
    return parse(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))


def data_mounts(mounts: Iterable[Mount]) -> list[str]:
    """Where file systems other than the root's hold data that a copy of the machine must have, parents first."""
    places = {
        mount.where
        for mount in mounts
        if not _KERNEL_MADE.fullmatch(mount.fstype) and mount.where != "/" and not _is_private(mount.where)
    }
    return sorted(places)


def hierarchies(mounts: Iterable[Mount]) -> list[Hierarchy]:
    """The cgroup hierarchies that systemd can use, each once; not those named for others (``name=openrc``)."""
    found: dict[tuple[str, ...], Hierarchy] = {}
    for mount in mounts:
        match mount.fstype:
            case "cgroup2":
                found.setdefault((), Hierarchy(where=Path(mount.where)))
            case "cgroup":
                names = _controllers(mount.options)
                if names and not _is_foreign(names):
                    found.setdefault(names, Hierarchy(where=Path(mount.where), controllers=names))
    return list(found.values())


def _parse_line(line: str) -> Mount:
    # 36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue: see proc(5)
    left, right = line.split(" - ", 1)
    fstype, _source, options = [*right.split(" "), ""][:3]
    return Mount(where=_unescape(left.split(" ")[4]), fstype=fstype, options=tuple(options.split(",")))


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _is_private(where: str) -> bool:
    return any(PurePosixPath(where).is_relative_to(top) for top in _PRIVATE)


_V1_FLAGS = frozenset(
    ("rw", "ro", "xattr", "clone_children", "noprefix", "none", "all", "cpuset_v2_mode", "favordynmods")
)


def _controllers(options: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(word for word in options if word not in _V1_FLAGS and not word.startswith("release_agent=")))


def _is_foreign(controllers: tuple[str, ...]) -> bool:
    return any(word.startswith("name=") and word != "name=systemd" for word in controllers)
