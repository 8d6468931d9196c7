"""GET each URL and print the answer; with ``--kill PID``, first kill that process and ask until another one answers."""

from __future__ import annotations

import os
import signal
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

PATIENCE = 10.0


def ask(url: str, *, but_not: str = "") -> str:
    """The answer of *url*, once there is one without the words *but_not*."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(url, timeout=PATIENCE) as response:  # noqa: S310 - a URL of the demo's own
                text = str(response.read().decode())
            if not but_not or but_not not in text:
                return text
        except HTTPError as answer:
            return str(answer.read().decode())
        except (URLError, ConnectionError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{url}: {error}") from None
        time.sleep(0.005)  # nothing tells a client when a port opens


def main(words: list[str]) -> None:
    """Do what the module says."""
    if words[0] == "--kill":
        pid, url = words[1:]
        os.kill(int(pid), signal.SIGKILL)
        began = time.monotonic()
        print(ask(url, but_not=f"pid {pid}:"), end="")
        print(f"answered by another process {1000 * (time.monotonic() - began):.0f} ms after the kill")
        return
    for url in words:
        print(ask(url), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
