"""What systemd can do only from a version on, or only on cgroup v2: one row for each feature.

All who have to know ask here. docs/requirements.md shows the same table: scripts/requirements.py writes it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from pysup.host.cgroups import Hierarchy
from pysup.unit import Scope

OLDEST = 249  # pysup supports no older systemd


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something that systemd may lack.

    ``directive`` is as in a unit file (``Name`` or ``Name=value``), or how else it is asked for, and ``option`` what of
    pysup asks for it. ``since`` is the first version that has it, ``user_since`` the first whose manager of a user has
    it, if that is a later one; ``controller`` is what its cgroup must have, empty for none. ``for_root`` is what no
    user's manager can do. ``without`` is what happens where it is missing.
    """

    name: str
    directive: str
    option: str = ""
    since: int = 0
    user_since: int = 0
    needs_v2: bool = False
    controller: str = ""
    for_root: bool = False
    without: str

    def __str__(self) -> str:
        return f"{self.directive} does nothing here: {self.without}"

    def is_in(self, version: int, hierarchy: Hierarchy, controllers: Collection[str] | None = None) -> bool:
        """Whether it works; *controllers* are those that a user's manager has, None asks for the system's."""
        scope = Scope.SYSTEM if controllers is None else Scope.USER
        if version < self.first_in(scope) or (self.needs_v2 and hierarchy is not Hierarchy.V2):
            return False
        if scope is Scope.USER and self.for_root:
            return False
        return controllers is None or not self.controller or self.controller in controllers

    def first_in(self, scope: Scope) -> int:
        """The first version whose manager has it."""
        return max(self.since, self.user_since) if scope is Scope.USER else self.since


_IGNORED = "the limit has no effect"

FEATURES = (
    Feature(
        name="encrypted secrets",
        directive="LoadCredentialEncrypted",
        option="pysup secret",
        since=250,
        user_since=258,  # systemd-creds --user encrypts since 256, but in 257 the manager cannot decrypt
        without="secrets are kept in files that only their owner can read",
    ),
    Feature(
        name="several secrets by one name",
        directive="ImportCredential",
        since=254,
        without="each has to be named",
    ),
    Feature(
        name="growing restart delay",
        directive="RestartSteps",
        since=254,
        without="every restart waits the same time",
    ),
    Feature(
        name="longest restart delay",
        directive="RestartMaxDelaySec",
        since=254,
        without="every restart waits the same time",
    ),
    Feature(
        name="restart without passing through failed",
        directive="RestartMode",
        since=254,
        without="dependants and OnFailure= see every crash",
    ),
    Feature(
        name="reload that waits for the app",
        directive="Type=notify-reload",
        since=253,
        without="a reload is done when its command or signal was sent",
    ),
    Feature(
        name="files opened by systemd",
        directive="OpenFile",
        since=253,
        without="the app must open its files itself",
    ),
    Feature(
        name="log filters",
        directive="LogFilterPatterns",
        since=253,
        without="every line is kept; filter when reading",
    ),
    Feature(
        name="log of one run",
        directive="journalctl --invocation",
        since=257,
        without="pysup asks the journal for the invocation's id itself",
    ),
    Feature(
        name="open files kept while stopped",
        directive="FileDescriptorStorePreserve",
        since=254,
        without="they are kept over restarts only",
    ),
    Feature(
        name="notice of memory pressure",
        directive="MemoryPressureWatch",
        since=254,
        controller="memory",
        without="the app is not told before memory runs out",
    ),
    Feature(
        name="brake on polling sockets",
        directive="PollLimitIntervalSec",
        since=255,
        without="a socket that nobody accepts from may use CPU",
    ),
    Feature(
        name="highest memory use",
        directive="MemoryPeak",
        since=255,
        controller="memory",
        without="only the present use is known",
    ),
    Feature(
        name="soft memory limit",
        directive="MemoryHigh",
        option="--memory-high",
        needs_v2=True,
        controller="memory",
        without="an app is not slowed down before the hard limit (MemoryMax=) kills it",
    ),
    Feature(
        name="protected memory",
        directive="MemoryLow",
        needs_v2=True,
        controller="memory",
        without="nothing is protected from reclaim",
    ),
    Feature(
        name="guaranteed memory",
        directive="MemoryMin",
        needs_v2=True,
        controller="memory",
        without="nothing is protected from reclaim",
    ),
    Feature(
        name="swap limit",
        directive="MemorySwapMax",
        needs_v2=True,
        controller="memory",
        without=_IGNORED,
    ),
    Feature(
        name="hard memory limit", directive="MemoryMax", option="--memory-max", controller="memory", without=_IGNORED
    ),
    Feature(name="CPU limit", directive="CPUQuota", option="--cpu-quota", controller="cpu", without=_IGNORED),
    Feature(
        name="CPU share",
        directive="CPUWeight",
        option="--cpu-weight",
        controller="cpu",
        without="every app has the same share",
    ),
    Feature(name="limit of tasks", directive="TasksMax", option="--tasks-max", controller="pids", without=_IGNORED),
    Feature(
        name="CPUs for a whole group",
        directive="AllowedCPUs",
        needs_v2=True,
        controller="cpuset",
        without="use CPUAffinity=, which a process can change itself",
    ),
    Feature(
        name="I/O share",
        directive="IOWeight",
        option="--io-weight",
        controller="io",
        without="every app has the same share",
    ),
    Feature(
        name="I/O limit (reading)",
        directive="IOReadBandwidthMax",
        controller="io",
        without=_IGNORED,
    ),
    Feature(
        name="I/O limit (writing)",
        directive="IOWriteBandwidthMax",
        controller="io",
        without=_IGNORED,
    ),
    Feature(
        name="filter of addresses",
        directive="IPAddressDeny",
        option="--network 10.0.0.0/8",
        needs_v2=True,
        for_root=True,
        without="`--network` is refused but for `on` and `off`",
    ),
    Feature(
        name="out-of-memory as a result",
        directive="Result=oom-kill",
        needs_v2=True,
        controller="memory",
        without="a kill for lack of memory shows as the signal KILL",
    ),
    Feature(
        name="kill on memory pressure",
        directive="ManagedOOMMemoryPressure",
        needs_v2=True,
        controller="memory",
        without="systemd-oomd does not watch it",
    ),
    Feature(
        name="kill when swap runs out",
        directive="ManagedOOMSwap",
        needs_v2=True,
        controller="memory",
        without="systemd-oomd does not watch it",
    ),
)

BY_DIRECTIVE = {feature.directive: feature for feature in FEATURES}


def lacking(version: int, hierarchy: Hierarchy, *, controllers: Collection[str] | None = None) -> list[Feature]:
    """What does not work with this systemd; give *controllers* to ask for a user's manager."""
    return [feature for feature in FEATURES if not feature.is_in(version, hierarchy, controllers)]


def since(directive: str, scope: Scope = Scope.SYSTEM) -> int:
    """The first version in which a scope's manager knows a directive that has a row here."""
    return BY_DIRECTIVE[directive].first_in(scope)


def supports(directive: str, version: int, hierarchy: Hierarchy, *, controllers: Collection[str] | None = None) -> bool:
    """Whether a directive has its effect here; one without a row always has."""
    feature = BY_DIRECTIVE.get(directive)
    return feature is None or feature.is_in(version, hierarchy, controllers)


def parse_version(text: str) -> int | None:
    """The number in what systemd says of itself: ``252.39-1~deb12u2``, ``v257``, ``systemd 254 (254.5)``."""
    found = re.search(r"\d{2,}", text)
    return int(found[0]) if found else None
