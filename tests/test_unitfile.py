"""The text of unit files: what is written is what is read, and never more than one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import apps
from pysup import parse, spec, unitfile
from pysup.app import App, ReadyWhen
from pysup.errors import CorruptUnit, SpecError
from pysup.names import InstanceName, parse_instance, parse_template, slice_unit, template_unit
from pysup.placement import count_instances, place, reserved
from pysup.render import is_edited, render
from pysup.render.service import span
from pysup.unitfile import parse_environment, print_environment


@given(apps.words)
def test_a_quoted_word_stays_on_its_line(word: str) -> None:
    """No control character survives quoting."""
    assert not any(ord(char) < 32 for char in unitfile.quote(word))


@given(st.dictionaries(apps.env_names, st.one_of(apps.nasty, apps.words)))
def test_an_environment_file_is_read_back_as_it_was_written(values: dict[str, str]) -> None:
    """print_environment and parse_environment are each other's inverse."""
    assert values == parse_environment(print_environment(values))


@pytest.mark.parametrize("text", ["A=1\n", 'A="1', 'A="1"B="2"\n', "# comment\n"])
def test_a_foreign_environment_file_is_refused(text: str) -> None:
    """What pysup did not write is not guessed at."""
    with pytest.raises(ValueError, match="not"):
        parse_environment(text)


@given(apps.apps)
def test_an_app_is_read_back_from_its_template(app: App) -> None:
    """render, parse, decode is the identity; and the text is the same when it is rendered again."""
    rendered = render(app, apps.MACHINE, "/run/systemd/system")
    template = rendered.files[template_unit(app.name)].text
    lines = [(line.key, line.value) for line in unitfile.parse(template) if line.section == spec.SECTION]
    found = spec.decode(lines, app.env, where="here")
    assert app == found
    assert rendered == render(found, apps.MACHINE, "/run/systemd/system")
    assert not is_edited(template)


@given(apps.apps)
def test_values_never_become_directives(app: App) -> None:
    """A template has the directives that the render table has, once each, and no sections but three."""
    text = render(app, apps.MACHINE, "/run/systemd/system").files[template_unit(app.name)].text
    found = [(line.section, line.key) for line in unitfile.parse(text)]
    assert {"Unit", "Service", spec.SECTION} == {section for section, _ in found}
    assert sum(key == "ExecStart" for _, key in found) == 1
    assert int(bool(app.user)) == found.count(("Service", "User"))
    assert text.isprintable() or all(char == "\n" or ord(char) > 31 for char in text)


def test_values_of_the_environment_are_in_the_environment_file_alone() -> None:
    """Unit files are readable by everybody; the environment file is not."""
    files = render(apps.app(env={"TOKEN": "s3cr3t"}), apps.MACHINE, "/run/systemd/system").files
    assert [path for path, file in files.items() if "s3cr3t" in file.text] == ["pysup-web.env"]
    assert files["pysup-web.env"].mode == 0o600


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Format=x", "Format"),
        ("Format=99", "newer"),
        ("Instances=oops", "Instances=oops"),
        ("Nope=1", "Nope=1"),
        ('Restart="sometimes"', "sometimes"),
        ('Limits={"memory": 1}', "memory"),
        ('Env="x"', "env"),
    ],
)
def test_a_damaged_spec_is_reported_with_its_place(line: str, said: str) -> None:
    """The error names the file and the line."""
    good = dict(spec.encode(apps.app()))
    key, _, value = line.partition("=")
    with pytest.raises(CorruptUnit, match="the/file") as caught:
        spec.decode([*(good | {key: value}).items()], {}, where="the/file")
    assert said.lower() in str(caught.value).lower()


def test_instances_are_pinned_to_cpus_that_the_caller_may_use() -> None:
    """One per CPU, by its real number; reserved ones are left out, and with physical each has a whole core."""
    per_core = apps.app(instances="per-core")
    assert place(per_core, apps.MACHINE) == ((0,), (1,), (4,), (5,))
    assert place(apps.app(instances="per-core", reserve=1), apps.MACHINE) == ((1,), (4,), (5,))
    assert place(apps.app(instances="per-core", reserve=(1, 5)), apps.MACHINE) == ((0,), (4,))
    assert place(apps.app(instances="per-core", physical=True), apps.MACHINE) == ((0, 1), (4, 5))
    assert place(apps.app(instances="per-core", reserve=1, physical=True), apps.MACHINE) == ((4, 5),)
    assert count_instances(per_core, apps.MACHINE) == 4
    files = render(per_core, apps.MACHINE, "/run").files
    assert "CPUAffinity=4\n" in files["pysup-web@2.service.d/instance.conf"].text
    files = render(apps.app(instances="per-core", physical=True), apps.MACHINE, "/run").files
    assert "CPUAffinity=4 5\n" in files["pysup-web@1.service.d/instance.conf"].text


def test_a_few_instances_get_a_core_each_and_the_fast_ones_first() -> None:
    """Two threads of one core are for those that come when all cores are taken."""
    hybrid = replace(apps.MACHINE, cpus=tuple(range(6)), cores=((0, 1), (2, 3), (4,), (5,)))
    assert place(apps.app(instances=6, placement="core"), hybrid) == ((0,), (2,), (4,), (5,), (1,), (3,))
    assert place(apps.app(instances=6, placement="core", reserve=2), hybrid) == ((2,), (4,), (5,), (3,))


def test_a_service_is_kept_on_what_is_reserved_for_it() -> None:
    """By a drop-in that is the app's."""
    app = apps.app(instances="per-core", reserve=2, reserve_for="redis-server.service")
    assert reserved(app, apps.MACHINE) == (0, 1)
    text = render(app, apps.MACHINE, "/run").files["redis-server.service.d/pysup-web.conf"].text
    assert text.endswith("[Service]\nAllowedCPUs=\nAllowedCPUs=0-1\nCPUAffinity=\nCPUAffinity=0-1\n")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reserve_for": "redis-server.service"}, "no CPU is reserved"),
        ({"reserve_for": "redis-server.service", "instances": "per-core"}, "no CPU is reserved"),
        ({"reserve_for": "redis", "instances": "per-core", "reserve": 1}, "not another's service"),
        ({"reserve_for": "pysup-web@0.service", "instances": "per-core", "reserve": 1}, "not another's service"),
    ],
)
def test_a_reservation_for_nobody_is_refused(fields: dict[str, Any], said: str) -> None:
    """Nor without CPUs."""
    with pytest.raises(SpecError, match=said):
        apps.app(**fields)


def test_more_instances_than_cpus_go_round() -> None:
    """With a number and a placement, CPUs are shared in turn."""
    files = render(apps.app(instances=5, placement="core"), apps.MACHINE, "/run").files
    assert "CPUAffinity=0\n" in files["pysup-web@4.service.d/instance.conf"].text


def test_reserving_every_cpu_is_refused() -> None:
    """An app of no instances is no app."""
    with pytest.raises(SpecError, match="none of the 4 CPUs"):
        render(apps.app(instances="per-core", reserve=4), apps.MACHINE, "/run")


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2s", 2), ("5min", 300), ("1h", 3600), ("7", 7), ("1.5", 1.5)]
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """And written as systemd reads them."""
    assert seconds == parse.span(text, "x")


@pytest.mark.parametrize(("seconds", "text"), [(0.1, "100ms"), (10, "10s"), (0.0000015, "2us"), (1.5, "1500ms")])
def test_times_are_written_exactly(seconds: float, text: str) -> None:
    """In the largest unit that is exact."""
    assert text == span(seconds)


@pytest.mark.parametrize(("text", "size"), [("300M", 300 * 2**20), ("1.5G", 3 * 2**29), ("1024", 1024), ("2k", 2048)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    """Powers of 1024, in either case."""
    assert size == parse.size(text, "x")


@pytest.mark.parametrize("text", ["12Q", "", "-1", "M", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """With an example of what is."""
    with pytest.raises(SpecError, match="not a size"):
        parse.size(text, "memory_max")


@pytest.mark.parametrize(
    ("text", "when", "port"),
    [
        ("exec", ReadyWhen.EXEC, None),
        ("notify", ReadyWhen.NOTIFY, None),
        ("tcp", ReadyWhen.TCP, None),
        ("tcp:8080", ReadyWhen.TCP, 8080),
        ("tcp:localhost:8080", ReadyWhen.TCP, 8080),
        ("2s", ReadyWhen.SECONDS, None),
        ("http://127.0.0.1:80/x", ReadyWhen.HTTP, None),
    ],
)
def test_ready_conditions_are_read(text: str, when: ReadyWhen, port: int | None) -> None:
    """Each kind has its own spelling."""
    found = parse.ready(text)
    assert (when, port) == (found.when, found.port)


@pytest.mark.parametrize("text", ["tcp:x", "soon", "", "udp:1"])
def test_what_is_no_ready_condition_is_refused(text: str) -> None:
    """With the list of those that are."""
    with pytest.raises(SpecError):
        parse.ready(text)


@given(apps.names, st.integers(0, 9999))
def test_unit_names_are_read_back(name: str, number: int) -> None:
    """The name of an instance's unit tells its app and its number."""
    instance = InstanceName(name, number)
    assert instance == parse_instance(instance.unit)
    assert name == parse_template(template_unit(name))


def test_a_dash_is_no_hierarchy() -> None:
    """my-app is an app, not an app inside my."""
    assert slice_unit("my-app") == r"pysup-my\x2dapp.slice"
    assert slice_unit("my-app", "prod") == r"pysup-prod-my\x2dapp.slice"
