"""The keys of a terminal that steer a run, as in locust: w and W start one and ten users more, s and S stop as many."""

import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from loadtest.master.master import Master
from loadtest.master.steering import NotNow

KEYS: Final = {"w": 1, "W": 10, "s": -1, "S": -10}


async def obey_keys(master: Master, over: trio.Event, descriptor: int | None = None) -> None:
    """Until the run is over; `descriptor` is standard input, a terminal.  It is as it was afterwards."""
    fd = sys.stdin.fileno() if descriptor is None else descriptor
    with _key_by_key(fd):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, master, fd)
            await over.wait()
            nursery.cancel_scope.cancel()


async def _read(master: Master, fd: int) -> None:
    while True:
        await trio.lowlevel.wait_readable(fd)
        typed = os.read(fd, 64).decode(errors="replace")
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
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
