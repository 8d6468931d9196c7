"""The box: a private systemd, really booted; what it is, what it keeps apart, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysup.box import Box, Share, cgroups, mounts
from pysup.box.machine import sweep
from pysup.errors import BoxError, NotPermitted

STATE = Path("/run/pysup-box")
SECOND = f"second-{os.getpid()}"
SLOW = f"slow-{os.getpid()}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the machine that the box sees twice: read-only and writable."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "word").write_text("from the machine")
    return folder


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    """One box for all tests that only use it."""
    shares = [Share(shared, Path("/mnt/ro")), Share(shared, Path("/mnt/rw"), writable=True)]
    with Box.up(shares=shares) as box:
        yield box


def wait_for_end(pid: int) -> None:
    """Wait until a process is dead."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        assert poller.poll(20_000), f"process {pid} still lives"
    finally:
        os.close(fd)


def processes_of(name: str) -> set[int]:
    """The PIDs in the cgroups of a box, and the holder's."""
    return {pid for group in groups_of(name) for pid in cgroups._processes(group)} | {holder_of(name)}


def groups_of(name: str) -> list[Path]:
    return [path for tree in cgroups.discover() if (path := tree.where / f"pysup-box-{name}").exists()]


def holder_of(name: str) -> int:
    return int(json.loads((STATE / name / "state.json").read_text())["holder"])


def running(pids: set[int]) -> set[int]:
    """Which of *pids* are processes that live (a zombie is its parent's business)."""
    found = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.add(pid)
    return found


def assert_nothing_left(name: str, pids: set[int]) -> None:
    assert running(pids) == set()
    assert groups_of(name) == []
    assert not (STATE / name).exists()
    assert name not in Path("/proc/self/mountinfo").read_text()


def tree_of(*folders: str) -> set[tuple[str, float]]:
    """Names and times of what is in *folders* of the machine."""
    return {(str(path), path.lstat().st_mtime) for folder in folders for path in Path(folder).iterdir()}


def child(code: str, *argv: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Run Python *code* in a process of its own, after *argv*."""
    command = [*argv, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)  # type: ignore[call-overload]


# What it is


def test_it_runs_a_real_systemd(box: Box) -> None:
    """up() returns when systemd is PID 1 and says running."""
    assert box.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert box.run(["cat", "/proc/1/comm"]).stdout == "systemd\n"


def test_it_boots_fast(box: Box) -> None:
    """It waits for nothing: a fraction of a second; the limit is for emulated and loaded machines."""
    stamps = box.run(
        ["systemctl", "show", "-p", "UserspaceTimestampMonotonic", "-p", "FinishTimestampMonotonic", "--value"]
    )
    begin, end = sorted(map(int, stamps.stdout.split()))
    assert end - begin < 5_000_000


def test_nothing_of_the_machine_runs_in_it(box: Box) -> None:
    """What packages and the machine's owner enabled is not started; the few that stay are systemd's own."""
    listed = box.run(["systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend"])
    services = {line.split()[0] for line in listed.stdout.splitlines() if not line.startswith("user@")}
    assert services == {"dbus.service", "systemd-journald.service", "systemd-logind.service"}


def test_its_journal_is_its_own_and_persistent(box: Box) -> None:
    """The machine's entries are not in it and its own are in /var/log/journal."""
    box.run(["systemd-cat", "--identifier=mark", "echo", "hello"])
    box.run(["journalctl", "--sync"])
    assert box.run(["journalctl", "-o", "cat", "-t", "mark", "-D", "/var/log/journal"]).stdout == "hello\n"
    machine_id = box.run(["cat", "/etc/machine-id"]).stdout.strip()
    assert machine_id == box.run(["ls", "/var/log/journal"]).stdout.strip()


def test_loopback_is_up_and_the_only_interface(box: Box) -> None:
    """The network is private."""
    links = json.loads(box.run(["ip", "-json", "link"]).stdout)
    assert [(link["ifname"], "UP" in link["flags"]) for link in links] == [("lo", True)]


def test_the_machine_s_kernel_settings_are_out_of_reach(box: Box) -> None:
    """sysctls, the clock and modules belong to the machine."""
    assert box.run(["sh", "-c", "echo 1 > /proc/sys/vm/swappiness"], check=False).returncode != 0
    assert box.run(["date", "--set=@0"], check=False).returncode != 0
    status = box.run(["cat", "/proc/1/status"]).stdout
    bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd"))
    assert not bounding & (1 << 16 | 1 << 25)


def test_device_nodes_are_its_own(box: Box) -> None:
    """A mode changed in the box is not changed on the machine."""
    before = Path("/dev/null").stat().st_mode
    box.run(["chmod", "600", "/dev/null"])
    after = Path("/dev/null").stat().st_mode
    box.run(["chmod", "666", "/dev/null"])
    assert before == after


# Commands in it


def test_exit_code_and_output_are_handed_through(box: Box) -> None:
    """run() is subprocess.run."""
    result = box.run(["sh", "-c", "cat; echo err >&2; exit 7"], input="in", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, "in", "err\n")
    with pytest.raises(subprocess.CalledProcessError):
        box.run(["false"])


def test_a_missing_command_is_127(box: Box) -> None:
    """As in a shell."""
    assert box.run(["no-such-command"], check=False).returncode == 127


def test_death_by_signal_is_handed_through(box: Box) -> None:
    """The result of a killed command is minus its signal."""
    assert box.run(["sh", "-c", "kill -USR1 $$"], check=False).returncode == -signal.SIGUSR1
    assert box.run(["sh", "-c", "kill -KILL $$"], check=False).returncode == -signal.SIGKILL


def test_signals_reach_the_command(box: Box) -> None:
    """terminate() is heard by the command in the box, which may answer."""
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    with box.popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "bye\n"
    assert process.returncode == 3


def test_a_command_that_takes_too_long_is_killed(box: Box) -> None:
    """After a timeout the command is gone from the box, too."""
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sleep", "7654"], timeout=0.2)
    assert "sleep 7654" not in box.run(["ps", "-eo", "args"]).stdout


def test_environment_and_folder_are_clean(box: Box) -> None:
    """Nothing of the caller's environment gets in."""
    told = box.run(["env"], env={"MORE": "1=2"}).stdout.splitlines()
    assert {"PATH", "HOME", "USER", "LOGNAME", "LANG", "MORE"} == {line.split("=")[0] for line in told}
    assert [box.run(["pwd"], cwd=cwd).stdout.strip() for cwd in (None, "/usr")] == ["/root", "/usr"]


def test_commands_are_in_a_cgroup_of_the_box_but_in_no_unit(box: Box) -> None:
    """systemd of today refuses callers from outside of its cgroups, and what is in a unit dies with it."""
    lines = box.run(["cat", "/proc/self/cgroup"]).stdout.splitlines()
    assert "0::/entered" in lines


def test_entering_is_cheap(box: Box) -> None:
    """A command costs milliseconds: the best of five, as other tests may run."""
    assert min(_seconds(box) for _ in range(5)) < 0.1


def _seconds(box: Box) -> float:
    begin = time.perf_counter()
    box.run(["true"])
    return time.perf_counter() - begin


def test_on_a_terminal_an_interrupt_is_the_command_s(box: Box) -> None:
    """enter() hands the terminal over: Ctrl-C ends the command its own way, and its exit code is returned."""
    script = "trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done"
    pid, terminal = pty.fork()
    if pid == 0:
        os._exit(box.enter(["sh", "-c", script]))
    with open(terminal, "r+b", buffering=0) as typing:  # noqa: PTH123 - a descriptor
        assert typing.readline() == b"ready\r\n"
        typing.write(b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


# Users


def test_a_lingering_user_has_a_systemd(box: Box) -> None:
    """create_user() returns when the user's own manager and bus can be used; doing it again is fine."""
    uid = box.create_user("ann")
    assert uid == box.create_user("ann")
    assert box.run(["systemctl", "--user", "is-system-running"], user="ann").stdout == "running\n"
    names = box.run(["busctl", "--user", "list", "--no-legend"], user="ann").stdout
    assert "org.freedesktop.systemd1" in names


def test_commands_of_a_user_are_really_hers(box: Box) -> None:
    """Her ids, groups and home, without rights."""
    box.create_user("ann")
    told = box.run(["sh", "-c", "id -un; id -Gn; pwd; grep CapEff /proc/self/status"], user="ann").stdout.split()
    assert told == ["ann", "ann", "/home/ann", "CapEff:", "0" * 16]


def test_a_user_who_is_not_there_is_named(box: Box) -> None:
    """The hint says how to make one."""
    with pytest.raises(BoxError, match="'bob'") as caught:
        box.run(["true"], user="bob")
    assert "create_user" in caught.value.hint


# Files


def test_files_of_the_machine_stay_as_they_are(box: Box) -> None:
    """What is written or removed inside is not on the machine; its /run and /tmp are not even seen."""
    marks = ("/etc/box-mark", "/tmp/box-mark", "/run/box-mark", "/root/box-mark", "/var/box-mark")
    box.run(["touch", *marks])
    box.run(["rm", "-rf", "/etc/passwd-"])
    assert [mark for mark in marks if Path(mark).exists()] == []
    assert "/run/pysup-box" not in box.run(["find", "/run", "-maxdepth", "1", "-type", "d"]).stdout


def test_a_boot_touches_none_of_the_machine_s_folders() -> None:
    """/etc, /var/lib and /run are the same before and after."""
    folders = ("/etc", "/etc/systemd", "/var/lib", "/var/lib/systemd", "/run")
    before = tree_of(*folders)
    with Box.up():
        pass
    changed = {path for path, _ in before ^ tree_of(*folders)}
    assert set() == changed - {str(STATE)}


def test_shares_are_seen_read_only_or_writable(box: Box, shared: Path) -> None:
    """A share is the machine's folder itself."""
    assert box.run(["cat", "/mnt/ro/word"]).stdout == "from the machine"
    assert box.run(["touch", "/mnt/ro/new"], check=False).returncode != 0
    box.run(["sh", "-c", "echo from the box > /mnt/rw/new"])
    assert (shared / "new").read_text() == "from the box\n"


def test_a_share_must_exist(tmp_path: Path) -> None:
    """It is refused before anything is booted."""
    with pytest.raises(BoxError, match="does not exist"):
        Box.up(shares=[Share(tmp_path / "no", Path("/mnt/no"))])


# Several, and other processes


def test_two_at_once_are_separate(box: Box) -> None:
    """Each has its own processes, files, host name; each can be found by its name."""
    with Box.up(SECOND) as other:
        box.run(["touch", "/etc/only-first"])
        assert other.run(["test", "-e", "/etc/only-first"], check=False).returncode == 1
        names = {each.run(["hostname"]).stdout.strip() for each in (box, other)}
        assert names == {box.name, SECOND}
        assert names <= {each.name for each in Box.all()}
        with pytest.raises(BoxError, match="exists already"):
            Box.up(SECOND)
        with pytest.raises(BoxError, match="several"):
            Box.find()


def test_another_process_finds_it(box: Box) -> None:
    """find() gives a box that this process did not make."""
    code = f"from pysup.box import Box; print(Box.find({box.name!r}).run(['hostname']).stdout, end='')"
    assert f"{box.name}\n" == child(code).stdout


def test_a_box_that_is_not_there_is_named() -> None:
    """find() and bad names say what is wrong."""
    with pytest.raises(BoxError, match="'nowhere'"):
        Box.find("nowhere")
    with pytest.raises(BoxError, match=r"'\.\./x' is not a name"):
        Box.find("../x")


def test_it_boots_where_cgroup_v2_is_alone() -> None:
    """On a machine that is made to look like one with the unified hierarchy only, systemd in the box uses that."""
    script = 'umount --recursive /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"'
    code = "from pysup.box import Box\nwith Box.up() as box: print(box.run(['cat', '/proc/1/cgroup']).stdout)"
    result = child(code, "unshare", "--mount", "sh", "-c", script, "sh")
    assert "0::/init.scope" in result.stdout.splitlines(), result.stderr


# Reboots


def test_reboot_keeps_the_disk_and_loses_memory(shared: Path) -> None:
    """Orderly or by power cut: /etc, /home, shares and lingering users are back, /run and /tmp are empty."""
    with Box.up(shares=[Share(shared, Path("/mnt/ro"))]) as box:
        uid = box.create_user("ann")
        box.run(["touch", "/etc/kept", "/home/ann/kept", "/run/lost", "/tmp/lost"])
        boots = {box.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout}
        for power_cut in (False, True):
            box.reboot(power_cut=power_cut)
            box.run(["test", "-e", "/etc/kept", "-a", "-e", "/home/ann/kept", "-a", "-e", "/mnt/ro/word"])
            assert box.run(["ls", "/run/lost", "/tmp/lost"], check=False).stdout == ""
            box.run(["systemctl", "is-active", f"user@{uid}.service"])
            boots.add(box.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout)
        assert len(boots) == 3
        assert box.run(["hostname"]).stdout.strip() == box.name


# Its end


def test_down_leaves_nothing() -> None:
    """No process (not even one that was entered), mount, cgroup or file; a second down() is fine."""
    box = Box.up()
    with box.popen(["sleep", "1000"]) as sleeper:
        pids = processes_of(box.name)
        assert len(pids) > 4
        box.down()
        assert sleeper.wait(timeout=10) != 0
    assert_nothing_left(box.name, pids)
    box.down()
    with pytest.raises(BoxError, match="not up any more"):
        box.run(["true"])


def test_power_off_inside_is_its_end() -> None:
    """A box that shuts itself down is cleared away by its holder."""
    box = Box.up()
    pids, holder = processes_of(box.name), holder_of(box.name)
    box.run(["systemctl", "poweroff"], check=False)
    wait_for_end(holder)
    assert_nothing_left(box.name, pids)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_death_of_the_owner_leaves_nothing(how: signal.Signals) -> None:
    """The holder sees its owner die, whatever the reason, and clears away."""
    code = "import signal; from pysup.box import Box; print(Box.up().name, flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        pids, holder = processes_of(name), holder_of(name)
        owner.send_signal(how)
    wait_for_end(holder)
    assert_nothing_left(name, pids)


def test_a_dead_owner_is_refused() -> None:
    """A process that has ended cannot own a box, and nothing stays of the try."""
    with subprocess.Popen(["true"]) as ended:
        pass
    name = f"orphan-{os.getpid()}"
    with pytest.raises(BoxError, match="does not exist"):
        Box.up(name, owner=ended.pid)
    assert not (STATE / name).exists()


def test_a_box_without_owner_outlives_its_maker() -> None:
    """owner=None is for `pysup box up`: it ends with down()."""
    name = child("from pysup.box import Box; print(Box.up(owner=None).name)").stdout.strip()
    with Box.find(name) as box:
        assert box.run(["systemctl", "is-system-running"]).stdout == "running\n"


def test_death_of_the_holder_leaves_no_process() -> None:
    """Its SIGKILL ends systemd and all; the empty cgroup is cleared by the next who looks."""
    box = Box.up()
    pids, init, holder = processes_of(box.name), box.pid, holder_of(box.name)
    os.kill(holder, signal.SIGKILL)
    wait_for_end(init)
    wait_for_end(holder)
    sweep()
    assert_nothing_left(box.name, pids)


# What is missing


def test_a_failed_boot_shows_the_end_of_its_log() -> None:
    """The error says what the first process said."""
    with pytest.raises(BoxError, match="did not come up in time") as caught:
        Box.up(SLOW, timeout=0.01)
    assert caught.value.hint
    assert groups_of(SLOW) == []
    assert not (STATE / SLOW).exists()


def test_failed_units_are_named(tmp_path: Path) -> None:
    """A box that is degraded after a (re)boot is an error with the unit's name in it."""
    unit = tmp_path / "broken.service"
    unit.write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    with Box.up(shares=[Share(unit, Path("/usr/lib/systemd/system/broken.service"))]) as box:
        box.run(["systemctl", "add-wants", "multi-user.target", "broken.service"])
        with pytest.raises(BoxError, match=r"degraded: broken\.service failed"):
            box.reboot()


def test_without_root_it_says_so() -> None:
    """NotPermitted, with a hint."""
    result = child("import os; from pysup.box import Box; os.setresuid(65534, 65534, 65534); Box.up()")
    assert "NotPermitted: a box can be booted and entered by root only" in result.stderr, result.stderr


def test_without_rights_it_says_so() -> None:
    """Root in an ordinary container is told what is missing."""
    code = "from pysup.box import Box; Box.up()"
    result = child(code, "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all")
    assert f"{NotPermitted.__name__}: this process is root but may not mount" in result.stderr, result.stderr


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the line to type."""
    for tool in ("setpriv", "systemctl", "loginctl", "dbus-daemon"):
        (tmp_path / tool).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BoxError, match="nsenter") as caught:
        Box.up()
    assert caught.value.hint == "apt install util-linux"


# Which cgroups there are

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n24 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
34 31 0:31 / /sys/fs/cgroup/openrc rw - cgroup openrc rw,name=openrc
35 31 0:32 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw
36 31 0:29 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct
"""


def test_a_v2_machine_has_one_hierarchy() -> None:
    """cgroup v2 alone."""
    found = mounts.hierarchies(mounts.parse(V2))
    assert [mounts.Hierarchy(where=Path("/sys/fs/cgroup"))] == found
    assert found[0].is_v2


def test_a_hybrid_machine_has_v1_controllers_and_v2() -> None:
    """Controllers that share a hierarchy stay together; what is mounted twice or another init's is left out."""
    found = {tree.where.name: tree.controllers for tree in mounts.hierarchies(mounts.parse(HYBRID))}
    assert found == {"cpu,cpuacct": ("cpu", "cpuacct"), "systemd": ("name=systemd",), "unified": ()}


def test_data_mounts_are_those_with_files_of_their_own() -> None:
    """The kernel's file systems and what a box has itself are not copied."""
    lines = "40 24 8:2 / /srv/my\\040disk rw - xfs /dev/sdb rw\n41 24 0:9 / /tmp rw - tmpfs tmpfs rw\n"
    assert mounts.data_mounts(mounts.parse(V2 + HYBRID + lines)) == ["/srv/my disk"]
