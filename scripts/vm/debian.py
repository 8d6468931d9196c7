"""Debian's packages of another suite than this machine's, from the mirror that this machine's apt uses."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vm.recipe import SUITE

MIRROR = "PYSUP_VM_MIRROR"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class CannotBuild(Exception):
    """What is missing, and what to do about it."""


def mirror() -> str:
    """Where apt of this machine gets its own release from; $PYSUP_VM_MIRROR if that is set."""
    if os.environ.get(MIRROR):
        return os.environ[MIRROR]
    release = _os_release().get("VERSION_CODENAME", "")
    targets = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"])
    found = [line.rsplit(" ", 1)[0] for line in targets.splitlines() if line.endswith(f" {release}")]
    if _os_release().get("ID") != "debian" or not found:
        raise CannotBuild(f"apt is not set up for Debian here; say where a mirror of Debian is: {MIRROR}=…")
    return found[0]


def bootstrap(root: Path, packages: Iterable[str]) -> None:
    """Make a system of the suite with these packages in *root*. Its mounts and processes are gone when it returns."""
    include = "--include=" + ",".join(packages)
    words = ["debootstrap", "--variant=minbase", f"--keyring={_keyring()}", include, SUITE, str(root), mirror()]
    alone = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc")
    run(["setpriv", "--pdeathsig=KILL", "--", *alone, "--", *words])


def unpack(root: Path, packages: Sequence[str]) -> None:
    """Put the files of these packages, and of all that they need, into *root*; their scripts are not run."""
    state = root / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources").write_text(f"deb [signed-by={_keyring()}] {mirror()} {SUITE} main\n")
    (state / "conf").write_text(
        f'Dir::State "{state}"; Dir::State::lists "{state}/lists"; Dir::State::status "{state}/status";'
        f'Dir::Cache "{state}/cache"; Dir::Etc::sourcelist "{state}/sources"; Dir::Etc::sourceparts "-";'
        'APT::Sandbox::User "root"; #clear APT::Update::Post-Invoke-Success; #clear APT::Update::Post-Invoke;\n'
    )
    apt = ["env", f"APT_CONFIG={state}/conf", "apt-get", "--quiet", "--yes", "--no-install-recommends"]
    run([*apt, "update"])
    run([*apt, "install", "--download-only", *packages])
    archives = sorted((state / "cache/archives").glob("*.deb"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda archive: run(["dpkg-deb", "--extract", str(archive), str(root)]), archives))
    shutil.rmtree(state)


def run(command: Sequence[str]) -> str:
    """What a command prints; its whole output is the error when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"{' '.join(command)} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _keyring() -> Path:
    if not KEYRING.exists():
        raise CannotBuild(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    return KEYRING


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
