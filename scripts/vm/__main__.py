"""Run a shell command in a fresh machine, as root or as ada: ``python -m vm [--user ada] 'systemctl --version'``."""

from __future__ import annotations

import sys

from vm.debian import CannotBuild
from vm.machine import Machine, MachineError

words = sys.argv[1:]
user = words[1] if words[:1] == ["--user"] else None
script = words[2 if user else 0 :]
if len(script) != 1:
    sys.exit(__doc__)
try:
    with Machine.booted() as machine:
        done = machine.run(["/bin/sh", "-c", *script], user=user, timeout=3600, check=False)
except (CannotBuild, MachineError) as error:
    sys.exit(f"vm: {error}")
sys.stdout.write(done.stdout)
sys.stderr.write(done.stderr)
sys.exit(done.returncode)
