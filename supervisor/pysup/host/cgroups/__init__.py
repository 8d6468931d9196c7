"""Control groups of any hierarchy: which trees there are, what a unit uses of what, and which limits hold."""

from pysup.host.cgroups.trees import (
    Cgroups,
    Hierarchy,
    InForce,
    Strained,
    find,
    here,
    hierarchy,
    limits,
    usage,
)

__all__ = ["Cgroups", "Hierarchy", "InForce", "Strained", "find", "here", "hierarchy", "limits", "usage"]
