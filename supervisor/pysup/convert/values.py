"""PM2's value rules: what it takes where it expects a number, a time, a size, a list; pure.

A value that is none of that raises SpecError with the key's name; who calls says which app and file.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pysup.errors import SpecError

_TIME = re.compile(r"(\d+)(h|m|s)?")
_SIZE = re.compile(r"(\d+)([GMK])?")
_WORD = re.compile(r"""((?:[^\s"'=]*=)*)("[^"]*"|'[^']*')(?!\S)|(\S+)""")
"""A word in quotes, also behind ``--name=``; or one without blanks."""
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, None: 1}
_SHORTEST_EXPONENT = re.compile(r"e([+-])0*(\d)")


def marked(value: object) -> str:
    """What stands in the place of something that is no data (a function, a regular expression); empty for data."""
    return str(value.get("$pysup", "")) if isinstance(value, dict) else ""


def flag(value: object, key: str) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _wrong(key, value, "true or false")


def number(value: object, key: str) -> int:
    """A whole number, or text that is one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}\s*", value):
        return int(value)
    raise _wrong(key, value, "a whole number")


def milliseconds(value: object, key: str) -> int:
    """A number of milliseconds, or ``10s``, ``5m``, ``1h``."""
    if isinstance(value, str):
        found = _TIME.fullmatch(value.strip())
        if not found or len(found[1]) > 15:
            raise _wrong(key, value, "milliseconds, or a time such as 10s, 5m or 1h")
        return int(found[1]) * _MILLISECONDS[found[2]]
    return _not_negative(number(value, key), key)


def size(value: object, key: str) -> str:
    """Bytes, or ``300M``, as pysup writes sizes. PM2 takes capital K, M and G only, and no fractions."""
    if isinstance(value, str):
        if not _SIZE.fullmatch(value.strip()) or len(value) > 20:
            raise _wrong(key, value, "bytes, or a size such as 512K, 300M or 1G")
        return value.strip()
    return str(_not_negative(number(value, key), key))


def text(value: object, key: str) -> str:
    """Text; numbers are taken for it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return as_environment(value)
    raise _wrong(key, value, "text")


def words(value: object, key: str) -> list[str]:
    """A list; text is split at blanks, but for those in quotes. No shell reads it: all else stays as it is."""
    if isinstance(value, list):
        return [text(one, key) for one in value]
    if isinstance(value, str):
        found = [match.groups() for match in _WORD.finditer(value)]
        if any(plain and plain[0] in "\"'" for _, _, plain in found):
            raise SpecError(f"{key} is {value!r}, with a quote that is not closed", hint="Close it, or write a list.")
        return [plain or before + quoted[1:-1] for before, quoted, plain in found]
    return [text(value, key)]


def patterns(value: object, key: str) -> list[str]:
    """Paths or patterns: one or a list, whose blanks are their own."""
    return [text(one, key) for one in value] if isinstance(value, list) else [text(value, key)]


def mapping(value: object, key: str) -> dict[str, Any]:
    """A table."""
    if isinstance(value, dict) and not marked(value):
        return value
    raise _wrong(key, value, "a table of names and values")


def as_environment(value: object) -> str:
    """A value as JavaScript would write it into an environment: ``true``, ``null``, ``1``, objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _javascript_number(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def span(milliseconds: int) -> str:
    """A time as pysup writes it."""
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def camel_to_snake(key: str) -> str:
    """``maxMemoryRestart`` is ``max_memory_restart``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()


def _javascript_number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return _SHORTEST_EXPONENT.sub(r"e\1\2", repr(value))


def _not_negative(value: int, key: str) -> int:
    if value < 0:
        raise _wrong(key, value, "0 or more")
    return value


def _wrong(key: str, value: object, wanted: str) -> SpecError:
    kind = marked(value)
    shown = f"a {kind}" if kind else repr(value)
    return SpecError(f"{key} is {shown if len(shown) < 80 else shown[:70] + '…'}, not {wanted}", hint="Mend the value.")
