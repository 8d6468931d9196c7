"""Row about files of apps: what it costs to compare a large one with what is there, and to find nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

import grounds
from bench.contenders import SCRATCH
from bench.measure import Result, interleaved, run

COUNT = 200


def comparing(rounds: int) -> Iterator[Result]:
    """What ``diff`` and ``apply`` of 200 apps that are as they should be cost."""
    SCRATCH.mkdir(exist_ok=True)
    file = SCRATCH / "pysup.toml"
    apps = (f'[apps.app{number}]\ncommand = "sleep infinity"\nport = {20000 + number}\n' for number in range(COUNT))
    file.write_text('[defaults]\nenv.MODE = "bench"\nlimits.memory_max = "300M"\n' + "".join(apps))
    pysup = str(grounds.PYSUP)
    run([pysup, "apply", str(file), "--yes"])
    before = _loaded()
    taken = interleaved(
        rounds,
        {
            "diff": lambda: run([pysup, "diff", str(file), "--exit-code"]),
            "apply": lambda: run([pysup, "apply", str(file), "--yes"]),
        },
    )
    reloads = int(_loaded() != before)
    run([pysup, "delete", "all"])
    for what, at_most in (("diff", 1000.0), ("apply", 1500.0)):
        yield Result(
            row="file", what=f"{what} of {COUNT} apps, nothing to do", unit="ms", pysup=taken[what], at_most=at_most
        )
    yield Result(row="file", what="daemon-reloads meanwhile", unit="", pysup=reloads, at_most=0, at_least=0)


def _loaded() -> str:
    """When systemd read all unit files last."""
    return run(["systemctl", "show", "--property=UnitsLoadFinishTimestampMonotonic", "--value"])
