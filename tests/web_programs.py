"""A WSGI application that answers its process's id, for gunicorn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any


def wsgi(_: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """For gunicorn."""
    body = str(os.getppid()).encode()  # the worker's parent is the instance
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
