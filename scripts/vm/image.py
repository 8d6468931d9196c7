"""The image that the machine boots from: made once for each recipe, by root, in about two minutes; kept for a week.

A folder of its own in the cache has: ``root.img`` (the guest's disk, never written to), ``vmlinux``, ``initrd.img``,
and ``tools`` (qemu with all its libraries). ``python -m vm.image`` makes it and prints where it is.
"""

from __future__ import annotations

import fcntl
import lzma
import os
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vm import debian, recipe

CACHE = Path(os.environ.get("PYSUP_VM_CACHE") or Path.home() / ".cache/pysup-vm")

_HERE = Path(__file__).parent
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_KEPT_SECONDS = 7 * 86400
_DISK = 4 << 30  # at most; the file is sparse

# What wants a network, works now and then, or waits for somebody at a keyboard.
_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("getty@tty1.service", "serial-getty@ttyS0.service", "systemd-tmpfiles-clean.timer"),
)


def find() -> Path:
    """The folder of the image; makes it, or waits for whoever does, if it is not there yet."""
    kept = CACHE / recipe.digest()
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                _make_whole(kept)
            _remove_old()
    os.utime(kept)
    return kept


def _make_whole(kept: Path) -> None:
    draft = CACHE / "draft"
    _remove(draft)  # of one who was killed
    try:
        _make(draft)
    except BaseException:
        _remove(draft)
        raise
    draft.rename(kept)


def _remove_old() -> None:
    for folder in CACHE.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < time.time() - _KEPT_SECONDS:
            _remove(folder)


def tool(image: Path, name: str) -> list[str]:
    """How a program of the tools is run on this machine, whose libraries may be older."""
    libraries = image / "tools" / _LIBRARIES
    loader = f"{libraries}/ld-linux-x86-64.so.2"
    return [loader, "--library-path", str(libraries), str(image / "tools/usr/bin" / name)]


def _make(image: Path) -> None:
    _check_ground()
    root, wheels, tools = image / "root", image / "wheels", image / "tools"
    image.mkdir()
    with ThreadPoolExecutor() as pool:
        work = (
            pool.submit(debian.bootstrap, root, recipe.GUEST),
            pool.submit(debian.unpack, tools, recipe.TOOLS),
            pool.submit(_download, wheels),
        )
        for piece in work:
            piece.result()
    (modules,) = (tools / "usr/lib/modules").iterdir()
    _unpack_kernel(image, tools / f"boot/vmlinuz-{modules.name}")
    _make_initrd(image, modules)
    _furnish(root, modules, wheels)
    size = ["truncate", f"--size={_DISK}", str(image / "root.img")]
    debian.run(size)
    debian.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", str(root), size[-1]])
    for unneeded in (root, wheels, tools / "boot", tools / "usr/lib/modules"):
        shutil.rmtree(unneeded)


def _check_ground() -> None:
    if os.geteuid():
        raise debian.CannotBuild("making the machine's image needs root: scripts/as-root make test-vm")
    if os.uname().machine != "x86_64":
        raise debian.CannotBuild(f"the machine is made for x86_64, and this is {os.uname().machine}")
    missing = [name for name in ("debootstrap", "mkfs.ext4", "setpriv", "unshare") if not shutil.which(name)]
    if missing:
        raise debian.CannotBuild(f"{', '.join(missing)} missing: scripts/setup vm installs what is needed")


def _download(target: Path) -> None:
    """Python packages for the guest's version, as wheels: nothing is compiled there."""
    choice = ("--target", str(target), "--python-version", recipe.PYTHON, "--only-binary=:all:", "--no-compile")
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    )
    debian.run([*pip, *choice, *recipe.requirements()])


def _unpack_kernel(image: Path, compressed: Path) -> None:
    """Write the ELF kernel of a bzImage: qemu starts it directly, and no emulated CPU need unpack it."""
    data = compressed.read_bytes()
    sectors = data[0x1F1]  # Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length
    offset, length = struct.unpack_from("<II", data, 0x248)
    begin = (sectors + 1) * 512 + offset
    payload = data[begin : begin + length - 4]  # its size when unpacked comes last
    with (image / "vmlinux").open("wb") as kernel:
        subprocess.run([*tool(image, "zstd"), "--decompress", "--stdout"], input=payload, stdout=kernel, check=True)


def _make_initrd(image: Path, modules: Path) -> None:
    folder = image / "initrd"
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(image / "tools/usr/bin/busybox", folder / "bin/busybox")
    shutil.copy2(_HERE / "guest/init", folder / "init")
    (folder / "init").chmod(0o755)
    driver = modules / "kernel/drivers/block/virtio_blk.ko.xz"
    (folder / "virtio_blk.ko").write_bytes(lzma.decompress(driver.read_bytes()))
    with (image / "initrd.img").open("wb") as archive:
        command = [str(folder / "bin/busybox"), "cpio", "-o", "-H", "newc"]
        names = b"bin\nbin/busybox\ninit\nvirtio_blk.ko\n"
        subprocess.run(command, cwd=folder, input=names, stdout=archive, stderr=subprocess.DEVNULL, check=True)
    shutil.rmtree(folder)


def _furnish(root: Path, modules: Path, wheels: Path) -> None:
    """Make the fresh system a guest: a kernel's modules, accounts, the agent, the Python that runs the tests."""
    shutil.copytree(modules, root / "usr/lib/modules" / modules.name, symlinks=True)
    texts = {
        "etc/fstab": "/dev/vda / ext4 rw,relatime 0 0\n",
        "etc/hostname": "machine\n",
        "etc/hosts": "127.0.0.1 localhost machine\n::1 localhost\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",  # with none, each boot would be a first one
        f"var/lib/systemd/linger/{recipe.USER}": "",
        "usr/local/lib/agent.py": (_HERE / "guest/agent.py").read_text(),
        "etc/systemd/system/agent.service": (_HERE / "guest/agent.service").read_text(),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).symlink_to("/dev/null")
    (units / "multi-user.target.wants/agent.service").symlink_to("../agent.service")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    _inside(root, "depmod", modules.name)
    _inside(root, "useradd", "--create-home", "--shell=/bin/bash", recipe.USER)
    _furnish_python(root, wheels)
    for place in (
        "usr/share/doc",
        "usr/share/info",
        "usr/share/locale",
        "usr/share/man",
        "var/cache/apt",
        "var/lib/apt/lists",
    ):
        shutil.rmtree(root / place)
    for stamp in ("etc/.updated", "var/.updated"):  # else systemd takes its first boot for an update
        (root / stamp).touch()


def _furnish_python(root: Path, wheels: Path) -> None:
    venv = root / recipe.VENV.lstrip("/")
    _inside(root, "python3", "-m", "venv", "--without-pip", "--system-site-packages", recipe.VENV)
    packages = venv / f"lib/python{recipe.PYTHON}/site-packages"
    shutil.copytree(wheels, packages, dirs_exist_ok=True)
    (packages / "pysup.pth").write_text(f"{recipe.PROJECT}/supervisor\n")
    command = venv / "bin/pysup"
    command.write_text(f"#!{recipe.VENV}/bin/python\nimport sys\nfrom pysup.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    (root / recipe.PROJECT.lstrip("/")).mkdir(parents=True)
    _inside(root, f"{recipe.VENV}/bin/python", "-m", "compileall", "-q", "-j0", f"{recipe.VENV}/lib")


def _inside(root: Path, *command: str) -> None:
    debian.run(["chroot", str(root), *command])


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        print(find())
    except debian.CannotBuild as error:
        sys.exit(f"vm: {error}")
