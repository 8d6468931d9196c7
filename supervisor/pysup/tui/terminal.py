"""What one must know of the terminal, and how to come back to it."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import time
import tty
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App

PATIENCE = 1.0  # seconds: a slow line's answer must not arrive as keys that were pressed
_ASK_BACKGROUND = "\033]11;?\033\\"
_ASK_KIND = "\033[c"  # which all terminals answer, also those that do not know the question before it
_KIND = re.compile(rb"\033\[\?[\d;]*c")
_COLOUR = re.compile(rb"\033\]11;rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})")


def is_light() -> bool:
    """Whether the terminal's background is light: as it answers itself (OSC 11), or else as ``COLORFGBG`` says."""
    answer = _ask()
    return brightness(answer) > 0.5 if _COLOUR.search(answer) else background_of(os.environ.get("COLORFGBG", ""))


def brightness(answer: bytes) -> float:
    """How bright the colour in a terminal's answer is: 0 is black, 1 is white."""
    found = _COLOUR.search(answer)
    if not found:
        return 0.0
    red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in found.groups())
    return float(0.299 * red + 0.587 * green + 0.114 * blue)


def background_of(colours: str) -> bool:
    """Whether ``15;0`` or ``0;default;15`` (rxvt, konsole) means a light background."""
    last = colours.rpartition(";")[2]
    return last.isdecimal() and int(last) in (7, *range(9, 16))


def _ask() -> bytes:
    fd, answer = sys.stdin.fileno(), b""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        sys.stdout.write(_ASK_BACKGROUND + _ASK_KIND)
        sys.stdout.flush()
        deadline = time.monotonic() + PATIENCE
        while not _KIND.search(answer) and select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            piece = os.read(fd, 1024)
            if not piece:
                break
            answer += piece
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
    return answer


def come_back(app: App[None]) -> None:
    """Have the terminal set up and drawn anew at each SIGCONT, also after a SIGSTOP.

    Textual's own handler takes it that its SIGTSTP came before. After a SIGSTOP it would read the keys twice, and take
    the terminal's raw mode for the one to leave behind.
    """
    driver = app._driver
    if not isinstance(driver, LinuxDriver):
        return

    def woken(_: int, __: FrameType | None) -> None:
        with suppress(termios.error, OSError):  # in the background: the terminal is somebody else's
            if driver._key_thread and driver._key_thread.is_alive():
                driver.suspend_application_mode()
            driver._must_signal_resume = True
            driver.resume_application_mode()

    signal.signal(signal.SIGCONT, woken)
