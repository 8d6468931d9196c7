"""make bench: boot a box, run the rows in it, print the table. ``make bench ROW=list`` runs one row."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import grounds
from bench import clusters, commands, files, logs, recovery, report, tools, watching
from bench.contenders import SCRATCH
from bench.measure import Result

ROWS: Mapping[str, Callable[[int], Iterator[Result]]] = {
    "list": commands.listing,
    "start": commands.starting,
    "stop": commands.stopping,
    "back": recovery.back,
    "memory": recovery.memory,
    "journal": logs.journal,
    "follow": logs.following,
    "thousand": commands.thousand,
    "storm": recovery.storm,
    "file": files.comparing,
    "events": watching.events,
    "idling": watching.idling,
    "scrape": watching.scraping,
    "throughput": clusters.throughput,
    "reload": clusters.reload,
    "reloads": clusters.reloads,
    "spread": clusters.spread,
}


def main() -> None:
    """Run the benchmark, here or (``--inside``) in the box."""
    options = _options()
    rows = options.row or list(ROWS)
    if options.inside:
        _run_rows(rows, options.rounds)
        return
    tools.install()
    results: list[Result] = []
    try:
        _run_in_box(rows, options.rounds, results)
    finally:
        print(report.table(results))
    if options.json:
        options.json.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    if any(result.verdict == "miss" for result in results):
        raise SystemExit("bench: not all is as fast as wanted")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--row", action="append", choices=[*ROWS], help="run this row; may be repeated; default all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is done; default 5")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_in_box(rows: Sequence[str], rounds: int, results: list[Result]) -> None:
    """Run the rows in a fresh box; results come as lines of JSON and go to *results*, all else is told as it comes."""
    words = [word for row in rows for word in ("--row", row)]
    with grounds.booted() as box:
        process = box.popen(
            grounds.python("-m", "bench", "--inside", "--rounds", str(rounds), *words),
            cwd=grounds.ROOT,
            env=grounds.environment(PYTHONPATH=f"{grounds.ROOT}/scripts:{grounds.ROOT}/tests", PYSUP_ALLOW_ROOT="1"),
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            for line in process.stdout or ():
                if line.startswith("{"):
                    results.append(Result(**json.loads(line)))
                else:
                    print(line, end="", file=sys.stderr, flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)


def _run_rows(rows: Sequence[str], rounds: int) -> None:
    for row in rows:
        print(f"bench: {row} …", flush=True)
        shutil.rmtree(SCRATCH, ignore_errors=True)
        for result in ROWS[row](rounds):
            print(json.dumps({name: getattr(result, name) for name in Result.__slots__}), flush=True)


if __name__ == "__main__":
    main()
