"""What units of pysup's run: ``python -P -m pysup.metrics serve SCOPE``, or ``write SCOPE DIRECTORY``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from pysup.errors import PysupError
from pysup.unit import Scope


def main() -> int:
    """Serve metrics, or write them once; the exit code."""
    what, scope, *rest = sys.argv[1:]
    ours = version("pysup-systemd")
    try:
        if what == "serve":
            from pysup.metrics import serving

            serving.serve(Scope(scope), version=ours)
        else:
            from pysup.metrics import textfile

            textfile.write(Scope(scope), Path(rest[0]), version=ours)
    except PysupError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
