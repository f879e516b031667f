"""The keys of a terminal that steer a run, as in locust: w and W start one and ten users more, s and S stop as many."""

import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

from loadtest.master.master import Master
from loadtest.master.steering import NotNow

# How often a command that was put into the background looks whether it has the terminal back.
BACKGROUND_S: Final = 0.5
KEYS: Final = {"w": 1, "W": 10, "s": -1, "S": -10}


async def obey_keys(master: Master, over: trio.Event, descriptor: int | None = None) -> None:
    """Until the run is over; `descriptor` is standard input, a terminal.  It is as it was afterwards."""
    fd = sys.stdin.fileno() if descriptor is None else descriptor
    if not _is_ours(fd):
        return
    with _key_by_key(fd):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, master, fd)
            await over.wait()
            nursery.cancel_scope.cancel()


async def _read(master: Master, fd: int) -> None:
    while True:
        await trio.lowlevel.wait_readable(fd)
        if not _is_ours(fd):
            await trio.sleep(BACKGROUND_S)
            continue
        try:
            typed = os.read(fd, 64).decode(errors="replace")
        except OSError:
            # The terminal was closed; the run goes on.
            return
        if not typed:
            return
        more = sum(KEYS.get(key, 0) for key in typed)
        if more:
            press(master, more)


def press(master: Master, more: int) -> None:
    """So many users more, or fewer."""
    standing = master.standing
    try:
        master.edit(max(0, standing.users + more), standing.spawn_per_s)
    except NotNow as no:
        master.say("warning", str(no))


@contextmanager
def _key_by_key(fd: int) -> Iterator[None]:
    """No line has to be ended, and nothing typed is shown; Ctrl-C stays what it is."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        if _is_ours(fd):
            # One that was closed meanwhile needs nothing, and says so.
            with suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _is_ours(fd: int) -> bool:
    """Whether it may be touched: a command in the background (``&``) is stopped for that."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        # It controls nobody, or is gone: nobody is stopped for it.
        return True
