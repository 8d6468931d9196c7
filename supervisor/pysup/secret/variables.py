"""Credentials as variables, for programs that read no files: a shell sets them and becomes the program.

systemd reads its environment files before it has put the credentials where an instance finds them, so none can name
one. The shell is the machine's own; the value is nobody's argument, and is on no disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHELL = "/bin/sh"
FAILED = 243
"""The exit code that systemd has for credentials that cannot be handed over: systemd.exec(5)."""

# The full stop keeps line ends, which $(…) would take away from the end. Its own variable is unset again, so it has a
# name that no program looks for.
_SCRIPT = (
    'while [ "$1" != -- ]; do PYSUP_SECRET=$(cat "$CREDENTIALS_DIRECTORY/$2" && printf .) || '
    f'exit {FAILED}; export "$1=${{PYSUP_SECRET%.}}"; shift 2; done; unset PYSUP_SECRET; shift; exec "$@"'
)


def argv(variables: Mapping[str, str], words: Sequence[str]) -> tuple[str, ...]:
    """A command with these variables (their names, and those of the credentials) set before it."""
    if not variables:
        return tuple(words)
    pairs = (part for pair in variables.items() for part in pair)
    return (SHELL, "-c", _SCRIPT, SHELL, *pairs, "--", *words)
