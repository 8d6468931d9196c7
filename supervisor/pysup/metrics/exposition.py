"""A snapshot as text for Prometheus: OpenMetrics 1.0, or the older text format 0.0.4. Pure.

Written here and not by prometheus-client, which takes 0.9 s for 1,000 instances (docs/decisions.md); its parser reads
this in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache

from pysup.metrics import catalogue
from pysup.metrics.catalogue import APP_LABELS, INSTANCE_LABELS, Metric, Number, S
from pysup.metrics.sampling import Snapshot


class Format(StrEnum):
    """The two formats, by their media types."""

    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    TEXT = "text/plain; version=0.0.4; charset=utf-8"


def write(snapshot: Snapshot, form: Format, *, version: str) -> str:
    """All metrics of a snapshot; those of which nothing is known are left out. *version* is pysup's."""
    apps, instances = [], []
    for app in snapshot.apps:
        labels = (snapshot.manager, app.status.namespace, app.status.name)
        apps.append((_labels(APP_LABELS, labels), app))
        instances += [(_labels(INSTANCE_LABELS, (*labels, str(one.status.name.number))), one) for one in app.instances]
    lines: list[str] = []
    for metric in catalogue.about(version):
        lines += _family(metric, [("", snapshot)], form)
    for of_app in catalogue.APP:
        lines += _family(of_app, apps, form)
    for of_instance in catalogue.INSTANCE:
        lines += _family(of_instance, instances, form)
    if form is Format.OPENMETRICS:
        lines.append("# EOF\n")
    return "".join(lines)


def _family(metric: Metric[S], samples: Iterable[tuple[str, S]], form: Format) -> Iterator[str]:
    """Its head, and a line for each value."""
    lines: list[str] = []
    for labels, sample in samples:
        value = metric.read(sample)
        if isinstance(value, dict):
            lines += (
                _line(metric.sample, _joined(labels, _own_labels(metric.labels, key)), one)
                for key, one in value.items()
                if one is not None
            )
        elif value is not None:
            lines.append(_line(metric.sample, labels, value))
    if lines:
        # In the older format a counter's family carries the suffix of its samples.
        name = metric.name if form is Format.OPENMETRICS else metric.sample
        yield f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n"
        if metric.unit and form is Format.OPENMETRICS:
            yield f"# UNIT {name} {metric.unit}\n"
        yield from lines


def _line(name: str, labels: str, value: Number) -> str:
    return f"{name}{{{labels}}} {value!r}\n" if labels else f"{name} {value!r}\n"


def _joined(labels: str, more: str) -> str:
    return f"{labels},{more}" if labels else more


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


_own_labels = lru_cache(maxsize=1024)(_labels)  # few, and the same for all instances


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
