"""What isolation levels mean in systemd's words, which exceptions there are, and what is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import apps
import grounds
from pysup.app import App, Log
from pysup.errors import SpecError
from pysup.health import Ready, ReadyWhen
from pysup.host import features, ground
from pysup.isolate import Isolation, Level, said
from pysup.isolation import ground as asked
from pysup.isolation import lines, table
from pysup.listen import Listen
from pysup.machine import Machine
from pysup.render import render
from pysup.unit import Scope
from pysup.unitfile import parse

LEVELS = [Level.BASIC, Level.STRICT, Level.PARANOID]
PAGE = grounds.ROOT / "docs/isolation.md"
MARK = "<!-- table: made by tests/test_isolation.py from isolation/table.py -->\n"


def isolated(level: Level = Level.STRICT, app: dict[str, Any] | None = None, **exceptions: Any) -> App:
    return apps.app(isolate=Isolation(level=level, **exceptions), **app or {})


def service(app: App, scope: Scope = Scope.SYSTEM, **machine: Any) -> list[tuple[str, str]]:
    """The directives of its template's [Service]."""
    made = Machine(scope=scope, cpus=(0,), cores=(0,), **machine)
    text = render(app, made, "/run/user/1/systemd/user" if scope is Scope.USER else "/run/systemd/system").files
    found = parse(text["pysup-web@.service"].text)
    return [(one.key, one.value) for one in found if one.section == "Service"]


def values(app: App, directive: str, scope: Scope = Scope.SYSTEM, **machine: Any) -> list[str]:
    return [value for key, value in service(app, scope, **machine) if key == directive]


def test_nothing_is_added_without_isolation() -> None:
    """Units of apps that do not ask for it are as they were."""
    keys = {key for key, _ in service(apps.app())}
    assert not keys & {rule.directive for rule in table.RULES}


@pytest.mark.parametrize("scope", Scope)
def test_each_level_has_all_of_the_one_before(scope: Scope) -> None:
    """And more."""
    basic, strict, paranoid = ({rule.directive for rule, _ in table.of(level, scope)} for level in LEVELS)
    assert basic < strict < paranoid


def test_no_directive_is_newer_than_the_oldest_systemd() -> None:
    """So none has to be left out for its version."""
    assert max(rule.since for rule in table.RULES) <= features.OLDEST


def test_below_paranoid_nothing_minds_jit_compilers() -> None:
    """MemoryDenyWriteExecute= would end every Node program."""
    rule = next(rule for rule in table.RULES if rule.directive == "MemoryDenyWriteExecute")
    assert [rule.values(level) for level in LEVELS] == [(), (), ("yes",)]


@pytest.mark.parametrize(
    ("command", "values_"),
    [
        (("/usr/bin/python3", "x.py"), ["yes"]),
        (("/usr/bin/node", "x.js"), []),
        (("/usr/bin/node", "--jitless", "x.js"), ["yes"]),
        (("/usr/bin/env", "java", "-jar", "x.jar"), []),
        (("/usr/bin/npm", "run", "serve"), []),
    ],
)
def test_paranoid_spares_what_compiles_while_it_runs(command: tuple[str, ...], values_: list[str]) -> None:
    """And says so."""
    app = isolated(Level.PARANOID, {"command": command})
    assert values(app, "MemoryDenyWriteExecute") == values_
    notes = " ".join(asked.notes(app, Scope.SYSTEM, namespaces=True))
    assert ("compiles while it runs" in notes) is (not values_)


def test_the_apps_own_directives_take_the_place_of_the_levels() -> None:
    """The escape hatch: it is the only line of that directive."""
    app = isolated(app={"service": {"ProtectHome": ("no",), "SystemCallFilter": ("",)}})
    assert values(app, "ProtectHome") == ["no"]
    assert values(app, "SystemCallFilter") == [""]
    assert values(app, "ProtectSystem") == ["strict"]


def test_the_program_and_its_directory_stay_in_sight() -> None:
    """Of homes and /tmp nothing else does; nvm's libraries are beside its bin, a home is not shown for a bin in it."""
    words = ("/home/ada/.nvm/v20/bin/node", "/home/ada/site/src/app.js", "--out", "/tmp/site/x")
    app = isolated(app={"command": words, "cwd": "/home/ada/site"})
    shown = ['"-/home/ada/.nvm/v20"', '"-/home/ada/site"', '"-/tmp/site"']
    assert values(app, "BindReadOnlyPaths") == shown
    linked = [shown[0], '"-/home/ada/bin"', *shown[1:]]
    assert values(app, "BindReadOnlyPaths", real=("/home/ada/bin/node",)) == linked
    assert values(isolated(Level.BASIC, {"command": words, "cwd": "/home/ada"}), "BindPaths") == ['"-/tmp/site"']


def test_a_home_as_directory_is_shown_whole_and_that_is_said() -> None:
    """There is no telling what of it the program needs."""
    app = isolated(app={"cwd": "/home/ada"})
    assert values(app, "BindReadOnlyPaths") == ['"-/home/ada"']
    assert "all of /home/ada" in next(asked.notes(app, Scope.SYSTEM, namespaces=True))


def test_paths_of_users_are_quoted() -> None:
    """They are words of systemd's, in which blanks, quotes and % mean something."""
    app = isolated(writable=('/srv/a b"%i:c',))
    assert values(app, "BindPaths") == ['"/srv/a b\\"%%i:c"']


def test_log_files_that_its_account_opens_can_be_written() -> None:
    """Those in a directory of somebody else's: root opens none there."""
    app = isolated(app={"log": Log(output="/home/ada/logs/{instance}.log"), "user": "ada"})
    text = render(app, apps.MACHINE, "/run/systemd/system", opened=[app.log.output]).files["pysup-web@.service"].text
    assert 'BindPaths="-/home/ada/logs"' in text


def test_in_user_scope_pysups_own_commands_stand_outside() -> None:
    """Where the runtime directory is hidden; what they keep there is hidden from the program, too."""
    listens: dict[str, Any] = {"listen": (Listen(address="8080"),), "ready": Ready(when=ReadyWhen.TCP)}
    for level, prefix in ((Level.BASIC, ":"), (Level.STRICT, "+:"), (Level.PARANOID, "+:")):
        found = service(isolated(level, listens), Scope.USER)
        own = [value for key, value in found if key in ("ExecStartPre", "ExecStartPost", "ExecStopPost")]
        assert len(own) == 3
        assert all(value.startswith(f'{prefix}"') for value in own)
        assert (("InaccessiblePaths", "-%t/pysup-web@%i") in found) is (prefix == "+:")
        assert all(value.startswith(":") for key, value in service(isolated(level, listens)) if key.startswith("Exec"))


def test_in_user_scope_a_user_namespace_is_what_makes_it_possible() -> None:
    """Where there may be none, only those directives are written that need none, and the others are named."""
    assert values(isolated(Level.BASIC), "PrivateUsers", Scope.USER) == ["yes"]
    assert values(isolated(Level.STRICT), "PrivateUsers", Scope.SYSTEM) == []
    left = dict(service(isolated(Level.STRICT), Scope.USER, namespaces=False))
    assert {"NoNewPrivileges", "SystemCallFilter", "RestrictNamespaces"} < set(left)
    assert not {"PrivateUsers", "ProtectSystem", "PrivateTmp", "BindReadOnlyPaths"} & set(left)
    note = next(asked.notes(isolated(Level.STRICT), Scope.USER, namespaces=False))
    assert "ProtectSystem, PrivateTmp" in note


@pytest.mark.parametrize(
    ("file", "value", "allowed"),
    [
        ("", "", True),
        ("kernel/unprivileged_userns_clone", "0", False),
        ("kernel/unprivileged_userns_clone", "1", True),
        ("user/max_user_namespaces", "0", False),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", False),
    ],
)
def test_who_may_make_user_namespaces(tmp_path: Path, file: str, value: str, allowed: bool) -> None:
    """Three switches forbid it."""
    if file:
        path = tmp_path / "proc/sys" / file
        path.parent.mkdir(parents=True)
        path.write_text(f"{value}\n")
    assert ground.has_user_namespaces(tmp_path) is allowed


def test_networks_become_filters() -> None:
    """Off is a network of its own; a list denies all else."""
    assert values(isolated(network=("off",)), "PrivateNetwork") == ["yes"]
    assert values(isolated(network=("off",)), "RestrictAddressFamilies") == ["AF_UNIX"]
    app = isolated(Level.OFF, network=("loopback", "10.0.0.0/8"))
    assert values(app, "IPAddressDeny") == ["any"]
    assert values(app, "IPAddressAllow") == ["localhost", "10.0.0.0/8"]
    assert isolated(network=("on",)).isolate.network == ()


def test_low_ports_are_a_capability() -> None:
    """The only one then; in a user namespace it would not hold."""
    app = isolated(Level.PARANOID, bind_low_ports=True)
    assert values(app, "AmbientCapabilities") == values(app, "CapabilityBoundingSet") == ["CAP_NET_BIND_SERVICE"]
    assert values(app, "PrivateUsers") == []


def test_it_is_said_in_a_line() -> None:
    """By describe and isolate."""
    assert (
        said(isolated(writable=("/a", "/b"), bind_low_ports=True).isolate) == "strict; writable /a, /b; bind low ports"
    )
    assert said(Isolation()) == ""


@pytest.mark.parametrize(
    ("name", "user"),
    [("web", "pysup-web"), ("my.app", "pysup-my-app-"), ("x" * 64, "pysup-" + "x" * 16 + "-")],
)
def test_a_dynamic_account_is_the_apps(name: str, user: str) -> None:
    """Named so that systemd takes it, and no two apps share one."""
    found = lines.names.dynamic_user(name)
    assert found.startswith(user)
    assert len(found) <= 31


@pytest.mark.parametrize(
    ("isolate", "fields", "said"),
    [
        ({"level": "most"}, {}, "isolate is 'most'"),
        ({"writable": ("/srv",)}, {}, "nothing is kept from it"),
        ({"writable": ("srv",), "level": "strict"}, {}, "not an absolute path"),
        ({"devices": ("/dev/fuse",), "level": "basic"}, {}, "keeps no devices"),
        ({"network": ("10.0.0.0/99",)}, {}, "isolate.network is '10.0.0.0/99'"),
        ({"network": ("off", "loopback")}, {}, "isolate.network is 'off' and others besides"),
        ({"network": ("off",)}, {"port": 3000}, "nobody could reach it"),
        ({"network": ("off",)}, {"ready": Ready(when=ReadyWhen.TCP, port=80)}, "nobody could reach it"),
        ({"dynamic_user": True}, {"user": "ada"}, "user or group names one"),
    ],
)
def test_what_makes_no_sense_is_refused(isolate: dict[str, Any], fields: dict[str, Any], said: str) -> None:
    """With what to do."""
    with pytest.raises(SpecError) as caught:
        apps.app(isolate=Isolation(**isolate), **fields)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("exceptions", "scope", "has"),
    [
        ({"dynamic_user": True}, Scope.USER, {}),
        ({"bind_low_ports": True}, Scope.USER, {}),
        ({"network": ("loopback",)}, Scope.USER, {}),
        ({"network": ("loopback",)}, Scope.SYSTEM, {"filters": False}),
        ({"network": ("off",)}, Scope.USER, {"namespaces": False}),
    ],
)
def test_what_cannot_be_had_here_is_not_silently_missing(
    exceptions: dict[str, Any], scope: Scope, has: dict[str, bool]
) -> None:
    """It is an error, before anything is written."""
    with pytest.raises(SpecError) as caught:
        asked.check(isolated(**exceptions), scope, **{"namespaces": True, "filters": True, **has})
    assert caught.value.hint


@pytest.mark.systemd
@pytest.mark.parametrize("level", LEVELS)
def test_this_systemd_knows_every_directive(tmp_path: Path, level: Level) -> None:
    """It says nothing about the units, of either scope."""
    exceptions: dict[str, Any] = {"writable": ("/srv/a b",), "network": ("loopback", "10.0.0.0/8")}
    app = isolated(level, **exceptions)
    for scope in Scope:
        unit = tmp_path / f"pysup-{scope}.service"
        unit.write_text("[Service]\n" + "".join(f"{key}={value}\n" for key, value in service(app, scope)))
        command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def row(rule: table.Rule) -> str:
    """A row of the manual's table."""
    cells = [" ; ".join(f"`{value}`" if value else "(none)" for value in rule.values(level)) for level in LEVELS]
    shown = [cell if cell else "" for cell in cells]
    return (
        f"| `{rule.directive}=` | {' | '.join(shown)} | {rule.does} | {rule.breaks} | {rule.since} | {rule.in_user} |"
    )


def test_the_manual_has_every_directive() -> None:
    """To make it anew: PYSUP_WRITE_DOCS=1 pytest tests/test_isolation.py -k manual."""
    heading = "| directive | basic | strict | paranoid | what it does | what it breaks | since | user scope |"
    rows = "\n".join([heading, "|---|---|---|---|---|---|---|---|", *map(row, table.RULES)])
    head, marker, rest = PAGE.read_text().partition(MARK)
    wanted = f"{head}{marker}\n{rows}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    if "PYSUP_WRITE_DOCS" in os.environ:
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted
