"""The environment of an instance: that of its process if it runs, or else what its next start will give it."""

from __future__ import annotations

from pathlib import Path

from pysup.app import HIDDEN, App
from pysup.errors import NotFound, NotPermitted
from pysup.unit import Instance


def of(instance: Instance, app: App | None) -> dict[str, str]:
    """Names and values; bytes that are not UTF-8 are shown as escapes, secrets not at all.

    Raises NotPermitted if the process is somebody else's. Without a process, files of ``--env-file`` are not in it,
    which systemd reads at the start.
    """
    if instance.pid:
        found = _of_process(instance)
        if found is not None:
            secrets = {*app.secrets, *app.secret_env} if app else set()
            return {name: HIDDEN if name in secrets else value for name, value in found.items()}
    if app is None:
        raise NotFound(f"{instance.name} does not run, and its app cannot be read back", hint="pysup doctor says why.")
    own = {
        "PYSUP_APP": app.name,
        "PYSUP_INSTANCE": str(instance.name.number),
        app.instance_var: str(instance.name.number),
    }
    counted = {name: str(base + instance.name.number) for name, base in app.increment.items()}
    port = {"PORT": str(instance.port)} if instance.port is not None else {}
    return {**app.shown_env, **own, **counted, **port}


def _of_process(instance: Instance) -> dict[str, str] | None:
    try:
        data = Path(f"/proc/{instance.pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError as exc:
        raise NotPermitted(
            f"the environment of {instance.name} is for user {instance.user!r} and root only",
            hint="Type sudo before the command.",
        ) from exc
    pairs = (entry.decode("utf-8", "backslashreplace").partition("=") for entry in data.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}
