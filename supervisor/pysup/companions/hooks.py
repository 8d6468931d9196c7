"""Run the hooks of an instance: copied beside the units, and run there by systemd; nothing but the standard library.

    python -I -B pysup-hooks.py exit|start|failed|test --system|--user APP@NUMBER [INVOCATION RESULT CODE STATUS]

Reads pysup-hooks.json beside it. Each hook is tried three times, ten seconds each; how it went is a record in the
journal, which ``pysup events`` and ``pysup doctor`` read. State is below /run: what was told when, who is down.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Target = Mapping[str, Any]

RECORD = "c0d7b1f2a3e84d5f9a6be1c47d20f853"  # deeds.py
PAUSES = (1.0, 5.0)  # seconds between tries
PATIENCE = 10.0  # seconds for one try of a webhook
RUN = 60.0  # seconds for one try of a command
EVERY = 60.0  # seconds within which a failure or restart of one instance is told once
WELL = 9.0  # seconds that an instance must have run to count as well again
LINES = 10
LIMITED = ("on_failure", "on_restart")
SAID = {
    "on_failure": "{id} failed: {how}",
    "on_restart": "{id} is being restarted: {how}",
    "on_give_up": "{id} is down, and systemd leaves it so: {how}",
    "on_recover": "{id} runs again",
}


class Problem(Exception):
    """What went wrong with a hook, without its URL: that may be a secret."""


def main() -> None:
    """Find out what happened, and tell it to whom it concerns."""
    what, manager, who = sys.argv[1:4]
    more = [*sys.argv[4:], "", "", "", ""]
    who = who.removeprefix("pysup-")
    state = State(manager, who)
    if what == "failed":
        names = ("INVOCATION_ID", "SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")
        more = [os.environ.get(f"MONITOR_{name}", "") for name in names]
    event = describe(manager, who, *more[:4])
    for name in happened(what, event, state):
        tell(name, event, state)


def happened(what: str, event: Event, state: State) -> list[str]:
    """The hooks that what happened concerns."""
    if what == "test":
        return [*SAID]
    if what == "failed":
        state.mark("down")
        return ["on_give_up"]
    if what == "start":
        return ["on_recover"] if recovered(event, state) else []
    names = []
    if event["result"] != "success":
        names.append("on_failure")
    return [*names, "on_restart"] if goes_on(event) else names


def recovered(event: Event, state: State) -> bool:
    """Whether an instance that was down has run for a while; if it is still trying, systemd is to ask again later."""
    now = show(event["manager"], event["unit"], "ActiveState", "ActiveEnterTimestampMonotonic")
    entered = int(now["ActiveEnterTimestampMonotonic"] or 0) / 1_000_000
    if now["ActiveState"] == "active" and time.clock_gettime(time.CLOCK_MONOTONIC) - entered >= WELL:
        state.clear("down")
        state.clear("waiting")
        return True
    if now["ActiveState"] not in ("active", "activating", "deactivating"):
        state.clear("waiting")
        return False
    state.mark("waiting")
    name = f"pysup-hook-wait-{event['id'].replace('@', '-')}-{time.time_ns()}"
    again = [sys.executable, "-I", "-B", __file__, "start", event["manager"], event["id"]]
    timer = [f"--unit={name}", "--on-active=10", "--timer-property=AccuracySec=1s"]
    output("systemd-run", event["manager"], "--quiet", "--collect", *timer, *again)
    return False


def goes_on(event: Event) -> bool:
    """Whether systemd starts the instance again."""
    for _ in range(20):
        now = show(event["manager"], event["unit"], "ActiveState", "SubState", "NRestarts")
        if now["SubState"] == "auto-restart":
            return True
        if now["ActiveState"] in ("activating", "active"):
            return now["NRestarts"] not in ("", "0")
        time.sleep(0.1)
    return False


def describe(manager: str, who: str, invocation: str, result: str, code: str, status: str) -> dict[str, Any]:
    """The event, as webhooks and commands get it."""
    app, _, number = who.rpartition("@")
    unit = f"pysup-{who}.service"
    is_code = code in ("exited", "")
    how = (
        f"exit code {status}" if code == "exited" else f"signal {status}" if code else result or "it was started again"
    )
    if result not in ("", "exit-code", "signal", "success", "core-dump"):
        how += f" ({result})"
    return {
        "app": app,
        "instance": int(number) if number.isdigit() else None,
        "id": who,
        "unit": unit,
        "scope": manager.lstrip("-"),
        "manager": manager,
        "host": socket.gethostname(),
        "at": time.time(),
        "invocation_id": invocation,
        "result": result,
        "code": int(status) if code == "exited" and status.isdigit() else None,
        "signal": None if is_code else status,
        "how": how,
        "log": last_lines(manager, who, unit),
    }


def last_lines(manager: str, who: str, unit: str) -> list[str]:
    """The last lines that the instance wrote."""
    user = show(manager, unit, "User")["User"]
    try:
        uid = pwd.getpwnam(user).pw_uid if user else os.getuid()
    except KeyError:
        uid = int(user) if user.isdigit() else os.getuid()
    match = [f"SYSLOG_IDENTIFIER=pysup-{who}", f"_UID={uid}"]
    return output("journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={LINES}", *match).splitlines()


def show(manager: str, unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit."""
    text = output("systemctl", manager, "show", unit, *(f"--property={name}" for name in names))
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: found.get(name, "") for name in names}


def output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
        return done.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""


class State:
    """What was told when, and who is down: empty files, by their times."""

    def __init__(self, manager: str, who: str) -> None:
        run = os.environ.get("XDG_RUNTIME_DIR", "") if manager == "--user" else "/run"
        self._files = Path(run) / "pysup" / "hooks"
        self._who = who

    def mark(self, what: str) -> None:
        self._files.mkdir(parents=True, exist_ok=True)
        self._file(what).touch()

    def clear(self, what: str) -> None:
        self._file(what).unlink(missing_ok=True)

    def is_recent(self, what: str) -> bool:
        try:
            return time.time() - self._file(what).stat().st_mtime < EVERY
        except OSError:
            return False

    def skip(self) -> None:
        self._files.mkdir(parents=True, exist_ok=True)
        with self._file("skipped").open("a") as file:
            file.write("\n")

    def skipped(self) -> int:
        """How many ends were not told since the last that was; they count no more."""
        try:
            count = self._file("skipped").stat().st_size
        except OSError:
            return 0
        self.clear("skipped")
        return count

    def _file(self, what: str) -> Path:
        return self._files / f"{self._who}.{what}"


def tell(name: str, event: Event, state: State) -> None:
    """Run all hooks of a name, and write down how each went."""
    settings = json.loads(Path(__file__).with_suffix(".json").read_text())
    targets = [*settings.get("all", {}).get(name, ()), *settings.get("apps", {}).get(event["app"], {}).get(name, ())]
    if not targets:
        return
    if name in LIMITED and sys.argv[1] != "test":
        if state.is_recent(name):
            state.skip()
            return
        state.mark(name)
    skipped = state.skipped() if name in LIMITED else 0
    said = SAID[name].format(**event) + f" on {event['host']}" + (f" ({skipped} more ends before)" if skipped else "")
    if sys.argv[1] == "test":
        said = f"This is a test of {name}: {said}"
    whole = {"event": name, "message": said, "skipped": skipped, "test": sys.argv[1] == "test", **event}
    whole.pop("manager")
    for target in targets:
        record(name, event, attempt(target, whole))


def attempt(target: Target, event: Event) -> str:
    """Run one hook, again if need be; what went wrong at last, or empty."""
    problem = ""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        try:
            SENDERS[target["kind"]](target, event)
        except Problem as exc:
            problem = str(exc)
        except (OSError, ValueError, KeyError) as exc:
            problem = type(exc).__name__
        else:
            return ""
    return f"{target['kind']}: {problem}"


def post(url: str, data: bytes, **headers: str) -> None:
    """Send to a URL; only success counts."""
    request = urllib.request.Request(url, data=data, method="POST")  # noqa: S310 (pysup lets none but http(s) in)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
            pass
    except urllib.error.HTTPError as exc:
        raise Problem(f"HTTP {exc.code}") from None
    except (urllib.error.URLError, TimeoutError) as exc:
        reason = getattr(exc, "reason", exc)
        raise Problem(getattr(reason, "strerror", None) or str(reason)[:200]) from None


def send_json(target: Target, content: Mapping[str, Any]) -> None:
    post(target["url"], json.dumps(content).encode(), Content_Type="application/json", User_Agent="pysup")


def text_of(event: Event) -> str:
    return "\n".join([event["message"], *(f"    {line[:300]}" for line in event["log"])])


def slack(target: Target, event: Event) -> None:
    lines = "\n".join(line[:300] for line in event["log"]).replace("```", "'''")
    text = event["message"] + (f"\n```{lines}```" if lines else "")
    send_json(target, {"text": text})


def discord(target: Target, event: Event) -> None:
    lines = "\n".join(line[:150] for line in event["log"]).replace("```", "'''")
    text = event["message"][:300] + (f"\n```\n{lines[:1600]}\n```" if lines else "")
    send_json(target, {"content": text, "allowed_mentions": {"parse": []}})


def ntfy(target: Target, event: Event) -> None:
    title = event["message"].encode("ascii", "replace").decode()[:200]
    urgent = "high" if event["event"] == "on_give_up" else "default"
    post(target["url"], text_of(event)[:3900].encode(), Title=title, Priority=urgent, Tags="pysup")


def mail(target: Target, event: Event) -> None:
    sendmail = shutil.which("sendmail", path="/usr/sbin:/usr/lib:/usr/bin:/usr/local/sbin")
    if not sendmail:
        raise Problem("no sendmail here: install msmtp-mta, or another")
    letter = EmailMessage()
    letter["To"], letter["Subject"] = target["to"], event["message"].replace("\n", " ")[:200]
    letter.set_content(text_of(event) + f"\n\n{event['unit']}, {time.ctime(event['at'])}\n")
    run([sendmail, "-t", "-i"], bytes(letter), {})


def command(target: Target, event: Event) -> None:
    names = ("event", "app", "instance", "id", "unit", "result", "message")
    given = {f"PYSUP_{name.upper()}": str(event[name]) for name in names}
    run(target["argv"], json.dumps(event).encode(), given)


def run(argv: Sequence[str], data: bytes, environment: Mapping[str, str]) -> None:
    """Run a program; it must end well, and in time, or it is killed with all that it started."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, env={**os.environ, **environment}, start_new_session=True)
    try:
        process.communicate(data, timeout=RUN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise Problem(f"it took longer than {RUN:g} s") from None
    except BrokenPipeError:
        process.wait()
    if process.returncode:
        raise Problem(f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}")


SENDERS: dict[str, Callable[[Target, Event], None]] = {
    "webhook": send_json,
    "slack": slack,
    "discord": discord,
    "ntfy": ntfy,
    "mail": mail,
    "command": command,
}


def record(name: str, event: Event, problem: str) -> None:
    """Write into the journal how it went."""
    fields = {
        "MESSAGE": f"pysup: {name} of {event['id']} {'went wrong: ' + problem if problem else 'was run'}",
        "MESSAGE_ID": RECORD,
        "PRIORITY": "4" if problem else "5",
        "SYSLOG_IDENTIFIER": "pysup",
        "PYSUP_EVENT": "hookran",
        "PYSUP_SCOPE": event["scope"],
        "PYSUP_APP": event["app"],
        "PYSUP_BY": "",
        "PYSUP_HOOK": name,
        "PYSUP_INSTANCES": "" if event["instance"] is None else str(event["instance"]),
        "PYSUP_PROBLEM": problem,
    }
    data = "".join(f"{key}={' '.join(value.split())}\n" for key, value in fields.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(data.encode(errors="replace"), "/run/systemd/journal/socket")
    except OSError:
        print(data, file=sys.stderr)


if __name__ == "__main__":
    main()
