"""Keys that nothing here stands for: what each was for, and what to use instead."""

from __future__ import annotations

from pysup.convert.draft import Draft

_METRICS = "nothing is loaded into programs; metrics are systemd's: pysup list, pysup describe"
_GIT = "pysup does not look into repositories; run git where you deploy, then pysup reload"

WHY = {
    "vizion": _GIT,
    "post_update": _GIT,
    "install_url": "it was for PM2's modules, which there are none of",
    "exec_timeout": _GIT,
    **dict.fromkeys(("pmx", "automation", "io", "v8", "event_loop_inspector", "deep_monitoring"), _METRICS),
    **dict.fromkeys(("trace", "disable_trace"), "use OpenTelemetry's own package in the program"),
    "windows_hide": "there are no windows",
    "execute_command": "it is PM2's own; exec_mode says it",
    "write": "it is PM2's own; pysup import -o writes a file",
    "username": "it is PM2's own; uid says who runs it",
}


def apply(draft: Draft) -> None:
    """Note those that were given; what was turned off is off here anyway."""
    for key, why in WHY.items():
        if key not in draft.given:
            continue
        if draft.given[key] in (False, None) or (key == "disable_trace" and draft.given[key]):
            draft.keep(key, "off, as it is here")
        else:
            draft.refuse(key, why)
