"""All metrics that there are: name, kind, help, and how each is read from a sample. Pure.

Units are base units, and stand at the end of the name. What is not known of an instance is left out, and never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from pysup.host.cgroups.reading import Reading
from pysup.metrics.sampling import AppSample, InstanceSample, Snapshot

Number = float | int
Values = dict[tuple[str, ...], Number | None]
"""By the values of a metric's own labels."""

S = TypeVar("S")

APP_LABELS = ("manager", "namespace", "app")
INSTANCE_LABELS = (*APP_LABELS, "number")

SOURCES = ("cpu", "memory", "tasks", "io")
STATES = (
    *("active", "reloading", "activating", "deactivating", "auto-restart"),
    *("inactive", "failed", "listening", "waiting"),
)


class Kind(StrEnum):
    """What its values mean: a counter grows, and begins anew with each start of an instance."""

    COUNTER = "counter"
    GAUGE = "gauge"


class Metric(NamedTuple, Generic[S]):
    """One metric family. ``read`` gives the value, or Values where the metric has ``labels`` of its own."""

    name: str
    kind: Kind
    help: str
    read: Callable[[S], Number | Values | None]
    labels: tuple[str, ...] = ()

    @property
    def sample(self) -> str:
        """What its samples are called."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name

    @property
    def unit(self) -> str:
        """The unit, by the end of the name; empty for a number."""
        last = self.name.rpartition("_")[2]
        return last if last in ("bytes", "seconds") else ""


def _gauge(
    name: str, what: str, read: Callable[[S], Number | Values | None], labels: tuple[str, ...] = ()
) -> Metric[S]:
    return Metric(name, Kind.GAUGE, what, read, labels)


def _counter(
    name: str, what: str, read: Callable[[S], Number | Values | None], labels: tuple[str, ...] = ()
) -> Metric[S]:
    return Metric(name, Kind.COUNTER, what, read, labels)


def _waited(reading: Reading) -> Values:
    pairs = zip(reading.pressure._fields, reading.pressure, strict=True)
    return {(resource,): one.some.total if one and one.some else None for resource, one in pairs}


def _stalled(reading: Reading) -> Values:
    pairs = zip(reading.pressure._fields, reading.pressure, strict=True)
    return {(resource,): one.full.total if one and one.full else None for resource, one in pairs}


_USE: tuple[Metric[Reading], ...] = (  # read alike of an instance and of the whole app
    _counter("cpu_seconds", "CPU time used.", lambda r: r.cpu.seconds),
    _counter("cpu_throttled_seconds", "Time that its own CPU quota had it wait.", lambda r: r.cpu.throttled_seconds),
    _gauge("memory_bytes", "Memory used, with the page cache of its files.", lambda r: r.memory.current),
    _gauge("memory_peak_bytes", "The most memory that was used.", lambda r: r.memory.peak),
    _gauge("memory_limit_bytes", "The lowest hard limit, its own or of a slice above.", lambda r: r.memory.limit),
    _gauge("memory_high_bytes", "The use above which it is slowed down (MemoryHigh=).", lambda r: r.memory.high),
    _counter("oom_kills", "Processes that the kernel killed for want of memory.", lambda r: r.memory.oom_kills),
    _gauge("tasks", "Processes and threads.", lambda r: r.tasks.current),
    _gauge("tasks_limit", "How many processes and threads there may be.", lambda r: r.tasks.max),
    _counter("io_read_bytes", "Read from devices.", lambda r: r.io.read_bytes),
    _counter("io_written_bytes", "Written to devices.", lambda r: r.io.written_bytes),
    _counter("io_reads", "Read operations of devices.", lambda r: r.io.reads),
    _counter("io_writes", "Write operations of devices.", lambda r: r.io.writes),
    _counter("pressure_waiting_seconds", "Time that some of it waited for a resource.", _waited, ("resource",)),
    _counter("pressure_stalled_seconds", "Time that all of it waited for a resource.", _stalled, ("resource",)),
)


def _of_instance(metric: Metric[Reading]) -> Metric[InstanceSample]:
    read = metric.read
    name = f"pysup_instance_{metric.name}"
    return Metric(name, metric.kind, metric.help, lambda sample: read(sample.reading), metric.labels)


def _of_app(metric: Metric[Reading]) -> Metric[AppSample]:
    read = metric.read
    name, what = f"pysup_app_{metric.name}", f"{metric.help.rstrip('.')}; the app as a whole."
    return Metric(name, metric.kind, what, lambda sample: read(sample.reading), metric.labels)


@cache
def _one_of_states(state: str) -> Values:
    return {(name,): int(name == state) for name in dict.fromkeys((*STATES, state))}


def _exit_code(sample: InstanceSample) -> Number | None:
    return sample.status.last_exit.code if sample.status.last_exit else None


def _exit_signal(sample: InstanceSample) -> Number | None:
    return sample.status.last_exit.signal if sample.status.last_exit else None


INSTANCE: tuple[Metric[InstanceSample], ...] = (
    _gauge("pysup_instance_up", "Whether it is there to serve.", lambda s: int(s.status.is_up)),
    _gauge("pysup_instance_state", "1 for the state it is in.", lambda s: _one_of_states(s.status.state), ("state",)),
    _counter("pysup_instance_restarts", "Automatic restarts since the last start by hand.", lambda s: s.restarts),
    _gauge("pysup_instance_start_time_seconds", "When it was started, since the epoch.", lambda s: s.started),
    _gauge("pysup_instance_exit_code", "Exit code of one that has failed, or waits for its restart.", _exit_code),
    _gauge("pysup_instance_exit_signal", "Signal that ended one that failed, or waits for its restart.", _exit_signal),
    *map(_of_instance, _USE),
    _gauge(
        "pysup_instance_open_fds",
        "Open files of the one of its processes that has the most.",
        lambda s: s.reading.descriptors.most,
    ),
    _gauge(
        "pysup_instance_max_fds", "How many files that process may have open.", lambda s: s.reading.descriptors.limit
    ),
)


def _up(sample: AppSample) -> Number:
    return sum(one.status.is_up for one in sample.instances)


def _queued(sample: AppSample) -> Values:
    return {(address,): queue.waiting for address, queue in sample.queues.items()}


def _queue_limit(sample: AppSample) -> Values:
    return {(address,): queue.limit for address, queue in sample.queues.items()}


APP: tuple[Metric[AppSample], ...] = (
    _gauge("pysup_app_instances", "Instances that it has, running or not.", lambda s: len(s.instances)),
    _gauge("pysup_app_instances_up", "Instances that are there to serve.", _up),
    _gauge("pysup_app_saved", "Whether it comes back after a reboot.", lambda s: int(s.status.saved)),
    *map(_of_app, _USE),
    _gauge("pysup_app_accept_queue", "Connections to an address that nobody has accepted yet.", _queued, ("address",)),
    _gauge("pysup_app_accept_queue_limit", "How many of them may wait there.", _queue_limit, ("address",)),
)


def _sources(snapshot: Snapshot) -> Values:
    readings = [one.reading for app in snapshot.apps for one in app.instances]
    found = {(name, str(getattr(reading, name).source)) for reading in readings for name in SOURCES}
    return {(name, source): 1 for name, source in sorted(found) if source}


def about(version: str) -> tuple[Metric[Snapshot], ...]:
    """Those about the sampling itself."""
    return (
        _gauge("pysup_build_info", "The version of pysup.", lambda _: {(version,): 1}, ("version",)),
        _gauge("pysup_source_info", "Who counts what.", _sources, ("resource", "source")),
        _gauge("pysup_scrape_duration_seconds", "How long it took to find all this out.", lambda s: s.seconds),
    )


class Row(NamedTuple):
    """A metric for people."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


def rows() -> Iterator[Row]:
    """All of them, as docs/metrics.md lists them."""
    for instance in INSTANCE:
        yield Row(instance.sample, instance.kind, (*INSTANCE_LABELS, *instance.labels), instance.help)
    for app in APP:
        yield Row(app.sample, app.kind, (*APP_LABELS, *app.labels), app.help)
    for one in about(""):
        yield Row(one.sample, one.kind, one.labels, one.help)
