"""The scripts inside Redis: that a write is whole or nothing, whatever stops it, and what they refuse."""

from collections.abc import Callable

import pytest

from broker.journal import redis_scripts
from broker.journal.protocol import CommitVerdict, Erasure, Unavailable
from broker.journal.redis import RedisJournal
from runtime.redis_client import Script
from runtime.redis_connection import ReplyError
from tests.support.journal_writes import RoomWriter, loaded, row, tables_in
from tests.support.redis_server import RedisServer, redis_program, redis_server
from wire.names import Slot

OpenRedis = Callable[..., RedisJournal]
SCRIPTS = [each for each in vars(redis_scripts).values() if isinstance(each, Script)]


def all_of(server: RedisServer) -> list[tuple[bytes, bytes]]:
    """Every key with its value as Redis would dump it."""
    return sorted((key, server.ask("DUMP", key)) for key in server.ask("KEYS", "*"))


def test_every_script_lets_redis_refuse_it_before_it_runs() -> None:
    assert len(SCRIPTS) == 9
    assert all(script.text.startswith("#!lua") for script in SCRIPTS)


@pytest.mark.parametrize("program", ["valkey", "redis"])
def test_a_write_that_redis_refuses_changes_nothing(
    program: str, tmp_path_factory: pytest.TempPathFactory, open_redis: OpenRedis
) -> None:
    with redis_server(tmp_path_factory.mktemp("r"), program=redis_program() if program == "redis" else None) as server:
        journal = open_redis(server.settings)
        journal.claim([Slot(7)], 1, "shard-1")
        writer = RoomWriter()
        writer.commit(journal, "one", "two")
        before = all_of(server)
        for name, bad, good, word in (
            ("maxmemory", "1", "0", "OOM"), ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
        ):  # fmt: skip
            server.ask("CONFIG", "SET", name, bad)
            for rows in ([], [row("ann", "yes")]):
                with pytest.raises(Unavailable, match=word):
                    journal.commit([writer.write("x" * 100, "y", erasures=[Erasure(1, "why")], rows=rows)])
                assert all_of(server) == before
            server.ask("CONFIG", "SET", name, good)


@pytest.mark.parametrize("program", ["valkey", "redis"])
def test_a_memory_that_fills_up_during_a_script_does_not_cut_it(
    program: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fill = "#!lua\nfor i = 1, 200 do redis.call('SET', KEYS[1] .. i, string.rep('x', 10000)) end return 1"
    with redis_server(tmp_path_factory.mktemp("r"), program=redis_program() if program == "redis" else None) as server:
        with server.client() as client:
            used = int(client.info("memory")["used_memory"])
        server.ask("CONFIG", "SET", "maxmemory", used + 512 * 1024)
        assert server.ask("EVAL", fill, 1, "k") == 1
        assert server.ask("DBSIZE") == 200
        assert str(server.ask("EVAL", fill, 1, "k")).startswith("OOM")


@pytest.mark.parametrize("key", ["log:test/room:epoch-a", "ids:test/room"])
def test_a_write_that_fails_half_way_is_not_in_the_log(server: RedisServer, open_redis: OpenRedis, key: str) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    server.ask("SET", f"{{test/7}}:{key}", "damage")
    writer = RoomWriter()
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        journal.commit([writer.write("half")])
    assert journal.load(writer.room, 10, 1000, 0, 10) is None
    server.ask("DEL", f"{{test/7}}:{key}")
    assert writer.commit(journal, "whole").verdict is CommitVerdict.COMMITTED
    assert [entry.body for entry in loaded(journal, writer.room).tail] == [b"whole"]


@pytest.mark.parametrize("key", ["rows:test/room", "log:test/room:epoch-a"])
def test_rows_that_fail_half_way_are_with_their_events_in_neither(server: RedisServer, open_redis: OpenRedis, key: str) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    server.ask("SET", f"{{test/7}}:{key}", "damage")
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        journal.commit([writer.write("half", rows=[row("ann", "yes")])])
    assert journal.load(writer.room, 10, 1000, 0, 10) is None
    server.ask("DEL", f"{{test/7}}:{key}")
    assert tables_in(journal, writer.room) == {}
    assert writer.commit(journal, "whole", rows=[row("ann", "no")]).verdict is CommitVerdict.COMMITTED
    assert tables_in(journal, writer.room) == {"votes": {"ann": "no"}}


def test_more_entries_than_a_lua_stack_holds_are_one_write(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    assert writer.commit(journal, *("x" for _ in range(5001))).verdict is CommitVerdict.COMMITTED
    room = loaded(journal, writer.room, events=6000, size=1 << 23, ids=6000)
    assert [entry.offset for entry in room.tail] == list(range(1, 5002))
    assert len(room.ids) == 5001
    assert len(journal.read(writer.room, writer.head.epoch, 0, 9000)) == 5001


def test_a_full_memory_can_still_be_read_and_emptied_by_hand(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    writer.commit(journal, "one")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    assert len(journal.read(writer.room, writer.head.epoch, 0, 10)) == 1
    assert loaded(journal, writer.room).head == writer.head


def test_a_script_that_is_none_is_told_by_redis(server: RedisServer) -> None:
    assert isinstance(server.ask("SCRIPT", "LOAD", "#!lua\nthis is no lua"), ReplyError)
    assert not any(isinstance(server.ask("SCRIPT", "LOAD", script.text), ReplyError) for script in SCRIPTS)
