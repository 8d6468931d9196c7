"""The levels: a row for each directive, with what it does and what it breaks; docs/isolation.md is compared with it.

No directive is newer than the oldest systemd that pysup supports, so every systemd understands all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pysup.isolate import Level
from pysup.unit import Scope


class InUser(StrEnum):
    """Whether a directive works under a user's own manager; NAMESPACES: where users may make user namespaces."""

    YES = "yes"
    NAMESPACES = "with user namespaces"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A directive: its values from a level on (several are several lines), and what there is to know about it.

    ``since`` is the first systemd that has the directive with these values.
    """

    directive: str
    basic: tuple[str, ...] | None = None
    strict: tuple[str, ...] | None = None
    paranoid: tuple[str, ...] | None = None
    since: int
    in_user: InUser = InUser.YES
    does: str
    breaks: str

    def values(self, level: Level) -> tuple[str, ...]:
        """Its values at a level; none if the level does not have it."""
        found: tuple[str, ...] | None = None
        for one, values in ((Level.BASIC, self.basic), (Level.STRICT, self.strict), (Level.PARANOID, self.paranoid)):
            if one.rank <= level.rank and values is not None:
                found = values
        return found or ()

    def works_in(self, scope: Scope, *, namespaces: bool) -> bool:
        """Whether it has an effect; *namespaces*: users may make user namespaces here."""
        if scope is Scope.SYSTEM or self.in_user is InUser.YES:
            return True
        return namespaces and self.in_user is InUser.NAMESPACES


_ON = ("yes",)

RULES = (
    Rule(
        directive="NoNewPrivileges",
        basic=_ON,
        since=187,
        does="nothing that it executes has more rights than itself: setuid bits and file capabilities do nothing",
        breaks="`sudo`, `su`, setuid helpers such as `ping` on old systems, and Chrome's setuid sandbox",
    ),
    Rule(
        directive="ProtectSystem",
        basic=("full",),
        strict=("strict",),
        since=232,
        in_user=InUser.NAMESPACES,
        does="basic: `/usr`, `/boot` and `/etc` are read-only; strict: everything but `/dev`, `/proc`, `/sys`, its "
        "`/tmp` and what is writable",
        breaks="basic: programs that update themselves or write below `/etc`. strict: whoever writes beside its code: "
        "uploads, SQLite files, `.next/cache`, own log and pid files (Node), `__pycache__` (Python, which goes on "
        "without): `--writable`",
    ),
    Rule(
        directive="PrivateTmp",
        basic=_ON,
        since=182,
        in_user=InUser.NAMESPACES,
        does="each instance has its own `/tmp` and `/var/tmp`, empty at its start and gone at its end",
        breaks="files and sockets in `/tmp` that others look for, such as MySQL's; instances that share files there",
    ),
    Rule(
        directive="ProtectKernelTunables",
        basic=_ON,
        since=232,
        in_user=InUser.NAMESPACES,
        does="`/proc/sys`, `/sys` and their like are read-only",
        breaks="programs that set sysctls; containers inside",
    ),
    Rule(
        directive="ProtectKernelModules",
        basic=_ON,
        since=232,
        in_user=InUser.NAMESPACES,
        does="no kernel modules are loaded, nor seen",
        breaks="programs that set up VPNs or firewalls",
    ),
    Rule(
        directive="ProtectKernelLogs",
        basic=_ON,
        since=244,
        in_user=InUser.NAMESPACES,
        does="the kernel's messages are not read",
        breaks="what watches `dmesg`",
    ),
    Rule(
        directive="ProtectControlGroups",
        basic=_ON,
        since=232,
        in_user=InUser.NAMESPACES,
        does="`/sys/fs/cgroup` is read-only",
        breaks="container managers; programs only read their limits there (Go's automaxprocs, Java), and still can",
    ),
    Rule(
        directive="ProtectHostname",
        basic=_ON,
        since=242,
        in_user=InUser.NAMESPACES,
        does="the host's name is not changed; the program does not see when others change it",
        breaks="nothing that serves",
    ),
    Rule(
        directive="RestrictSUIDSGID",
        basic=_ON,
        since=242,
        does="no files with setuid or setgid bits are made",
        breaks="`npm install` and installers of native tools, seldom; directories that hand on their group",
    ),
    Rule(
        directive="LockPersonality",
        basic=_ON,
        since=235,
        does="the kernel's execution domain stays as it is",
        breaks="emulators; `setarch`, gdb (which turns address randomisation off)",
    ),
    Rule(
        directive="RestrictRealtime",
        basic=_ON,
        since=231,
        does="no real-time scheduling, with which one process can halt all others",
        breaks="audio servers",
    ),
    Rule(
        directive="SystemCallArchitectures",
        basic=("native",),
        since=209,
        does="no system calls of other architectures, such as 32-bit ones",
        breaks="32-bit programs",
    ),
    Rule(
        directive="ProtectHome",
        strict=("tmpfs",),
        since=239,
        in_user=InUser.NAMESPACES,
        does="`/home`, `/root` and `/run/user` look empty, but for the program and its directory, which are read-only",
        breaks="`~/.npmrc`, `~/.cache`, `~/.config`, `~/.aws`, `~/.ssh`; packages outside of its directory; in user "
        "scope, talking to one's own systemd and D-Bus, by which a program could leave its sandbox: `--readable`",
    ),
    Rule(
        directive="PrivateDevices",
        strict=_ON,
        since=209,
        in_user=InUser.NAMESPACES,
        does="of `/dev` it has `null`, `zero`, `full`, `random`, `urandom`, `tty`, `shm` and terminals",
        breaks="GPUs, serial lines, cameras, `/dev/net/tun`, `/dev/fuse`, `/dev/kvm`: `--device`",
    ),
    Rule(
        directive="ProtectClock",
        strict=_ON,
        since=245,
        in_user=InUser.NAMESPACES,
        does="the clock is not set",
        breaks="time servers; all devices but the usual ones, which is why it is not in basic",
    ),
    Rule(
        directive="ProtectProc",
        strict=("invisible",),
        since=247,
        in_user=InUser.NO,
        does="other users' processes are not in `/proc`",
        breaks="monitoring agents; `ps` shows the program's own account only",
    ),
    Rule(
        directive="RestrictNamespaces",
        strict=_ON,
        since=233,
        does="no new namespaces",
        breaks="Chrome's sandbox (Puppeteer, Playwright), bubblewrap, containers, `unshare`",
    ),
    Rule(
        directive="RestrictAddressFamilies",
        strict=("AF_UNIX AF_INET AF_INET6 AF_NETLINK",),
        paranoid=("AF_UNIX AF_INET AF_INET6",),
        since=211,
        does="sockets of these kinds only",
        breaks="packet capture, Bluetooth, CAN, vsock. paranoid: lists of network interfaces (Node's "
        "`os.networkInterfaces()`, Go's `net.Interfaces()`, psutil's)",
    ),
    Rule(
        directive="SystemCallFilter",
        strict=("@system-service",),
        paranoid=("@system-service", "~@privileged @resources"),
        since=239,
        does="system calls that services need; paranoid: none that need privileges or change limits, priorities and "
        "CPU affinity",
        breaks="debuggers and profilers (`strace`, `perf`, eBPF), mounts, reboots. "
        "paranoid: `chown`, `setuid` (gunicorn's and nginx' change of user), `setpriority`, `sched_setaffinity`",
    ),
    Rule(
        directive="SystemCallErrorNumber",
        strict=("EPERM",),
        since=209,
        does="other system calls fail, as if they were not permitted; without it they end the program by SIGSYS",
        breaks="nothing: most programs go on",
    ),
    Rule(
        directive="CapabilityBoundingSet",
        strict=("",),
        since=187,
        in_user=InUser.NO,
        does="it has no capability, and can get none; root is then an account like others, which owns much",
        breaks="ports below 1024 (`--bind-low-ports`); what starts as root and changes its user; root that reads files "
        "of others",
    ),
    Rule(
        directive="PrivateUsers",
        paranoid=_ON,
        since=232,
        in_user=InUser.NAMESPACES,
        does="other accounts than its own and root are nobody to it, and no right holds outside. In user scope it is "
        "what makes most other rows possible, and in all levels",
        breaks="names of files' owners. Left out with `--bind-low-ports`, which it would undo",
    ),
    Rule(
        directive="PrivateIPC",
        paranoid=_ON,
        since=248,
        in_user=InUser.NO,
        does="System V shared memory and POSIX message queues of its own, for each instance",
        breaks="programs whose instances talk so; Python's multiprocessing within one instance does not mind",
    ),
    Rule(
        directive="MemoryDenyWriteExecute",
        paranoid=_ON,
        since=231,
        does="no memory is both written and executed",
        breaks="everything that compiles while it runs: V8 (Node, Deno, Electron), Bun, Java, .NET, PyPy, LuaJIT, "
        "PHP's JIT. Left out for those that are known (Node can do without: `--node-args=--jitless`). Python and Go "
        "do not mind, but for ctypes callbacks with an old libffi",
    ),
    Rule(
        directive="UMask",
        paranoid=("0077",),
        since=183,
        does="what it creates is its own account's only",
        breaks="files and unix sockets that a web server of another account is to read",
    ),
)


def of(level: Level, scope: Scope, *, namespaces: bool = True) -> Iterator[tuple[Rule, tuple[str, ...]]]:
    """The rules of a level that have an effect, with their values."""
    for rule in RULES:
        values = rule.values(level)
        if values and rule.works_in(scope, namespaces=namespaces):
            yield rule, values


def vain(level: Level, scope: Scope, *, namespaces: bool) -> list[str]:
    """The directives of a level that cannot have an effect here."""
    return [rule.directive for rule in RULES if rule.values(level) and not rule.works_in(scope, namespaces=namespaces)]
