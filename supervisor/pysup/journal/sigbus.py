"""SIGBUS outlived: a file of the journal may be truncated while it is read.

journald truncates the files that it throws away where the file system cannot punch holes into them (overlayfs, ubifs),
and libsystemd has them mapped: whoever reads one just then is killed. journalctl has a handler against that, which
libsystemd does not give to others, so here is one. It puts a page of zeroes where the file's was; to libsystemd that is
a file without entries, or a damaged one, and it goes on with the next.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
from functools import cache
from pathlib import Path

_SA_SIGINFO = 4
_MAP_FIXED = 0x10
_ADDRESS_AT = 2 * ctypes.sizeof(ctypes.c_int) + ctypes.sizeof(ctypes.c_void_p)  # si_addr in siginfo_t


class _Action(ctypes.Structure):
    """``struct sigaction`` of glibc and musl."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_libc = ctypes.CDLL(None)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int),
    ctypes.c_long,
)
_before = _Action()


@cache
def survive() -> None:
    """From now on, in this process, a truncated file of the journal reads as zeroes.

    A SIGBUS of any other origin goes where it went before.
    """
    action = _Action(ctypes.cast(_HANDLER, ctypes.c_void_p), flags=_SA_SIGINFO)
    _libc.sigaction(signal.SIGBUS, ctypes.byref(action), ctypes.byref(_before))


def _on_sigbus(number: int, info: int, _: int) -> None:
    # To run Python in a signal's handler is sound here: the signal comes from the very instruction of libsystemd that
    # read the page, never from within malloc or the interpreter, and that instruction is run again afterwards.
    address = ctypes.c_size_t.from_address(info + _ADDRESS_AT).value
    page = address - address % mmap.PAGESIZE
    if _is_journal(address):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        _libc.mmap(page, mmap.PAGESIZE, mmap.PROT_READ, flags, -1, 0)
    else:
        _libc.sigaction(number, ctypes.byref(_before), None)  # the instruction faults again, and that handler has it


def _is_journal(address: int) -> bool:
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            begin, _, end = line.split(maxsplit=1)[0].partition("-")
            if int(begin, 16) <= address < int(end, 16):
                path = line.rstrip().removesuffix(" (deleted)")
                return path.endswith((".journal", ".journal~"))
    return False


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(_on_sigbus)  # as long as the process
