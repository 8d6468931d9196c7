"""Log files that the app's account opens itself, by a shell that becomes the program. Pure.

systemd opens them as root, and follows links: whoever may put one in the place of the file would have root write there.
"""

from __future__ import annotations

from collections.abc import Collection

from pysup.app import App

_SCRIPT = '[ -z "$1" ] || exec >>"$1" || exit; [ -z "$2" ] || exec 2>>"$2" || exit; shift 2; exec "$@"'


def words(app: App, opened: Collection[str]) -> tuple[str, ...]:
    """What stands before the command, if its account opens any of these files; ``{instance}`` is still in them."""
    paths = [where if where in opened else "" for where in (app.log.output, app.log.error)]
    return ("/bin/sh", "-c", _SCRIPT, "/bin/sh", *paths) if any(paths) else ()
