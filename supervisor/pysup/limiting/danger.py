"""What a limit would do to what runs already: pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pysup import wording
from pysup.host.cgroups.reading import Reading
from pysup.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Danger:
    """Something to be told before a limit is set; ``kills`` when processes would be killed by it at once."""

    message: str
    kills: bool = False


def dangers(name: str, limits: Limits, now: Reading, held: int | None) -> Iterator[Danger]:
    """What these limits mean for a control group that is now so; *held* bytes of its memory cannot be dropped."""
    held = now.memory.current if held is None else held
    if held is not None and limits.memory_max is not None and limits.memory_max < held:
        yield Danger(
            message=f"{name} holds {wording.size(held)} of memory, above {wording.size(limits.memory_max)}: "
            "the kernel would kill it",
            kills=True,
        )
    elif held is not None and limits.memory_high is not None and limits.memory_high < held:
        yield Danger(
            message=f"{name} holds {wording.size(held)} of memory, above {wording.size(limits.memory_high)}: "
            "it will be slowed down until it holds less"
        )
    tasks = now.tasks.current
    if tasks is not None and limits.tasks_max is not None and limits.tasks_max < tasks:
        yield Danger(message=f"{name} has {tasks} tasks, above {limits.tasks_max}: it gets no more until it has fewer")
    most = now.descriptors.most
    if most is not None and limits.nofile is not None and limits.nofile < most:
        yield Danger(message=f"a process of {name} has {most} open files, above {limits.nofile}: it can open no more")
