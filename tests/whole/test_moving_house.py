"""Moving house with real programs: people stay connected to the same address while the journal under it is another one."""

import shutil
from pathlib import Path

import pytest

from client.updates import Reconnecting
from parvis.data_dir import GUEST_KEY_NAME
from runtime.lifecycle import ExitCode
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.people import Person, person
from tests.support.redis_server import redis_server
from tests.support.talk import lines_of
from wire.client_messages import Ack, Event, Joined, Reset

ROOMS = ("square/main", "election/candidate-7")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A data directory in which people are who they were, and nothing was said."""
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    return new


async def said(somebody: Person, *lines: str) -> list[Ack]:
    """Each line, acknowledged, in order."""
    acks = []
    for line in lines:
        outcome = await somebody.say(line, f"id-{line.replace(' ', '-')}")
        assert isinstance(outcome, Ack), outcome
        acks.append(outcome)
    return acks


def came_back(somebody: Person) -> list[Joined]:
    """How the room was entered again, each time."""
    return [update for update in somebody.updates if isinstance(update, Joined) and update.asked]


async def copied(old: Path, new: Path) -> str:
    ended = await run_parvis("journal", "copy", f"sqlite:{old}/journal.sqlite", f"sqlite:{new}/journal.sqlite")
    assert ended.code == 0, ended.err
    shutil.copy(old / GUEST_KEY_NAME, new / GUEST_KEY_NAME)
    return ended.out


async def test_after_a_copy_everybody_goes_on_where_they_were(old: Path, new: Path) -> None:
    async with parvis_up(old, "--shards", "2") as up:
        async with (
            person("Ada", up.websocket_urls, room=ROOMS[0]) as ada,
            person("Bob", up.websocket_urls, room=ROOMS[1]) as bob,
        ):
            (first, *_) = await said(ada, *(f"a{n}" for n in range(30)))
            await said(bob, "b0", "b1")
            for somebody, last in ((ada, "a29"), (bob, "b1")):
                await somebody.wait_for_text(last)
            assert await up.end() == 0
            assert "copied 2 rooms, 32 events" in await copied(old, new)
            async with parvis_up(new, ports=up.same_ports) as again:
                (later,) = await said(ada, "after")
                await said(bob, "b2")
                await ada.wait_for_text("after")
                await bob.wait_for_text("b2")
                assert (later.epoch, later.offset) == (first.epoch, 31)
                for somebody in (ada, bob):
                    assert any(isinstance(update, Reconnecting) for update in somebody.updates)
                    assert all(joined.recovered for joined in came_back(somebody))
                    assert came_back(somebody)
                # A retry of what was said before the move is still a retry.
                retried = await ada.client.publish(ROOMS[0], "a7", "id-a7")
                assert isinstance(retried, Ack)
                assert (retried.offset, retried.duplicate) == (8, True)
                assert await again.end() == 0
        assert ada.texts == [*(f"a{n}" for n in range(30)), "after"]
        assert bob.texts == ["b0", "b1", "b2"]


async def test_after_a_restore_everybody_is_told_of_a_new_epoch_and_reads_on(old: Path, new: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.backup"
    async with parvis_up(old) as up:
        async with person("Ada", up.websocket_urls, room=ROOMS[0]) as ada:
            (first, *_) = await said(ada, "one", "two", "three")
            backup = await run_parvis("backup", str(file), "--data-dir", str(old))
            assert backup.code == 0, backup.err
            assert "backed up 1 room, 3 events" in backup.out
            # Acknowledged, read, and in no backup.
            await said(ada, "lost")
            await ada.wait_for_text("lost")
            assert await up.end() == 0
            shutil.copy(old / GUEST_KEY_NAME, new / GUEST_KEY_NAME)
            restore = await run_parvis("restore", str(file), "--data-dir", str(new))
            assert restore.code == 0, restore.err
            assert "restored 1 room" in restore.out
            async with parvis_up(new, ports=up.same_ports) as again:
                (later,) = await said(ada, "after")
                await ada.wait_for_text("after")
                assert later.epoch != first.epoch
                assert later.offset == 2, "the first event of the new epoch says why it began"
                told = [(joined.recovered, joined.reason) for joined in came_back(ada)]
                told += [(False, update.reason) for update in ada.updates if isinstance(update, Reset)]
                assert set(told) == {(False, "epoch")}
                (began,) = [update for update in ada.updates if isinstance(update, Event) and update.kind == "epoch"]
                assert (began.offset, began.id, began.target, began.text) == (1, first.epoch, 3, "restored")
                assert await lines_of(again.websocket_urls, "after", ROOMS[0]) == [(2, "after")]
                assert await again.end() == 0


async def test_a_journal_in_use_is_not_copied_and_a_copy_in_use_neither(old: Path, new: Path) -> None:
    words = ("journal", "copy", f"sqlite:{old}/journal.sqlite", f"sqlite:{new}/journal.sqlite")
    async with parvis_up(old) as up:
        ended = await run_parvis(*words)
        assert (ended.code, ended.out) == (ExitCode.BUSY, "")
        assert f"{old} is in use by the parvis with process id {up.process.pid}" in ended.err
        assert await up.end() == 0
    async with parvis_up(new) as up:
        assert (await run_parvis(*words)).code == ExitCode.BUSY
        assert await up.end() == 0
    # It was started, and nobody said anything: it is empty.
    assert (await run_parvis(*words)).code == 0


async def test_into_redis_and_back_everybody_goes_on_where_they_were(old: Path, new: Path, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--appendonly", "yes") as redis:
        async with parvis_up(old) as up, person("Ada", up.websocket_urls, room=ROOMS[0]) as ada:
            (first, *_) = await said(ada, *(f"a{n}" for n in range(10)))
            await ada.wait_for_text("a9")
            assert await up.end() == 0
            ended = await run_parvis("journal", "copy", f"sqlite:{old}/journal.sqlite", redis.url)
            assert ended.code == 0, ended.err
            clustered = ("--redis", redis.url, "--gateways", "1")
            async with parvis_up(old, *clustered, ports=up.same_ports) as again:
                await said(ada, "in redis")
                await ada.wait_for_text("in redis")
                # Shards that live are seen before anything is done to them.
                refused = await run_parvis("journal", "copy", redis.url, f"sqlite:{new}/journal.sqlite")
                assert refused.code == ExitCode.BUSY
                assert f"{redis.url} (cluster parvis) is in use by shard-1, shard-2: stop every shard first" in refused.err
                # A backup needs no stop.
                file = tmp_path / "all.backup"
                backup = await run_parvis("backup", str(file), "--set", "journal.kind=redis", "--set", f"redis.url={redis.url}")
                assert backup.code == 0, backup.err
                assert "backed up 1 room, 11 events" in backup.out
                await said(ada, "still in redis")
                await ada.wait_for_text("still in redis")
                assert await again.end() == 0
            ended = await run_parvis("journal", "copy", redis.url, f"sqlite:{new}/journal.sqlite")
            assert ended.code == 0, ended.err
            shutil.copy(old / GUEST_KEY_NAME, new / GUEST_KEY_NAME)
            async with parvis_up(new, ports=up.same_ports) as back:
                (last,) = await said(ada, "back")
                await ada.wait_for_text("back")
                assert (last.epoch, last.offset) == (first.epoch, 13)
                assert all(joined.recovered for joined in came_back(ada))
                assert ada.texts == [*(f"a{n}" for n in range(10)), "in redis", "still in redis", "back"]
                assert await back.end() == 0


async def test_a_backup_of_sqlite_is_restored_into_redis(old: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.backup"
    async with parvis_up(old) as up, person("Ada", up.websocket_urls, room=ROOMS[0]) as ada:
        (first,) = await said(ada, "one")
        assert (await run_parvis("backup", str(file), "--data-dir", str(old))).code == 0
        assert await up.end() == 0
        with redis_server(tmp_path / "redis") as redis:
            into = ("--set", "journal.kind=redis", "--set", f"redis.url={redis.url}")
            ended = await run_parvis("restore", str(file), *into)
            assert ended.code == 0, ended.err
            async with parvis_up(old, "--redis", redis.url, ports=up.same_ports) as again:
                (later,) = await said(ada, "two")
                assert (later.epoch != first.epoch, later.offset) == (True, 2)
                assert await again.end() == 0
