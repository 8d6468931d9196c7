"""Limits of namespaces in files of apps: what a file says of them, and what the commands make of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import apps
from pysup.app import Limits
from pysup.errors import NotFound, SpecError
from pysup.files import document, namespaces
from pysup.files.apply import Applier
from pysup.files.change import Action, Change
from pysup.files.problems import Malformed
from pysup.store import Store
from pysup.testing import fake_manager
from pysup.unit import Scope

Command = Callable[..., subprocess.CompletedProcess[str]]

APPS = (
    "[apps.web]\ncommand = 'sleep 1000'\nnamespace = 'shop'\n[apps.api]\ncommand = 'sleep 1000'\nnamespace = 'other'\n"
)


def load(tmp_path: Path, text: str, env: str | None = None, *only: str) -> dict[str, Limits]:
    """What a file says of namespaces."""
    file = tmp_path / "pysup.toml"
    file.write_text(APPS + text)
    return dict(document.load(str(file), scope=Scope.SYSTEM, env=env, only=only).namespaces)


def test_the_words_are_those_of_the_command(tmp_path: Path) -> None:
    """And those of apps' limits; values, too."""
    text = "memory = '8G'\ncpu = '150%'\nweight = 50\ntasks = 200\nio-write = '/srv:5M'\ncpus = [0, 2]\n"
    assert load(tmp_path, f"[namespaces.shop]\n{text}[namespaces.other]\nmemory_high = 1024\n") == {
        "shop": Limits(
            memory_max=2**33,
            cpu_quota=1.5,
            cpu_weight=50,
            io_weight=50,
            tasks_max=200,
            io_write_max=("/srv 5000000",),
            cpus=(0, 2),
        ),
        "other": Limits(memory_high=1024),
    }
    assert load(tmp_path, "") == {}
    assert load(tmp_path, "[namespaces.shop]\n") == {"shop": Limits()}


def test_layers_and_included_files_are_merged(tmp_path: Path) -> None:
    """The file over what it includes, an environment over both; --only leaves out those of no app that is meant."""
    (tmp_path / "more.json").write_text(json.dumps({"namespaces": {"shop": {"memory": "1G", "tasks": 5}}}))
    text = "[namespaces.shop]\nmemory = '2G'\n[namespaces.other]\ntasks = 7\n[env.test.namespaces.shop]\ntasks = 6\n"
    text += "[env.test.apps]\n"
    file = tmp_path / "pysup.toml"
    file.write_text(f"include = 'more.json'\n{APPS}{text}")
    load = document.load(str(file), scope=Scope.SYSTEM)
    assert load.namespaces == {"shop": Limits(memory_max=2**31, tasks_max=5), "other": Limits(tasks_max=7)}
    load = document.load(str(file), scope=Scope.SYSTEM, env="test", only=("web",))
    assert load.namespaces == {"shop": Limits(memory_max=2**31, tasks_max=6)}


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    """Keys, values, names."""
    text = "[namespaces.shop]\nmemori = 1\nmemory = 'lots'\nweight = 0\nnofile = 5\n[namespaces.'a b']\ntasks = 1\n"
    with pytest.raises(Malformed) as caught:
        load(tmp_path, f"{text}[env.test.namespaces.shop]\ncpus = true\n")
    told = [f"{one.line - APPS.count(chr(10))}: {one.message} {one.hint}" for one in caught.value.problems]
    assert [line.partition(" ")[0] for line in told] == ["2:", "3:", "4:", "5:", "6:", "9:"]
    assert told[:2] == [
        "2: namespaces.shop.memori: there is no such key Did you mean 'memory'?",
        "3: namespaces.shop.memory_max is 'lots', not a size Write it like 300M, 1.5G or 1048576.",
    ]
    assert "There are: memory, memory_max" in told[3]
    assert "It must be CPUs" in told[5]


async def test_apply_limits_before_it_starts_and_takes_all_back_if_that_fails(tmp_path: Path) -> None:
    """Where no app is in it yet, once there is."""
    manager = fake_manager(tmp_path)
    store = Store(tmp_path / "run", tmp_path / "etc", tmp_path / "lock", "multi-user.target")
    told: list[str] = []
    applier = Applier(manager, store, lambda one: told.append(one.name), None)
    web = Change(name="web", action=Action.CREATE, after=apps.app("web", namespace="shop"))
    (limiting,) = namespaces.plan(store, {"shop": Limits(tasks_max=90)}, [web.after] if web.after else [])
    await applier.run([web], [limiting])
    assert told == ["shop/", "web"]
    assert (await manager.namespace_limits("shop")).total == Limits(tasks_max=90)
    assert namespaces.plan(store, {"shop": Limits(tasks_max=90)}, ()) == []
    moved = Change(
        name="web", action=Action.ROLL, before=web.after, after=apps.app("web", namespace="new"), reasons=("moves",)
    )
    (limiting,) = namespaces.plan(store, {"new": Limits(tasks_max=80)}, [moved.after] if moved.after else [])
    await applier.run([moved], [limiting])
    assert told[2:] == ["web", "new/"]
    with pytest.raises(NotFound):
        await manager.namespace_limits("shop")
    with pytest.raises(SpecError, match=r"namespaces\.nobody: no app is in it"):
        namespaces.plan(store, {"nobody": Limits()}, ())
    await manager.start(apps.app("clash"))
    new = Change(name="api", action=Action.CREATE, after=apps.app("api", namespace="clash"))
    (limiting,) = namespaces.plan(store, {"clash": Limits(tasks_max=70)}, [new.after] if new.after else [])
    outcome = await applier.run([new], [limiting])
    assert [str(exc) for _, exc in outcome.failed] == [
        "the app 'clash' and the namespace 'clash' have the same slice, pysup-clash.slice"
    ]
    assert store.names() == ["clash", "web"]


@pytest.mark.systemd
def test_a_file_limits_its_namespaces(pysup: Command, tmp_path: Path) -> None:
    """Shown by diff, done by apply and start, and nothing more to do then; what it does not name is left alone."""
    file = tmp_path / "pysup.toml"
    file.write_text(APPS + "[namespaces.shop]\nmemory = '1G'\n")
    try:
        pysup("apply", "--yes", str(file))
        held = json.loads(pysup("limit", "--namespace", "shop", "--json").stdout)
        assert held[0]["groups"][0]["in_force"]["memory_max"] == 2**30
        assert pysup("diff", "--exit-code", str(file)).stdout.startswith("Nothing to do")
        pysup("limit", "--namespace", "other", "tasks=500")
        file.write_text(APPS + "[namespaces.shop]\ntasks = 400\n")
        shown = pysup("diff", "--exit-code", str(file), check=False)
        assert shown.returncode == 1
        assert "\n [namespaces.shop]\n-memory_max = 1073741824\n+tasks_max = 400\n" in shown.stdout
        (planned,) = json.loads(pysup("apply", "--dry-run", "--json", str(file)).stdout)["namespaces"]
        assert planned == {"namespace": "shop", "fields": ["memory_max", "tasks_max"]}
        pysup("start", str(file))
        assert (total(pysup, "shop"), total(pysup, "other")) == ({"tasks_max": 400}, {"tasks_max": 500})
    finally:
        pysup("delete", "all")


@pytest.mark.systemd
def test_restart_and_reload_limit_namespaces_of_a_file(pysup: Command, tmp_path: Path) -> None:
    """As start does: with --only those of the apps that are meant; what is wrong is told once the apps have changed."""
    file = tmp_path / "pysup.toml"
    file.write_text(APPS)
    wanted = "[namespaces.shop]\ntasks = {}\n[namespaces.other]\nmemory = '{}G'\n"
    try:
        pysup("start", str(file))
        for number, words in enumerate((["restart"], ["reload"], ["restart", "--rolling"]), 1):
            before = total(pysup, "other")
            file.write_text(APPS + wanted.format(400 + number, number))
            pysup(*words, str(file), "--only", "web")
            assert (total(pysup, "shop"), total(pysup, "other")) == ({"tasks_max": 400 + number}, before)
            pysup(*words, str(file))
            assert total(pysup, "other") == {"memory_max": number << 30}
        file.write_text(f"{APPS}[namespaces.shop]\nio_read = '/proc:1M'\n")
        failed = pysup("reload", str(file), "--json", check=False)
        assert (failed.returncode, {one["name"] for one in json.loads(failed.stdout)}) == (2, {"web", "api"})
        assert "namespaces.shop.io_read_max: '/proc' cannot be limited" in failed.stderr
        assert total(pysup, "shop") == {"tasks_max": 403}
    finally:
        pysup("delete", "all")


def total(pysup: Command, namespace: str) -> dict[str, int]:
    """What a namespace is held to."""
    (found,) = json.loads(pysup("limit", "--namespace", namespace, "--json").stdout)
    limits: dict[str, int] = found["total"]
    return limits
