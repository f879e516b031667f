"""Forgetting in Redis: in portions, and safe when two do it at once."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from broker.journal.codec import decode_id
from broker.journal.protocol import CommitVerdict
from broker.journal.redis import RedisJournal
from broker.journal.redis_scripts import TRIM_IDS
from runtime.redis_client import RedisClient
from tests.support.journal_contract import loaded
from tests.support.journal_writes import START_MS, RoomWriter
from tests.support.redis_proxy import redis_proxy
from tests.support.redis_server import RedisServer
from wire.names import Slot

OpenRedis = Callable[..., RedisJournal]
LOG, IDS = "{test/7}:log:test/room:epoch-a", "{test/7}:ids:test/room"


def long_room(journal: RedisJournal, events: int) -> RoomWriter:
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    for _ in range(0, events, 500):
        assert writer.commit(journal, *("x" for _ in range(500))).verdict is CommitVerdict.COMMITTED
    return writer


def test_what_is_forgotten_is_in_redis_no_more(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = long_room(journal, 4000)
    journal.retain(writer.room, 3500, START_MS + 3700, 100)
    assert server.ask("HLEN", LOG) == 500
    assert server.ask("LLEN", IDS) == 300
    journal.retain(writer.room, 4000, START_MS + 9999, 0)
    assert server.ask("EXISTS", LOG, IDS) == 0
    assert loaded(journal, writer.room).head == writer.head


def test_many_entries_go_a_thousand_a_call(server: RedisServer, open_redis: OpenRedis) -> None:
    with redis_proxy(upstream_port=server.port) as proxy:
        journal = open_redis(proxy.settings)
        writer = long_room(journal, 4000)
        journal.retain(writer.room, 10, 0, 1000)
        before = len(proxy.commands)
        journal.retain(writer.room, 3500, 0, 1000)
        assert sum(command[0] == b"EVALSHA" for command in proxy.commands[before:]) == 4


def test_ended_epochs_go_whole_and_keep_their_record(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = long_room(journal, 500)
    old = writer.head
    writer.commit(journal, "begun", new_epoch="epoch-b")
    journal.retain(writer.room, 1, 0, 1000)
    assert server.ask("KEYS", "{test/7}:log:*") == []
    assert server.ask("HGETALL", "{test/7}:ends:test/room") == [b"epoch-a", b"501 500 %d " % old.at + old.chain]


def test_two_who_forget_the_same_ids_forget_them_once(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    long_room(journal, 500)
    oldest = server.ask("LINDEX", IDS, 0)
    client = RedisClient(server.settings)
    for _ in range(2):
        client.run_script(TRIM_IDS, [IDS], [100, oldest])
    assert server.ask("LLEN", IDS) == 400
    client.close()


def test_an_id_that_was_used_twice_counts_once_among_the_newest(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = long_room(journal, 500)
    last, again = decode_id(server.ask("LINDEX", IDS, -1)), writer.write("x")
    used_again = msgspec.structs.replace(again.ids[0], id=last.id)
    journal.commit([replace(again, ids=[used_again])])
    # Three rows hold the two newest ids.
    journal.retain(writer.room, 0, START_MS + 9999, 2)
    assert server.ask("LLEN", IDS) == 3
    assert [row.offset for row in loaded(journal, writer.room).ids] == [499, 501]
