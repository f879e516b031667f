"""The keys of a terminal."""

import os
import pty
import termios

import pytest
import trio

from parvis.loadtest.keys import obey_keys, press
from tests.support.loadtest_run import DEADLINE_S, a_run


async def test_keys_add_and_take_users_and_the_terminal_is_as_it_was() -> None:
    theirs, ours = pty.openpty()
    before = termios.tcgetattr(ours)
    async with a_run(1, users=10) as run:
        run.start_worker("w-1")
        await run.until("the run begins")
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey_keys, run.master, over, ours)
            # What was typed before the terminal was ours is not for us.
            while termios.tcgetattr(ours) == before:
                await trio.sleep(0.001)
            for keys, users in (("w", 11), ("WW", 31), ("Ss", 20), ("x", 20), ("SSSS", 0)):
                os.write(theirs, keys.encode())
                with trio.fail_after(DEADLINE_S):
                    while run.master.standing.users != users:
                        await trio.sleep(0.01)
            over.set()
        assert termios.tcgetattr(ours) == before
        assert len([line for line in run.log if "users are wanted now" in line.text]) == 4
    os.close(theirs)
    os.close(ours)


async def test_a_key_that_comes_too_early_is_answered() -> None:
    async with a_run(1) as run:
        press(run.master, 1)
        assert run.log[-1].text == "users can be changed while the run is on"
        assert run.master.standing.users == 10


async def test_the_end_of_the_input_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = pty.openpty()
    async with a_run(1) as run:
        monkeypatch.setattr(os, "read", lambda _fd, _count: b"")
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey_keys, run.master, over, ours)
            await trio.testing.wait_all_tasks_blocked()
            os.write(theirs, b"w")
            await trio.testing.wait_all_tasks_blocked()
            over.set()
    os.close(theirs)
    os.close(ours)


async def test_a_terminal_that_is_closed_ends_nothing() -> None:
    theirs, ours = pty.openpty()
    async with a_run(1) as run:
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey_keys, run.master, over, ours)
            await trio.testing.wait_all_tasks_blocked()
            os.close(theirs)
            await trio.testing.wait_all_tasks_blocked()
            over.set()
    os.close(ours)


async def test_a_command_in_the_background_leaves_the_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = pty.openpty()
    before = termios.tcgetattr(ours)
    async with a_run(1) as run:
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            monkeypatch.setattr(os, "tcgetpgrp", lambda _fd: os.getpgrp() + 1)
            await obey_keys(run.master, over, ours)
            monkeypatch.setattr(os, "tcgetpgrp", lambda _fd: os.getpgrp())
            nursery.start_soon(obey_keys, run.master, over, ours)
            await trio.testing.wait_all_tasks_blocked()
            taken = termios.tcgetattr(ours)
            assert taken != before
            # It is put into the background: a key is not for it, and its end changes nothing.
            monkeypatch.setattr(os, "tcgetpgrp", lambda _fd: os.getpgrp() + 1)
            os.write(theirs, b"w")
            await trio.testing.wait_all_tasks_blocked()
            over.set()
        assert termios.tcgetattr(ours) == taken
        assert run.log == []
    os.close(theirs)
    os.close(ours)
