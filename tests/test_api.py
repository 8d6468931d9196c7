"""The public names of the package."""

from __future__ import annotations

import subprocess
import sys

import pysup


def test_public_names_are_all_there() -> None:
    """Each can be had, and none is there that is not listed; ruff keeps them sorted."""
    assert set(pysup.__all__) == set(pysup._HOME_OF)
    for name in pysup.__all__:
        assert getattr(pysup, name) is not None


def test_an_app_can_be_had_without_an_event_loop() -> None:
    """Importing costs are paid by those who need what they buy."""
    script = "import sys; from pysup import App; print('asyncio' in sys.modules, 'dbus_fast' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_tree_of_errors_in_its_docstring_is_the_tree_there_is() -> None:
    """Each class stands below its parent."""
    from pysup import errors

    depth: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if not name or not hasattr(errors, name):
            continue
        level = (len(line) - len(line.lstrip("│├└─ "))) // 4
        depth[level] = name
        if level:
            assert issubclass(getattr(errors, name), getattr(errors, depth[level - 1])), name
    assert len({name for name in vars(errors) if name[0].isupper()} - {"Sequence"}) >= len(depth)
