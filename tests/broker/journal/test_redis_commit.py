"""One group of writes: what is asked of Redis for it, and what the answers mean."""

from collections.abc import Callable

import pytest

from broker.journal.protocol import CommitVerdict, Erasure, Unavailable
from broker.journal.redis import RedisJournal
from broker.record import Head
from runtime.schema import RedisSettings
from tests.support.journal_contract import loaded
from tests.support.journal_writes import RoomWriter
from tests.support.redis_proxy import redis_proxy
from tests.support.redis_server import RedisServer
from wire.names import Epoch, Slot

OpenRedis = Callable[..., RedisJournal]
COMMITTED = CommitVerdict.COMMITTED


def test_a_group_is_one_call_a_room_and_nothing_else(server: RedisServer, open_redis: OpenRedis) -> None:
    with redis_proxy(upstream_port=server.port) as proxy:
        journal = open_redis(proxy.settings)
        journal.claim([Slot(7)], 1, "shard-1")
        before = len(proxy.commands)
        writers = [RoomWriter(f"test/{number}") for number in range(20)]
        journal.commit([writer.write("a", "b", "c") for writer in writers])
        assert [command[0] for command in proxy.commands[before:]] == [b"EVALSHA"] * 20
        assert proxy.connections == 1


def test_an_erasure_reads_what_it_erases_in_one_step_more(server: RedisServer, open_redis: OpenRedis) -> None:
    with redis_proxy(upstream_port=server.port) as proxy:
        journal = open_redis(proxy.settings)
        journal.claim([Slot(7)], 1, "shard-1")
        writer = RoomWriter()
        writer.commit(journal, "one", "two", "three")
        before = len(proxy.commands)
        writer.commit(journal, "four", erasures=[Erasure(offset, "why") for offset in (1, 3, 4)])
        assert [command[0] for command in proxy.commands[before:]] == [b"HGET", b"HGET", b"EVALSHA"]
    assert [entry.removed for entry in loaded(open_redis(server.settings), writer.room).tail] == ["why", "", "why", "why"]


def test_a_new_epoch_keeps_the_end_of_the_old_one_in_its_own_record(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    writer.commit(journal, "one", "two")
    old = writer.head
    writer.commit(journal, "begun", new_epoch="epoch-b")
    assert server.ask("HGETALL", "{test/7}:ends:test/room") == [b"epoch-a", b"1 2 %d " % old.at + old.chain]
    assert server.ask("KEYS", "{test/7}:log:*") != []


def test_heads_of_refused_writes_are_what_redis_has(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    writer.commit(journal, "one", "two")
    kept = writer.head
    writer.head = Head(Epoch("epoch-a"), 9, kept.chain, kept.at)
    assert writer.commit(journal, "beyond").head == kept


def test_a_group_of_which_nothing_is_known_says_why(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    server.kill()
    with pytest.raises(Unavailable, match="Connection refused"):
        journal.commit([RoomWriter(f"test/{number}").write("x") for number in range(3)])


def test_an_erased_text_is_in_no_value_any_more(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    writer.commit(journal, "keep", "SECRET")
    assert b"SECRET" in server.ask("HGET", "{test/7}:log:test/room:epoch-a", 2)
    writer.commit(journal, "the removal", erasures=[Erasure(2, "moderator")])
    values = server.ask("HVALS", "{test/7}:log:test/room:epoch-a")
    assert not [value for value in values if b"SECRET" in value]


def test_databases_of_one_server_do_not_see_each_other(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(RedisSettings(url=f"redis://127.0.0.1:{server.port}/3"))
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    assert writer.commit(journal, "one").verdict is COMMITTED
    assert open_redis(server.settings).load(writer.room, 10, 1000, 0, 10) is None
