"""Names of system calls, by the library that systemd itself filters them with."""

from __future__ import annotations

_NATIVE = 0  # SCMP_ARCH_NATIVE


def name(number: int) -> str:
    """The name of a system call of this machine's; empty if it, or the library, is not known."""
    import ctypes  # only after a program was ended for one

    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return ""
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    found = library.seccomp_syscall_resolve_num_arch(_NATIVE, number)
    return found.decode() if found else ""
