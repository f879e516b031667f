"""The Redis archive keeps the contract, on each kind of store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count

import pytest

from broker.journal.archive import RoomDamaged
from broker.journal.protocol import JournalCorrupt, Unavailable
from broker.journal.redis_archive import RedisSource
from broker.journal.verify import VerifiedRoom
from runtime.redis_client import RedisClient
from runtime.schema import RedisSettings
from tests.support.archive_contract import ArchiveContract, Life, Make, lived
from tests.support.journal_writes import START_MS
from tests.support.redis_store import RedisStore

Stores = Callable[[str], RedisSettings]


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("kind", ["valkey", "redis", "cluster", "sentinel"])
class TestRedisArchive(ArchiveContract):
    @pytest.fixture
    def make(self, emptied: Stores, opened: ExitStack, kind: str) -> Make:
        """Each store is a cluster of its own in one Redis: they may not meet there either."""
        settings, numbers = emptied(kind), count()
        return lambda: RedisStore(settings, f"cluster-{next(numbers)}", opened, 1 if kind == "sentinel" else 0)


@pytest.fixture
def store(emptied: Stores, opened: ExitStack) -> RedisStore:
    return RedisStore(emptied("valkey"), "test", opened)


def read_all(store: RedisStore) -> None:
    for reading in store.source().rooms():
        room = VerifiedRoom(reading)
        for epoch in room.epochs:
            list(room.portions(epoch))
        room.ids()


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("log", ("HDEL", "2"), "an entry that is kept is not there"),
        ("log", ("HSET", "2", "rubbish"), "is damaged"),
        ("room", ("HSET", "at", "5"), "from another time"),
        ("room", ("HSET", "head", "c" * 16 + "4 epoch-a"), "do not lead to the chain of its head"),
        ("room", ("HSET", "head", "c" * 16 + "nonsense"), "its heads cannot be read"),
    ],
)
def test_what_is_damaged_is_named_by_its_room(store: RedisStore, kind: str, change: tuple[str, ...], sentence: str) -> None:
    life = Life(3)
    life.claim(store.journal(), 1)
    for writer in life.writers:
        writer.commit(store.journal(), *["text"] * 4)
    with closing(RedisClient(store.settings)) as client:
        (key,) = (key for key in client.call("", "KEYS", f"*:{kind}:test/b*"))
        client.call("", change[0], key, *change[1:])
    with pytest.raises(JournalCorrupt, match=sentence) as refused:
        read_all(store)
    assert "test/b" in str(refused.value)


def test_a_log_whose_beginning_was_forgotten_is_verified_by_its_digests(store: RedisStore) -> None:
    life = Life(1)
    journal = store.journal()
    life.claim(journal, 1)
    (writer, *_) = life.writers
    writer.commit(journal, *["text"] * 20)
    journal.retain(writer.room, 5, START_MS, 1000)
    (epoch,) = next(store.source().rooms()).epochs
    assert (epoch.first_kept, epoch.anchor.offset) == (6, 20)
    read_all(store)
    with closing(RedisClient(store.settings)) as client:
        (key,) = client.call("", "KEYS", "*:log:*")
        client.call("", "HSET", key, "7", client.call("", "HGET", key, "8"))
    with pytest.raises(RoomDamaged, match="has offset 8 after 6"):
        read_all(store)


def test_what_is_trimmed_and_said_while_a_room_is_read_spoils_nothing(store: RedisStore) -> None:
    """Ids of what came later are left out: they would answer retries of messages that are not there."""
    life = Life(1)
    journal = store.journal()
    life.claim(journal, 1)
    (writer, *_) = life.writers
    writer.commit(journal, *["text"] * 3000)
    for reading in store.source().rooms():
        room = VerifiedRoom(reading)
        (epoch,) = room.epochs
        journal.retain(writer.room, 1500, START_MS, 1000)
        writer.commit(journal, "later", new_epoch="epoch-b")
        assert sum(len(portion.entries) for portion in room.portions(epoch)) == 3000
        assert [row.offset for row in room.ids()] == list(range(1, 3001))


def test_a_cluster_that_has_no_journal_is_named_and_none_is_made(emptied: Stores) -> None:
    settings = emptied("valkey")
    with pytest.raises(JournalCorrupt, match="there is no journal of a cluster nobody"):
        RedisSource(settings, cluster="nobody")
    with closing(RedisClient(settings)) as client:
        assert client.call("", "DBSIZE") == 0


def test_reading_changes_nothing(store: RedisStore) -> None:
    lived(store)
    with closing(RedisClient(store.settings)) as client:
        before = sorted(client.call("", "KEYS", "*"))
        read_all(store)
        assert sorted(client.call("", "KEYS", "*")) == before
        assert int(client.call("", "INFO", "persistence").split(b"rdb_changes_since_last_save:")[1].split()[0]) > 0


def test_a_redis_that_is_away_is_a_sentence() -> None:
    with pytest.raises(Unavailable, match="Connection refused"):
        RedisSource(RedisSettings(url="redis://127.0.0.1:1/0"), cluster="test")
