"""Commands that take a Request: typer sees a parameter for each of its fields that they share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from pysup.cli.request import Request

_USUAL = {field.name: field.default for field in fields(Request)}

ALL = tuple(name for name in _USUAL if name != "arguments")
"""All that words before ``--`` can say; what stands behind it comes as ``arguments`` (``frame.WithArguments``)."""


def takes_request(names: Sequence[str] = ALL) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Hand a function a Request of the options of these *names*, before its own parameters."""
    hints = get_type_hints(Request, include_extras=True)
    asked = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hints[name], default=_USUAL[name])
        for name in names
    ]

    def decorate(function: Callable[..., int | None]) -> Callable[..., int | None]:
        @functools.wraps(function)
        def called(**values: Any) -> int | None:
            given = {name: values.pop(name) for name in (*names, "arguments") if name in values}
            return function(Request(**given), **values)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        called.__signature__ = inspect.Signature([*own, *asked])  # type: ignore[attr-defined]
        called.__annotations__ = {}
        return called

    return decorate
