"""A made machine: /proc and /sys with control groups of any hierarchy."""

from __future__ import annotations

from pathlib import Path

from pysup.host import cgroups
from pysup.host.cgroups import Cgroups

UNIT = "/system.slice/pysup-web@0.service"

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
NAMED = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd"
MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
PIDS = "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids"
OTHER = "22 27 0:21 / /proc rw - proc proc rw"


class Machine:
    """A made /proc and /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: object) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def mount(self, *lines: str) -> Cgroups:
        self.write("/proc/self/mountinfo", "\n".join((OTHER, *lines)))
        return cgroups.find(str(self.root))

    def unit(self, tree: str, **files: object) -> None:
        """Files of the unit's group; ``__`` stands for the dot in a file's name."""
        for name, text in files.items():
            self.write(f"/sys/fs/cgroup{tree}{UNIT}/{name.replace('__', '.')}", text)

    def process(self, pid: int, *, ticks: int, pages: int, threads: int = 1, name: str = "node") -> None:
        fields = ["0"] * 52
        fields[0:4] = [str(pid), f"({name})", "S", "1"]
        fields[13:17] = [str(ticks), "0", "0", "0"]
        fields[19], fields[23] = str(threads), str(pages)
        self.write(f"/proc/{pid}/stat", " ".join(fields))
