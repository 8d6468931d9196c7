"""Hypothesis strategies for apps, and a short way to write one down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from pysup.app import PER_CORE, App, KillMode, Limits, Log, Placement, Restart
from pysup.health import Ready, ReadyWhen, Watchdog, WatchdogWhen
from pysup.isolate import Isolation, Level
from pysup.limits import NumaPolicy
from pysup.machine import Machine
from pysup.triggers import Schedule, Watched
from pysup.unit import Scope

MACHINE = Machine(scope=Scope.SYSTEM, cpus=(0, 1, 4, 5), cores=((0, 1), (4, 5)))

SLEEP = ("/bin/sleep", "infinity")


def app(name: str = "web", **fields: Any) -> App:
    """An app that sleeps, unless told otherwise."""
    return App(**{"name": name, "command": SLEEP, **fields})


# Any text that a process can be given; surrogates are no UTF-8, NUL is no C string.
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
_SYSTEMD = ["", " ", "%", "%%", "%i", "%n", "$", "$$", "$HOME", "${HOME}", ";", "#", "[Service]", "-", "--", "@", "+"]
_QUOTES = ["\\", "\\\\", '"', "'", "`", "\\n", "\\x41", "a\\"]
_CONTROLS = ["\n", "a\nExecStart=/bin/evil", "\r\n", "\t", "\x7f", "\x01", "\x85", "\u2028", "é", "🚀"]
nasty = st.sampled_from([*_SYSTEMD, *_QUOTES, *_CONTROLS])
arguments = st.lists(st.one_of(nasty, words, st.builds("".join, st.lists(nasty, max_size=4))), max_size=6)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,15}", fullmatch=True)
_NUMBERED = ("NODE_APP_INSTANCE", "INSTANCE", "ADMIN_PORT", "METRICS_PORT")
env_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: name not in {*_NUMBERED, "PYSUP_APP", "PYSUP_INSTANCE", "PORT"}
)
environments = st.dictionaries(env_names, st.one_of(nasty, words), max_size=4)
lines = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), max_size=20).filter(
    lambda line: not line.endswith("\\")
)
paths = lines.map(lambda line: "/" + line.replace("..", "__"))
seconds = st.floats(0.001, 1e6, allow_nan=False)
directives = st.dictionaries(
    st.sampled_from(["LimitCORE", "Nice"]), st.lists(lines, min_size=1, max_size=2), max_size=2
)

schedules = st.builds(
    Schedule,
    when=lines.filter(bool),
    calendar=st.lists(lines.filter(bool), min_size=1, max_size=2).map(tuple),
    random_delay=st.one_of(st.just(0), seconds),
)
watched = st.builds(
    Watched, paths=st.lists(paths, max_size=2).map(tuple), ignore=st.lists(paths, max_size=2).map(tuple), delay=seconds
)

rates = st.lists(st.sampled_from(["/dev/vda 1048576", "/srv 5"]), unique=True).map(lambda some: tuple(sorted(some)))
held: dict[str, Any] = {
    "memory_max": st.one_of(st.none(), st.integers(1, 2**40)),
    "memory_swap_max": st.one_of(st.none(), st.integers(0, 2**40)),
    "cpu_quota": st.one_of(st.none(), st.floats(0.01, 64)),
    "io_weight": st.one_of(st.none(), st.integers(1, 10000)),
    "io_read_max": rates,
    "cpus": st.lists(st.integers(0, 99), max_size=5).map(tuple),
}
isolations = st.one_of(
    st.builds(Isolation, level=st.sampled_from(Level)),
    st.builds(
        Isolation,
        level=st.sampled_from([Level.STRICT, Level.PARANOID]),
        writable=st.lists(paths, max_size=2).map(tuple),
        devices=st.just(("/dev/fuse",)),
        network=st.sampled_from([(), ("loopback", "10.0.0.0/8")]),
        bind_low_ports=st.booleans(),
    ),
)

_any = st.builds(
    App,
    name=names,
    namespace=st.one_of(st.just(""), names),
    command=st.tuples(paths, words).map(tuple),
    interpreter=st.lists(paths, max_size=1).map(tuple),
    description=lines,
    cwd=paths,
    instances=st.one_of(st.integers(1, 20), st.just(PER_CORE)),
    placement=st.sampled_from(Placement),
    reserve=st.one_of(st.integers(0, 1), st.just((1, 5))),
    physical=st.booleans(),
    port=st.one_of(st.none(), st.integers(1, 60000)),
    env=environments,
    instance_var=st.sampled_from(_NUMBERED[:2]),
    increment=st.dictionaries(st.sampled_from(_NUMBERED[2:]), st.integers(0, 2**53), max_size=2),
    env_files=st.lists(paths, max_size=2).map(tuple),
    user=st.sampled_from(["", "nobody"]),
    group=st.sampled_from(["", "nogroup"]),
    isolate=isolations,
    restart=st.sampled_from(Restart),
    autostart=st.booleans(),
    restart_delay=st.one_of(st.just(0), seconds),
    restart_limit=st.integers(0, 100),
    restart_window=seconds,
    stop_exit_codes=st.lists(st.integers(0, 255), max_size=3).map(tuple),
    stop_signal=st.sampled_from(["SIGTERM", "INT", "9"]),
    stop_timeout=seconds,
    kill_mode=st.sampled_from(KillMode),
    limits=st.builds(
        Limits,
        **held,
        nofile=st.one_of(st.none(), st.integers(1, 2**20)),
        numa_policy=st.sampled_from([None, NumaPolicy.LOCAL]),
    ),
    instance_limits=st.dictionaries(st.integers(0, 20), st.builds(Limits, **held), max_size=2),
    total=st.builds(Limits, **held),
    watch=st.one_of(st.none(), watched),
    stdin=st.booleans(),
    nice=st.one_of(st.none(), st.integers(-20, 19)),
    ready=st.one_of(
        st.builds(Ready, when=st.sampled_from([ReadyWhen.EXEC, ReadyWhen.NOTIFY, ReadyWhen.SECONDS]), timeout=seconds),
        st.builds(Ready, when=st.just(ReadyWhen.TCP), port=st.integers(1, 65535)),
        st.just(Ready(when=ReadyWhen.HTTP, url="http://127.0.0.1:80/?a=%20", statuses=(200, 204))),
    ),
    watchdog=st.one_of(
        st.none(),
        st.builds(Watchdog, interval=seconds),
        st.builds(Watchdog, when=st.just(WatchdogWhen.TCP), port=st.integers(1, 65535), failures=st.integers(1, 9)),
    ),
    log=st.builds(Log, output=st.one_of(st.just("journal"), paths), rate_limit=st.integers(0, 9)),
    wants=st.lists(names, max_size=2).map(tuple),
    requires=st.lists(st.just("redis-server.service"), max_size=1).map(tuple),
    after=st.lists(names, max_size=1).map(tuple),
    unit=directives,
    service=directives,
)


@st.composite
def _complete(draw: st.DrawFn) -> App:
    """One with what does not go with everything: jobs are one instance of a program that ends."""
    app = draw(_any)
    if app.restart is Restart.NO:
        return app
    held = [one.memory_max for one in (app.limits, *app.instance_limits.values()) if one.memory_max is not None]
    above = min(held) - 1 if held else None
    return replace(
        app,
        schedule=draw(st.one_of(st.none(), schedules)),
        memory_restart=draw(st.one_of(st.none(), st.integers(1, 2**40))) if above is None else above or None,
    )


apps = _complete()
