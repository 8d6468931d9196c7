"""What each of PM2's commands is in pysup: one of its own, needless, or not there."""

from __future__ import annotations

SAME = {
    **dict.fromkeys(("list", "ls", "l", "ps", "status"), ("list",)),
    **dict.fromkeys(("describe", "desc", "info", "show"), ("describe",)),
    **dict.fromkeys(("delete", "del"), ("delete",)),
    **dict.fromkeys(("monit", "imonit", "dashboard", "dash"), ("monit",)),
    **dict.fromkeys(("startOrGracefulReload", "startOrReload"), ("reload",)),
    **dict.fromkeys(("ecosystem", "init"), ("init",)),
    **dict.fromkeys(("dump", "save"), ("save",)),
    **{
        name: (name,)
        for name in ("stop", "restart", "reload", "reset", "env", "startup", "unstartup", "flush", "logrotate")
    },
    "startOrRestart": ("restart",),
    "cleardump": ("unsave", "all"),
    "kill": ("stop", "all"),
    "resurrect": ("start", "all"),
    "report": ("doctor",),
}
"""Commands that are one of pysup's, with its targets."""

WITHOUT_TARGETS = ("list", "monit", "init", "startup", "unstartup", "save", "logrotate", "doctor")
"""Those of pysup's among them that take none."""

NEEDLESS = {
    "update": "there is no daemon to update",
    "updatePM2": "there is no daemon to update",
    "deepUpdate": "there is no daemon to update: pip install --upgrade pysup-systemd",
    "reloadLogs": "the journal is rotated by journald, and log files are opened anew at each start",
}
"""Commands that succeed, and why they do nothing."""

_MODULES = "there are no modules: rotation, metrics and watching are systemd's"
_PLUS = "PM2 Plus is a service of its makers'; pysup list --json and the journal are what there is to be read"
_ACTIONS = "nothing of pysup runs inside programs; send a signal (pysup signal), or a line (pysup send)"
_GIT = "run git in the directory, then: pysup reload APP"
_STORE = "there is no store of settings; apps have theirs by options and files"
ABSENT = {
    **dict.fromkeys(("install", "uninstall", "publish", "package", "module:install", "module:uninstall"), _MODULES),
    **dict.fromkeys(
        ("module:update", "module:generate", "module:publish", "create", "examples", "autoinstall"), _MODULES
    ),
    **dict.fromkeys(("link", "unlink", "monitor", "unmonitor", "open", "plus", "register", "login", "logout"), _PLUS),
    **dict.fromkeys(("trigger", "inspect", "profile:cpu", "profile:mem"), _ACTIONS),
    **dict.fromkeys(("pull", "forward", "backward"), _GIT),
    **dict.fromkeys(("set", "multiset", "get", "conf", "config", "unset"), _STORE),
    **dict.fromkeys(("install-otel", "uninstall-otel"), "add OpenTelemetry's own package to the program"),
    **dict.fromkeys(("slist", "sysinfos"), "the machine's own tools tell that: top, vmstat, systemd-cgtop"),
    "deploy": "there is none; copy the program there, then run pysup reload",
}
"""Commands that are refused, and what there is instead."""
