"""What runs, as PM2's ``jlist`` tells it, for scripts that read that."""

from __future__ import annotations

import json
import time
from typing import Any

from pysup.app import Restart
from pysup.cli import instances, output
from pysup.cli.options import chosen_scope
from pysup.unit import AppStatus, Instance

STATES = {
    "active": "online",
    "reloading": "online",
    "refreshing": "online",
    "activating": "launching",
    "auto-restart": "waiting restart",
    "deactivating": "stopping",
    "inactive": "stopped",
    "failed": "errored",
    "maintenance": "launching",
}


def rows() -> list[tuple[str, str, str]]:
    """Name, namespace and selector of each instance, in the order of PM2's numbers for them."""
    return [(app.name, app.namespace, str(one.name)) for app, one in _each()]


def show(*, indent: int | None) -> None:
    """Print the list. Values of the environment are not in it: pysup env shows them to whom they belong."""
    now = time.time()
    found = [_process(number, app, one, now) for number, (app, one) in enumerate(_each())]
    output.echo(json.dumps(found, indent=indent))


def _each() -> list[tuple[AppStatus, Instance]]:
    from pysup.sync import Manager

    with Manager(chosen_scope(None)) as manager:
        return [(app, one) for app in manager.list() for one in app.instances]


def _process(number: int, app: AppStatus, one: Instance, now: float) -> dict[str, Any]:
    share = instances.cpu_percent(one, now)
    return {
        "pid": one.pid,
        "name": app.name,
        "pm_id": number,
        "monit": {"memory": one.usage.memory or 0, "cpu": round(share or 0.0, 1)},
        "pm2_env": {**_state(number, app, one), **_spec(app)},
    }


def _state(number: int, app: AppStatus, one: Instance) -> dict[str, Any]:
    since = round((one.since or 0) * 1000)
    return {
        "pm_id": number,
        "name": app.name,
        "namespace": app.namespace or "default",
        "status": STATES.get(one.state, one.state),
        "pm_uptime": since,
        "created_at": since,
        "restart_time": one.restarts,
        "unstable_restarts": 0,
        "NODE_APP_INSTANCE": one.name.number,
        "username": one.user,
        "version": "N/A",
        "exit_code": one.last_exit.code if one.last_exit else 0,
        "pmx_module": False,
        "unique_id": one.invocation_id or str(one.name),
    }


def _spec(app: AppStatus) -> dict[str, Any]:
    spec = app.spec
    if spec is None:
        return {}
    return {
        "instances": len(app.instances),
        "exec_mode": "cluster_mode" if spec.listen else "fork_mode",
        "pm_exec_path": spec.command[0],
        "pm_cwd": spec.cwd,
        "args": list(spec.command[1:]),
        "exec_interpreter": spec.interpreter[0].rpartition("/")[2] if spec.interpreter else "none",
        "node_args": list(spec.interpreter[1:]),
        "autorestart": spec.restart is not Restart.NO,
        "autostart": spec.autostart,
        "kill_timeout": round(spec.stop_timeout * 1000),
        "instance_var": spec.instance_var,
        "merge_logs": True,
        "pm_out_log_path": spec.log.output if spec.log.output.startswith("/") else "",
        "pm_err_log_path": spec.log.error if spec.log.error.startswith("/") else "",
        "env": {},
    }
