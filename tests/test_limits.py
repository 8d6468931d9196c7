"""What limits mean: words, values, directives, D-Bus properties; and what they would do to what runs. No systemd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import apps
from pysup import companions, parse
from pysup.app import App, Limits
from pysup.bus.call import Variant
from pysup.cli import limit as command
from pysup.errors import Conflict, NotFound, SpecError
from pysup.host import cgroups, devices
from pysup.host.cgroups import InForce
from pysup.host.cgroups.reading import Memory, Reading, Tasks
from pysup.host.descriptors import Descriptors
from pysup.host.features import FEATURES
from pysup.limiting import live, namespaces, words
from pysup.limiting.danger import dangers
from pysup.limiting.groups import Group
from pysup.limiting.groups import Kind as Whose
from pysup.limiting.view import GroupView
from pysup.limits import NumaPolicy
from pysup.limits.table import BY_FIELD, NEVER, ROWS, Kind, directives, numbers, overriding, property_of
from pysup.manager import Manager
from pysup.render import render
from pysup.store import Store
from pysup.testing import FakeSystemd, fake_manager

UNIT = "pysup-web@0.service"


def test_every_limit_has_a_row() -> None:
    """In the order of the fields, so that all tables have one."""
    assert {row.field for row in ROWS} == set(Limits.__slots__)


def test_what_needs_a_controller_says_so_in_the_table_of_features() -> None:
    """Else a user's manager would ignore it in silence."""
    known = {feature.directive for feature in FEATURES}
    assert {row.directive for row in ROWS if row.is_of_groups} <= known


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("memory=2G", {"memory_max": 2**31}),
        ("MemoryMax=2G", {"memory_max": 2**31}),
        ("memory-high=1.5G", {"memory_high": 3 * 2**29}),
        ("swap=0", {"memory_swap_max": 0}),
        ("cpu=150%", {"cpu_quota": 1.5}),
        ("cpu=2", {"cpu_quota": 2.0}),
        ("CPUWeight=50", {"cpu_weight": 50}),
        ("io=50", {"io_weight": 50}),
        ("io_read=/srv:50M,/dev/vda:1k", {"io_read_max": ("/srv 50000000", "/dev/vda 1000")}),
        ("tasks=200", {"tasks_max": 200}),
        ("nofile=4096", {"nofile": 4096}),
        ("cpus=0-2,8", {"cpus": (0, 1, 2, 8)}),
        ("affinity=3", {"cpu_affinity": (3,)}),
        ("numa=bind:0-1", {"numa_policy": "bind", "numa_nodes": (0, 1)}),
        ("numa=local", {"numa_policy": "local", "numa_nodes": ()}),
        ("memory=unlimited", {"memory_max": None}),
        ("cpus=INFINITY", {"cpus": ()}),
        ("numa=Unlimited", {"numa_policy": None, "numa_nodes": ()}),
    ],
)
def test_words_and_what_they_change(text: str, changed: dict[str, object]) -> None:
    """People's and systemd's."""
    assert words.wish([text]) == words.Wish(each=changed, total={})


def test_a_weight_is_the_apps_and_total_the_rest_of_them() -> None:
    """What instances have among themselves is no share of the app's."""
    assert words.wish(["weight=200", "memory=1G"]) == words.Wish(
        each={"memory_max": 2**30}, total={"cpu_weight": 200, "io_weight": 200}
    )
    assert words.wish(["memory=1G"], total=True) == words.Wish(each={}, total={"memory_max": 2**30})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memori=1G", "Did you mean memory"),
        ("xyzzy=1", "There are: memory, memory_high"),
        ("memory=lots", "300M"),
        ("memory=", "memory=unlimited"),
        ("cpu=much", "150%"),
        ("tasks=many", "digits"),
        ("io_read=50M", "/dev/vda:50M"),
        ("cpus=3-1", "0-3,8"),
        ("cpus=0-99999999", "0-3,8"),
        ("cpus=fast", "0-3,8"),
        ("memory_restart=1G", "--memory-restart"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(text: str, said: str) -> None:
    """Nothing is done then."""
    with pytest.raises(SpecError) as caught:
        words.wish([text])
    assert said in caught.value.hint


@pytest.mark.parametrize("text", ["nofile=5", "affinity=0", "numa=local"])
def test_what_is_of_processes_is_of_no_group(text: str) -> None:
    """A slice has no open files."""
    with pytest.raises(SpecError, match="single processes"):
        words.wish([text], total=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"memory_swap_max": -1},
        {"cpu_quota": 0.00001},
        {"cpu_quota": 10000.0},
        {"cpus": (-1,)},
        {"cpus": (8192,)},
        {"io_read_max": ("relative 5",)},
        {"io_read_max": ("/a b 5",)},
        {"io_read_max": ('/a" 5',)},
        {"io_read_max": ("/a\nMemoryMax=1 5",)},
        {"io_read_max": ("/a 0",)},
        {"numa_policy": "bind"},
        {"numa_nodes": (0,)},
        {"numa_policy": "preferred", "numa_nodes": (0, 1)},
        {"numa_policy": "somewhere"},
    ],
)
def test_values_that_cannot_be_are_refused(fields: dict[str, object]) -> None:
    """Nothing that a unit file or the kernel would take otherwise."""
    with pytest.raises(SpecError):
        Limits(**fields)  # type: ignore[arg-type]


def test_an_app_with_contradictions_is_refused() -> None:
    """Open files of a slice; an affinity of what is pinned."""
    with pytest.raises(SpecError, match=r"total\.nofile"):
        apps.app(total=Limits(nofile=5))
    with pytest.raises(SpecError, match="cpu_affinity"):
        apps.app(instances="per-core", limits=Limits(cpu_affinity=(0,)))
    with pytest.raises(SpecError, match="cpu_affinity"):
        apps.app(instances="per-core", instance_limits={3: Limits(cpu_affinity=(0,))})
    with pytest.raises(SpecError, match="memory_restart"):
        apps.app(memory_restart=7, instance_limits={3: Limits(memory_max=7)})
    with pytest.raises(SpecError, match="instance_limits"):
        apps.app(instance_limits={10_000: Limits(memory_max=7)})


ALL = Limits(
    memory_max=2**30,
    memory_high=2**29,
    memory_swap_max=0,
    cpu_quota=0.125,
    cpu_weight=20,
    io_weight=30,
    io_read_max=("/srv 5", "/dev/vda 7"),
    io_write_max=("/srv 9",),
    tasks_max=40,
    nofile=50,
    cpus=(0, 1, 2, 5),
    cpu_affinity=(1,),
    numa_policy=NumaPolicy.BIND,
    numa_nodes=(0, 1),
)


def test_directives_are_systemds() -> None:
    """As systemd.resource-control(5) and systemd.exec(5) have them."""
    assert list(directives(ALL)) == [
        ("MemoryMax", str(2**30)),
        ("MemoryHigh", str(2**29)),
        ("MemorySwapMax", "0"),
        ("CPUQuota", "12.5%"),
        ("CPUWeight", "20"),
        ("IOWeight", "30"),
        ("IOReadBandwidthMax", "/dev/vda 7"),
        ("IOReadBandwidthMax", "/srv 5"),
        ("IOWriteBandwidthMax", "/srv 9"),
        ("TasksMax", "40"),
        ("AllowedCPUs", "0-2,5"),
        ("LimitNOFILE", "50"),
        ("CPUAffinity", "1"),
        ("NUMAPolicy", "bind"),
        ("NUMAMask", "0-1"),
    ]
    assert list(directives(Limits())) == []


def test_properties_are_systemds() -> None:
    """As org.freedesktop.systemd1(5) has them."""
    assert live.properties(Limits(), ALL, {}) == [
        ("MemoryMax", "t", 2**30),
        ("MemoryHigh", "t", 2**29),
        ("MemorySwapMax", "t", 0),
        ("CPUQuotaPerSecUSec", "t", 125_000),
        ("CPUWeight", "t", 20),
        ("IOWeight", "t", 30),
        ("IOReadBandwidthMax", "a(st)", [["/dev/vda", 7], ["/srv", 5]]),
        ("IOWriteBandwidthMax", "a(st)", [["/srv", 9]]),
        ("TasksMax", "t", 40),
        ("AllowedCPUs", "ay", b"\x27"),
    ]


def test_a_limit_that_goes_is_set_to_none_and_tasks_to_what_services_have() -> None:
    """systemd gives services a limit of tasks of its own."""
    before = Limits(memory_max=5, tasks_max=5, cpus=(0,), io_read_max=("/srv 5",))
    assert live.properties(before, Limits(), {"tasks_max": 4915}) == [
        ("MemoryMax", "t", NEVER),
        ("IOReadBandwidthMax", "a(st)", []),
        ("TasksMax", "t", 4915),
        ("AllowedCPUs", "ay", b""),
    ]


@given(cpus=st.sets(st.integers(0, 8191), max_size=20))
def test_cpus_are_the_same_in_text_and_bits(cpus: set[int]) -> None:
    """There and back."""
    assert parse.numbers(numbers(cpus), "x") == tuple(sorted(cpus)) if cpus else numbers(cpus) == ""
    _, _, mask = property_of(BY_FIELD["cpus"], tuple(cpus))
    assert isinstance(mask, bytes)
    assert {bit for bit in range(8 * len(mask)) if mask[bit // 8] >> bit % 8 & 1} == cpus


def test_devices_that_go_while_others_stay_are_told() -> None:
    """systemd adds those that it is told to those that it has."""
    before, after = Limits(io_read_max=("/srv 5", "/data 6")), Limits(io_read_max=("/data 7",))
    name = "IOReadBandwidthMax"
    assert live.properties(before, after, {}) == [(name, "a(st)", []), (name, "a(st)", [["/data", 7]])]
    assert live.properties(after, before, {}) == [(name, "a(st)", [["/data", 6], ["/srv", 5]])]


def test_limits_lie_over_limits() -> None:
    """What says nothing lets through what is under it."""
    assert Limits(memory_max=5, cpus=(1,)).over(Limits(memory_max=7, tasks_max=3)) == Limits(
        memory_max=5, cpus=(1,), tasks_max=3
    )
    bound, local = Limits(numa_policy=NumaPolicy.BIND, numa_nodes=(0,)), Limits(numa_policy=NumaPolicy.LOCAL)
    assert local.over(bound) == local


@given(app=apps.apps)
def test_drop_ins_make_of_the_limits_of_all_those_of_one(app: App) -> None:
    """As systemd reads them: a line adds to a list, an empty one empties it, anything else is replaced."""
    for number in (*app.instance_limits, 99):
        before, after = companions.limits(app), companions.limits(app, number)
        assert read_back([*directives(before), *overriding(before, after)]) == read_back(directives(after))


def read_back(lines: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """What systemd has, by directive."""
    lists = {row.directive for row in ROWS if row.kind in (Kind.RATES, Kind.NUMBERS)}
    held: dict[str, set[str]] = {}
    for name, value in lines:
        held[name] = held.get(name, set()) | {value} if name in lists and value else {value} - {""}
    return {name: values for name, values in held.items() if values}


def test_the_apps_slice_holds_all_together() -> None:
    """Its file has the directives; without any it has no section."""
    text = render(apps.app(total=Limits(memory_max=7)), apps.MACHINE, "/run").files["pysup-web.slice"].text
    assert text.endswith("[Slice]\nMemoryMax=7\n")
    assert "[Slice]" not in render(apps.app(), apps.MACHINE, "/run").files["pysup-web.slice"].text


NOW = Reading(memory=Memory(current=100 << 20), tasks=Tasks(current=20), descriptors=Descriptors(most=25, limit=1024))


@pytest.mark.parametrize(
    ("limits", "said", "kills"),
    [
        (Limits(memory_max=50 << 20), "would kill it", True),
        (Limits(memory_max=70 << 20), "", False),  # what is above is cache
        (Limits(memory_high=50 << 20), "slowed down", False),
        (Limits(tasks_max=10), "20 tasks", False),
        (Limits(nofile=24), "25 open files", False),
        (Limits(memory_max=200 << 20, tasks_max=20, nofile=25), "", False),
    ],
)
def test_what_a_limit_below_the_use_would_do(limits: Limits, said: str, kills: bool) -> None:
    """60 of the 100 MB cannot be dropped."""
    found = list(dangers("web@0", limits, NOW, 60 << 20))
    assert [danger.kills for danger in found] == ([kills] if said else [])
    assert all(said in danger.message for danger in found)


# --- with a systemd that is not there ----------------------------------------------------------------------------


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    """Over a fake, which is at ``systemd``."""
    return fake_manager(tmp_path)


async def test_limits_go_into_the_files_and_to_what_runs_and_nothing_restarts(tmp_path: Path) -> None:
    """The app says it, the template says it, systemd has been told."""
    systemd = FakeSystemd(tmp_path / "etc", tmp_path / "run")
    manager = fake_manager(tmp_path, systemd)
    before = await manager.start(apps.app(instances=2))
    (view,) = await manager.limit("web", ["memory=1G", "tasks=50"])
    assert view.each == Limits(memory_max=2**30, tasks_max=50)
    app = (await manager.get("web")).spec
    assert app == replace(before.spec, limits=view.each) if before.spec else False
    assert "MemoryMax=1073741824\n" in (tmp_path / "run/pysup-web@.service").read_text()
    told = [await _told(systemd, f"pysup-web@{number}.service", "MemoryMax") for number in range(2)]
    assert told == [2**30, 2**30]
    after = await manager.get("web")
    assert [one.pid for one in after.instances] == [one.pid for one in before.instances]
    await manager.limit("web", ["memory=unlimited", "tasks=unlimited"])
    assert await _told(systemd, UNIT, "MemoryMax") == NEVER
    assert await _told(systemd, UNIT, "TasksMax") == 4915
    assert (await manager.get("web")).spec == before.spec


async def _told(systemd: FakeSystemd, unit: str, name: str) -> object:
    from pysup.bus import systemd1

    (value,) = await systemd.call(systemd1.get(systemd1.unit_path(unit), systemd1.SERVICE, name))
    return value.value if isinstance(value, Variant) else value


def test_paths_without_a_block_device_are_known(tmp_path: Path) -> None:
    """As systemd knows them: of the kernel's own file systems, and character devices."""
    assert devices.objection("/proc/1/status") == "its file system, proc, is on no block device"
    assert devices.objection("/dev/null") == "it is a character device"
    assert devices.objection(str(tmp_path / "nowhere")) == "No such file or directory"
    blocked = next(iter(Path("/dev").glob("loop[0-9]*")), None) or Path("/dev/vda")
    assert not blocked.is_block_device() or devices.objection(str(blocked)) == ""


def test_file_systems_with_devices_of_their_own_are_left_to_systemd() -> None:
    """btrfs shows none in its files, but systemd finds it; what an automount stands for is not known yet."""
    mounts = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "31 22 0:27 /@home /home rw,relatime shared:5 master:2 - btrfs /dev/vdb rw,subvol=/@home\n"
        "32 22 0:31 / /mnt/a\\040-\\040b rw - fuse.sshfs me@there: rw\n"
    )
    fdinfos = [f"pos:\t0\nflags:\t012000000\nmnt_id:\t{number}\nino:\t1\n" for number in (22, 31, 32, 2)]
    assert [devices.file_system(mounts, one) for one in fdinfos] == ["ext4", "btrfs", "fuse.sshfs", ""]
    known = "nodev\tproc\nnodev\tautofs\n\text4\n\tbtrfs\nnodev\tfuse\n\tfuseblk\nnodev\tnfs4\n"
    kinds = ("proc", "nfs4", "fuse.sshfs", "btrfs", "fuseblk", "autofs", "zfs", "")
    assert [kind for kind in kinds if devices.is_deviceless(kind, known)] == ["proc", "nfs4", "fuse.sshfs"]


async def test_what_systemd_refuses_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """The files, too."""
    systemd = Refusing(tmp_path / "etc", tmp_path / "run")
    manager = fake_manager(tmp_path, systemd)
    await manager.start(apps.app())
    text = (tmp_path / "run/pysup-web@.service").read_text()
    with pytest.raises(SpecError, match="no such device"):
        await manager.limit("web", ["cpu=50%"])
    for words_, said in (
        ("io_read=/nowhere:5M", "limits.io_read_max: '/nowhere' cannot be limited: No such file or directory"),
        ("io_write=/proc:5M", "'web': limits.io_write_max: '/proc' cannot be limited: its file system, proc, is on no"),
        ("cpus=8000-8191", "no CPU 8000-8191 here"),
        ("affinity=8000", "no CPU 8000 here"),
        ("numa=bind:1000", "no NUMA node 1000 here"),
    ):
        with pytest.raises(SpecError, match=said):
            await manager.limit("web", [words_])
    assert (tmp_path / "run/pysup-web@.service").read_text() == text


class Refusing(FakeSystemd):
    """Takes no properties."""

    def _on_SetUnitProperties(self, *_: object) -> tuple[object, ...]:  # noqa: N802
        from pysup.errors import BusError

        raise BusError("systemd: no such device", name="x")


async def test_a_single_instance_has_limits_of_its_own(tmp_path: Path) -> None:
    """Over those of each, until they are taken away: told to systemd, and kept in a drop-in that goes with the app."""
    systemd = FakeSystemd(tmp_path / "etc", tmp_path / "run")
    manager = fake_manager(tmp_path, systemd)
    await manager.start(apps.app(instances=2, limits=Limits(memory_max=2**30, cpus=(0,))))
    (view,) = await manager.limit("web@1", ["memory=3G", "cpus=1", "tasks=9"])
    assert view.single == {1: Limits(memory_max=3 * 2**30, cpus=(1,), tasks_max=9)}
    drop_in = tmp_path / "run/pysup-web@1.service.d/instance.conf"
    assert drop_in.read_text() == "[Service]\nMemoryMax=3221225472\nTasksMax=9\nAllowedCPUs=\nAllowedCPUs=1\n"
    told = [await _told(systemd, f"pysup-web@{number}.service", "MemoryMax") for number in range(2)]
    assert told == [2**30, 3 * 2**30]
    await manager.limit("web", ["memory=2G"])
    told = [await _told(systemd, f"pysup-web@{number}.service", "MemoryMax") for number in range(2)]
    assert told == [2**31, 3 * 2**30]
    await manager.save()
    drop_in = tmp_path / "etc/pysup-web@1.service.d/instance.conf"
    await manager.scale("web", 1)
    assert not drop_in.exists()
    await manager.scale("web", 2)
    assert drop_in.exists()
    assert (await manager.limits("web@0"))[0].single == {}
    await manager.limit("web@1", ["memory=unlimited", "cpus=unlimited", "tasks=unlimited"])
    assert await _told(systemd, "pysup-web@1.service", "MemoryMax") == 2**31
    assert not drop_in.parent.exists()
    assert (await manager.limits("web"))[0].single == {}


@pytest.mark.parametrize(("words", "total"), [(["weight=5"], False), (["memory=1G"], True)])
async def test_what_is_shared_is_of_no_single_instance(manager: Manager, words: list[str], total: bool) -> None:
    """And nothing is done."""
    await manager.start(apps.app(instances=2))
    with pytest.raises(SpecError, match="not of single ones"):
        await manager.limit("web@1", words, total=total)
    assert (await manager.get("web")).spec == apps.app(instances=2)


async def test_a_namespace_has_limits_as_long_as_it_has_apps(tmp_path: Path, manager: Manager) -> None:
    """Where its apps are: they are kept as soon as one of them is."""
    with pytest.raises(NotFound, match="no namespace 'shop'"):
        await manager.limit_namespace("shop", ["memory=8G"])
    for name in ("web", "api"):
        await manager.start(apps.app(name, namespace="shop"))
    await manager.start(apps.app("alone"))
    with pytest.raises(NotFound, match="no namespace ''"):
        await manager.limit_namespace("", ["memory=8G"])
    view = await manager.limit_namespace("shop", ["memory=8G", "weight=50"])
    assert view.total == Limits(memory_max=2**33, cpu_weight=50, io_weight=50)
    kept = Path("pysup-shop.slice.d/pysup.conf")
    assert "[Slice]\nMemoryMax=8589934592\nCPUWeight=50\nIOWeight=50\n" in (tmp_path / "run" / kept).read_text()
    await manager.save("web")
    assert [(tmp_path / place / kept).exists() for place in ("run", "etc")] == [False, True]
    await manager.unsave("web")
    assert [(tmp_path / place / kept).exists() for place in ("run", "etc")] == [True, False]
    assert (await manager.namespace_limits("shop")).total == view.total
    await manager.limit_namespace("shop", ["memory=unlimited"])
    await manager.delete("web")
    assert (await manager.namespace_limits("shop")).total == Limits(cpu_weight=50, io_weight=50)
    await manager.delete("api")
    assert not (tmp_path / "run" / kept.parent).exists()


async def test_limits_of_a_namespace_go_where_its_apps_are(tmp_path: Path, manager: Manager) -> None:
    """Also when the saved one of them is deleted; and they go when the last moves to another namespace."""
    places = [tmp_path / place / "pysup-shop.slice.d/pysup.conf" for place in ("run", "etc")]
    for name in ("web", "api"):
        await manager.start(apps.app(name, namespace="shop"))
    await manager.limit_namespace("shop", ["memory=8G"])
    await manager.save("web")
    await manager.delete("web")
    assert [place.exists() for place in places] == [True, False]
    await manager.stop("api")
    await manager.start(apps.app("api", namespace="other"), force=True)
    assert [place.exists() for place in places] == [False, False]
    with pytest.raises(SpecError, match="single processes"):
        await manager.limit_namespace("other", Limits(nofile=5))


async def test_two_who_limit_one_namespace_wait_for_each_other(manager: Manager) -> None:
    """Over one connection, too."""
    await manager.start(apps.app("web", namespace="shop"))
    async with asyncio.timeout(60):
        await asyncio.gather(*(manager.limit_namespace("shop", [word]) for word in ("memory=8G", "tasks=90")))
    assert (await manager.namespace_limits("shop")).total == Limits(memory_max=2**33, tasks_max=90)


async def test_an_app_and_a_namespace_with_one_slice_are_told_apart(manager: Manager) -> None:
    """systemd could not."""
    await manager.start(apps.app("shop"))
    await manager.start(apps.app("web", namespace="shop"))
    with pytest.raises(Conflict, match="the same slice"):
        await manager.limit_namespace("shop", ["memory=8G"])


def test_a_damaged_namespace_says_where(tmp_path: Path) -> None:
    """And what to do."""
    store = Store(tmp_path / "run", tmp_path / "etc", tmp_path / "lock", "x.target")
    namespaces.write(store, "shop", Limits(memory_max=5, cpus=(0,)), saved=False)
    assert namespaces.read(store, "shop") == Limits(memory_max=5, cpus=(0,))
    file = tmp_path / "run/pysup-shop.slice.d/pysup.conf"
    file.write_text(file.read_text().replace(json.dumps({"memory_max": 5, "cpus": [0]}), "{"))
    with pytest.raises(Exception, match=r"pysup\.conf cannot be read back"):
        namespaces.read(store, "shop")


@pytest.mark.parametrize(
    ("count", "hits"),
    [
        (1, ["1 OOM kill, 1 time at the limit, 1 time slowed down", "1 time refused"]),
        (2, ["2 OOM kills, 2 times at the limit, 2 times slowed down", "2 times refused"]),
    ],
)
def test_what_was_hit_is_counted_in_words(count: int, hits: list[str]) -> None:
    """Once, or more often."""
    memory = Memory(current=1, oom_kills=count, max_events=count, high_events=count)
    view = GroupView(
        group=Group(name="web@0", kind=Whose.INSTANCE, unit="pysup-web@0.service", control_group="/web"),
        wanted=Limits(),
        in_force=InForce(),
        reading=Reading(memory=memory, tasks=Tasks(current=1, refused=count)),
    )
    assert [str(row[-1].text) for row in command.rows(view)] == hits


async def test_what_waits_for_its_next_start_is_nobody_elses_group(tmp_path: Path) -> None:
    """It has no control group then, and what has none is not the root of them all: nothing is read or changed there."""
    assert cgroups.here().pids("") == ()
    systemd = FakeSystemd(tmp_path / "etc", tmp_path / "run")
    manager = fake_manager(tmp_path, systemd)
    await manager.start(apps.app())
    (view,) = await manager.limit("web", ["memory=1G"])
    assert [(one.group.name, one.group.control_group, one.unmet) for one in view.groups] == [("web@0", "", ())]
    assert view.groups[0].in_force == InForce()
    assert view.groups[0].reading.memory == Memory()
