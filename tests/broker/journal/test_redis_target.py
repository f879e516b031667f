"""A journal in Redis that is being filled: marked, refused by every program, and made of whole rooms only."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from broker.journal.archive import Unfinished
from broker.journal.fill import fill, prepare
from broker.journal.protocol import CommitVerdict, JournalCorrupt, StaleMap, Unavailable
from broker.journal.redis_keys import Keys
from broker.journal.redis_store import look_at_store
from broker.journal.redis_target import RedisTarget
from broker.journal.verify import VerifiedRoom
from runtime.redis_client import RedisClient
from runtime.schema import RedisSettings
from tests.support.archive_contract import Life, ModelStore, copy, lived, quiet
from tests.support.redis_server import redis_server
from tests.support.redis_store import RedisStore

Stores = Callable[[str], RedisSettings]
MARK = Unfinished("copy", "store-1", "seal")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def store(emptied: Stores, opened: ExitStack) -> RedisStore:
    return RedisStore(emptied("valkey"), "test", opened)


def test_an_unfinished_journal_is_no_journal_to_any_program(store: RedisStore) -> None:
    prepare(store.target(), MARK, anew=False)
    for look in (store.journal, store.source):
        with pytest.raises(JournalCorrupt, match="a copy into it was not finished; repeat that command"):
            look()
    with closing(RedisClient(store.settings)) as client:
        with pytest.raises(JournalCorrupt, match="was not finished"):
            look_at_store(client, Keys("test"))
        # A program that knows no marks looks at the format, and reads no number there.
        assert not client.call("", "HGET", "{test}:journal", "format").isdigit()
    assert store.target().unfinished() == MARK


def test_a_shard_on_the_empty_journal_is_fenced_when_the_filling_begins(store: RedisStore) -> None:
    life = Life(1)
    journal = store.journal()
    life.claim(journal, 1)
    prepare(store.target(), MARK, anew=False)
    assert life.writers[0].commit(journal, "late").verdict is CommitVerdict.FENCED
    with pytest.raises(StaleMap):
        life.claim(journal, 1)


def test_what_is_thrown_away_leaves_no_key(store: RedisStore) -> None:
    other = ModelStore()
    lived(other)
    target = store.target()
    prepare(target, MARK, anew=False)
    fill(target, other.source().rooms(), quiet)
    assert target.has_rooms()
    prepare(target, Unfinished("copy", "store-2", "seal"), anew=True)
    assert not target.has_rooms()
    with closing(RedisClient(store.settings)) as client:
        assert client.call("", "KEYS", "*") == [b"{test}:journal"]


def test_of_a_room_that_was_cut_nothing_is_shown_and_the_next_try_begins_it_anew(store: RedisStore) -> None:
    other = ModelStore()
    life = lived(other)
    for writer in life.writers:
        writer.commit(other.journal(), *["text"] * 1200)
    target = store.target()
    prepare(target, MARK, anew=False)
    for reading in other.source().rooms():
        seen: list[int] = []

        def after_two(events: int, seen: list[int] = seen) -> None:
            seen.append(events)
            if len(seen) > 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            target.put(VerifiedRoom(reading, after_two))
        assert not target.has(reading.name)
    fill(target, other.source().rooms(), quiet)
    target.finish("store-1", other.source().standing())
    assert life.shown(store.journal()) == life.shown(other.journal())


def test_a_full_memory_is_a_sentence_and_the_next_try_goes_on(tmp_path: Path, opened: ExitStack) -> None:
    other = ModelStore()
    life = Life(1)
    life.claim(other.journal(), 1)
    for writer in life.writers:
        writer.commit(other.journal(), *["x" * 2000] * 1000)
    with redis_server(tmp_path / "server", "--maxmemory", "8mb") as server:
        small = RedisStore(server.settings, "test", opened)
        with pytest.raises(Unavailable, match="OOM"):
            copy(other, small)
        with pytest.raises(JournalCorrupt, match="not finished"):
            small.journal()
        server.ask("CONFIG", "SET", "maxmemory", "0")
        tally = copy(other, small)
        assert tally.rooms + tally.rooms_there == len(life.writers)
        assert life.shown(small.journal()) == life.shown(other.journal())


def test_replicas_that_are_asked_for_have_all_of_it_before_it_is_finished(store: RedisStore) -> None:
    other = ModelStore()
    lived(other)
    with closing(RedisTarget(store.settings, cluster="test", new_store_id="x", wait_replicas=1)) as target:
        prepare(target, MARK, anew=False)
        fill(target, other.source().rooms(), quiet)
        with pytest.raises(Unavailable, match="0 of 1 replicas have"):
            target.finish("store-1", other.source().standing())
        assert target.unfinished() == MARK


def test_a_store_that_forgets_when_it_is_full_is_not_filled(tmp_path: Path) -> None:
    with redis_server(tmp_path / "server", "--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(JournalCorrupt, match="noeviction"):
            RedisTarget(server.settings, cluster="test", new_store_id="x")
        assert server.ask("DBSIZE") == 0


def test_only_a_marked_journal_is_emptied(store: RedisStore) -> None:
    with pytest.raises(AssertionError):
        store.target().clear()
