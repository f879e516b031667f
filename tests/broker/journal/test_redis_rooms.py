"""One room out of Redis: in few steps, whatever its length."""

from collections.abc import Callable

from broker.journal.protocol import CommitVerdict
from broker.journal.redis import RedisJournal
from tests.support.journal_contract import loaded
from tests.support.journal_writes import START_MS, RoomWriter
from tests.support.redis_proxy import redis_proxy
from tests.support.redis_server import RedisServer
from wire.names import Epoch, Slot

OpenRedis = Callable[..., RedisJournal]


def long_room(journal: RedisJournal, events: int) -> RoomWriter:
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    for first in range(0, events, 500):
        assert writer.commit(journal, *("x" * 50 for _ in range(min(500, events - first)))).verdict is CommitVerdict.COMMITTED
    return writer


def test_a_load_and_a_read_are_a_call_each_whatever_the_length_of_the_log(server: RedisServer, open_redis: OpenRedis) -> None:
    with redis_proxy(upstream_port=server.port) as proxy:
        journal = open_redis(proxy.settings)
        writer = long_room(journal, 3000)
        loaded(journal, writer.room)  # connects and loads the script
        before = len(proxy.commands)
        room = loaded(journal, writer.room, since=writer.now)
        assert [entry.offset for entry in room.tail] == list(range(2001, 3001))
        assert [command[0] for command in proxy.commands[before:]] == [b"EVALSHA"]
        journal.read(writer.room, writer.head.epoch, 0, 10)
        before = len(proxy.commands)
        assert [e.offset for e in journal.read(writer.room, writer.head.epoch, 1200, 1500)] == list(range(1201, 2701))
        assert [command[0] for command in proxy.commands[before:]] == [b"EVALSHA"]


def test_older_ids_are_read_as_far_as_they_are_live(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = long_room(journal, 6000)
    assert [row.offset for row in loaded(journal, writer.room, since=writer.now - 5500).ids] == list(range(501, 6001))
    assert [row.offset for row in loaded(journal, writer.room, since=writer.now).ids] == list(range(5001, 6001))
    assert [row.offset for row in loaded(journal, writer.room, since=START_MS, ids=0).ids] == list(range(1, 6001))
    assert list(loaded(journal, writer.room, since=writer.now, ids=0).ids) == []


def test_a_tail_stops_being_read_when_its_bytes_are_there(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = long_room(journal, 1000)
    tail = loaded(journal, writer.room, size=20_000).tail
    assert 100 < len(tail) < 200
    assert tail[-1].offset == 1000


def test_an_epoch_that_never_was_is_empty(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = long_room(journal, 3)
    assert journal.read(writer.room, Epoch("never"), 0, 10) == []
