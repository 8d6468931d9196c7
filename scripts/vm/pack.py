"""Write a checkout to stdout as a tar, with the bytecode of its modules; run by the Python that the guest has, too.

``pack.py ROOT SEEN_AT NAME…``. To compile it in the machine would take a quarter of a minute of each session.
"""

from __future__ import annotations

import io
import marshal
import sys
import tarfile
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

_UNCHECKED = (0b01).to_bytes(4, "little")  # by hash, and nobody looks at the source: PEP 552


def main(root: Path, seen_at: str, *names: str) -> None:
    """Pack these files and folders of *root*, which are *seen_at* that path in the guest."""
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name in names:
            archive.add(root / name, name, filter=_chosen)
            for module in sorted((root / name).rglob("*.py")):
                if not _SKIPPED & {*module.parts}:
                    _add_bytecode(archive, module, str(module.relative_to(root)), seen_at)


_SKIPPED = {"__pycache__", "node_modules"}


def _chosen(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name in _SKIPPED else member


def _add_bytecode(archive: tarfile.TarFile, module: Path, name: str, seen_at: str) -> None:
    source = module.read_bytes()
    code = compile(source, f"{seen_at}/{name}", "exec", dont_inherit=True)
    data = MAGIC_NUMBER + _UNCHECKED + source_hash(source) + marshal.dumps(code)
    member = tarfile.TarInfo(cache_from_source(name))
    member.size, member.mode = len(data), 0o644
    archive.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
