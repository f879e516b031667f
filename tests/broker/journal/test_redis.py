"""The Redis journal on real servers: the contract on each kind of store, and what the world does to it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.journal.protocol import CommitVerdict, Erasure, Journal, JournalCorrupt, StaleMap, Unavailable
from broker.journal.redis import RedisJournal
from runtime.schema import RedisSettings
from tests.support.journal_contract import JournalContract, loaded
from tests.support.journal_writes import START_MS, RoomWriter
from tests.support.redis_proxy import Answer, Cut, Silence, redis_proxy
from tests.support.redis_server import RedisServer, redis_cluster, wait_until
from tests.support.tree import ROOT
from wire.names import Slot, Term

OpenRedis = Callable[..., RedisJournal]
COMMITTED = CommitVerdict.COMMITTED


@pytest.mark.parametrize("kind", ["valkey", "redis", "cluster", "sentinel"])
class TestRedisJournal(JournalContract):
    @pytest.fixture
    def reopen(self, emptied: Callable[[str], RedisSettings], open_redis: OpenRedis, kind: str) -> Callable[[], Journal]:
        settings = emptied(kind)
        opened: list[RedisJournal] = []

        def reopen() -> Journal:
            if opened:
                opened.pop().close()
            opened.append(open_redis(settings, wait_replicas=1 if kind == "sentinel" else 0))
            return opened[-1]

        return reopen


def started(journal: Journal) -> RoomWriter:
    """The writer of a room whose slot is claimed."""
    journal.claim([Slot(7)], 1, "shard-1")
    writer = RoomWriter()
    assert writer.commit(journal, "one").verdict is COMMITTED
    return writer


def test_two_clusters_on_one_redis_do_not_see_each_other(emptied: Callable[[str], RedisSettings], open_redis: OpenRedis) -> None:
    settings = emptied("valkey")
    one, other = open_redis(settings, cluster="one"), open_redis(settings, cluster="other")
    writer = started(one)
    assert other.load(writer.room, 10, 1000, 0, 10) is None
    assert other.newest_map_version() == 0
    assert writer.commit(other, "elsewhere").verdict is CommitVerdict.FENCED
    assert other.claim([Slot(7)], 1, "shard-1") == {Slot(7): Term(1)}


def test_a_server_that_restarts_is_found_again_and_has_another_run(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = started(journal)
    run = journal.store_run()
    server.stop()
    with pytest.raises(Unavailable, match=f"Redis 127.0.0.1:{server.port}: Connection refused") as away:
        journal.commit([writer.write("away")])
    assert away.value.nothing_done
    with pytest.raises(Unavailable, match="Connection refused"):
        journal.load(writer.room, 10, 1000, 0, 10)
    with pytest.raises(Unavailable, match="Connection refused"):
        journal.store_run()
    server.start()
    assert writer.commit(journal, "two").verdict is COMMITTED
    assert [entry.body for entry in loaded(journal, writer.room).tail] == [b"one", b"two"]
    assert journal.store_run() != run


def test_a_server_that_freezes_makes_outcomes_unknown_within_its_timeout(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(RedisSettings(url=server.url, timeout_s=0.3))
    writer = started(journal)
    server.freeze()
    write = writer.write("perhaps")
    with pytest.raises(Unavailable, match=r"no answer within 0\.3 s") as away:
        journal.commit([write])
    assert not away.value.nothing_done
    server.thaw()
    # It had received the write, and carries it out now that it goes on: what is unknown may be there.
    assert journal.claim([Slot(7)], 1, "shard-1") == {Slot(7): Term(2)}
    assert loaded(journal, writer.room).head == write.head


def test_a_reply_that_is_cut_in_the_middle_leaves_the_outcome_open_and_shifts_nothing(
    server: RedisServer, open_redis: OpenRedis
) -> None:
    cuts = [True]

    def cut_once(command: list[bytes]) -> Answer:
        return Cut(b":") if command[0] == b"EVALSHA" and b"SECRET" in b" ".join(command) and cuts and cuts.pop() else None

    with redis_proxy(cut_once, server.port) as proxy:
        journal = open_redis(proxy.settings)
        writer = started(journal)
        with pytest.raises(Unavailable, match="closed the connection in the middle of a reply"):
            journal.commit([writer.write("SECRET")])
        assert writer.commit(journal, "two").verdict is COMMITTED
        assert [entry.body for entry in loaded(journal, writer.room).tail] == [b"one", b"two"]


def test_what_was_answered_before_a_cut_is_known_and_the_rest_is_unknown(server: RedisServer, open_redis: OpenRedis) -> None:
    def cut_at_third(command: list[bytes]) -> Answer:
        return Cut() if b"third" in b" ".join(command) else None

    with redis_proxy(cut_at_third, server.port) as proxy:
        journal = open_redis(proxy.settings)
        journal.claim([Slot(7)], 1, "shard-1")
        writers = [RoomWriter(f"test/{name}") for name in ("first", "second", "third", "fourth")]
        outcomes = journal.commit([writer.write("x") for writer in writers])
        unknown = CommitVerdict.UNKNOWN
        assert [outcome.verdict for outcome in outcomes] == [COMMITTED, COMMITTED, unknown, unknown]
        journal.claim([Slot(7)], 1, "shard-1")
        assert journal.load(writers[3].room, 10, 1000, 0, 10) is None


@pytest.mark.parametrize(
    "refusal",
    [
        "LOADING Redis is loading the dataset in memory", "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.", "MASTERDOWN Link with MASTER is down",
        "NOREPLICAS Not enough good replicas to write.", "CLUSTERDOWN The cluster is down", "NOAUTH Authentication required.",
        "MISCONF Redis is configured to save RDB snapshots", "BUSY Redis is busy running a script",
    ],
)  # fmt: skip
def test_what_redis_says_it_cannot_do_now_is_unavailable_with_its_words(
    server: RedisServer, open_redis: OpenRedis, refusal: str
) -> None:
    refused: list[str] = []

    def refuse(command: list[bytes]) -> Answer:
        return b"-%b\r\n" % refused[0].encode() if command[0] == b"EVALSHA" and refused else None

    with redis_proxy(refuse, server.port) as proxy:
        journal = open_redis(proxy.settings)
        writer = started(journal)
        refused.append(refusal)
        with pytest.raises(Unavailable, match=refusal.split(" ", 1)[0]) as away:
            journal.commit([writer.write("not now")])
        assert away.value.nothing_done
        with pytest.raises(Unavailable, match=refusal.split(" ", 1)[0]):
            journal.claim([Slot(7)], 1, "shard-1")
        refused.clear()
        assert writer.commit(journal, "now").verdict is COMMITTED


def test_a_full_memory_refuses_whole_writes_and_heals(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = started(journal)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(Unavailable, match="OOM"):
        journal.commit([writer.write("too much")])
    assert loaded(journal, writer.room).head == writer.head
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert writer.commit(journal, "again").verdict is COMMITTED


def test_scripts_that_redis_forgot_are_loaded_again(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    writer = started(journal)
    server.ask("SCRIPT", "FLUSH")
    others = [RoomWriter(f"test/{number}") for number in range(3)]
    outcomes = journal.commit([each.write("x") for each in (writer, *others)])
    assert {outcome.verdict for outcome in outcomes} == {COMMITTED}
    server.ask("SCRIPT", "FLUSH")
    assert journal.claim([Slot(1), Slot(2)], 1, "shard-1") == {Slot(1): Term(1), Slot(2): Term(1)}
    server.ask("SCRIPT", "FLUSH")
    assert loaded(journal, writer.room).head.offset == 2


def test_a_replica_that_is_asked_for_and_not_there_makes_outcomes_unknown(server: RedisServer, open_redis: OpenRedis) -> None:
    writer = started(open_redis(server.settings))
    journal = open_redis(server.settings, wait_replicas=1, deadline_s=0.3)
    alone = writer.write("alone")
    with pytest.raises(Unavailable, match="0 of 1 replicas have what was written"):
        journal.commit([alone])
    # It is in the primary all the same, and what is refused outright stays known.
    assert loaded(journal, writer.room).head == alone.head
    assert writer.commit(journal, "another").verdict is CommitVerdict.DIVERGED
    with pytest.raises(Unavailable, match="0 of 1 replicas have what was written; slots were not claimed"):
        journal.claim([Slot(7)], 1, "shard-1")


def test_a_claim_that_is_overtaken_by_a_newer_map_is_stale(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    journal.claim([Slot(7)], 5, "shard-2")
    # As if the newer claim had come between the two steps of this one.
    server.ask("HSET", "{test}:journal", "map_version", "4")
    with pytest.raises(StaleMap) as stale:
        journal.claim([Slot(7)], 4, "shard-1")
    assert stale.value.newest == 5


def test_a_store_that_lost_everything_is_given_back_whose_it_is(server: RedisServer, open_redis: OpenRedis) -> None:
    journal = open_redis(server.settings)
    started(journal)
    server.ask("FLUSHALL")
    assert journal.claim([Slot(7)], 3, "shard-1") == {Slot(7): Term(1)}
    again = RedisJournal(server.settings, cluster="test", new_store_id="another")
    assert (again.store_id, again.newest_map_version()) == (journal.store_id, 3)
    again.close()


def test_a_primary_of_a_cluster_that_dies_is_followed_to_its_replica(tmp_path: Path, open_redis: OpenRedis) -> None:
    with redis_cluster(tmp_path, replicas=True) as nodes:
        journal = open_redis(nodes.settings, wait_replicas=1)
        writer = started(journal)
        # What comes after has no replica of its own.
        alone = open_redis(nodes.settings)
        run = alone.store_run()
        nodes.owner_of(nodes.nodes[0].ask("CLUSTER", "KEYSLOT", "{test/7}")).kill()
        with pytest.raises(Unavailable):
            alone.commit([writer.write("away")])
        wait_until("the slot is claimed again", lambda: _claimed(alone, writer))
        assert loaded(alone, writer.room).head == writer.head
        assert writer.commit(alone, "two").verdict is COMMITTED
        assert alone.store_run() != run


def _claimed(journal: Journal, writer: RoomWriter) -> bool:
    try:
        writer.term = journal.claim([Slot(7)], 1, "shard-1")[Slot(7)]
    except Unavailable:
        return False
    return True


def test_a_user_with_the_rights_of_the_documents_is_enough(
    server: RedisServer, open_redis: OpenRedis, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "redis.md").read_text()
    line = next(each for each in page.splitlines() if each.startswith("ACL SETUSER"))
    server.ask(*line.replace("{chat", "{test").split(" "))
    (tmp_path / "password").write_text("secret\n")
    settings = RedisSettings(url=server.url, username="parvis", password_file=str(tmp_path / "password"))
    journal = open_redis(settings)
    writer = started(journal)
    writer.commit(journal, "two", erasures=[Erasure(1, "why")])
    writer.commit(journal, "begun", new_epoch="epoch-b")
    journal.retain(writer.room, 1, 0, 0, START_MS + 1)
    assert loaded(journal, writer.room).head == writer.head
    assert journal.read(writer.room, writer.head.epoch, 0, 10) == []
    assert (journal.store_run(), journal.newest_map_version()) == (journal.store_run(), 1)
    with pytest.raises(Unavailable, match="NOPERM"):
        RedisJournal(settings, cluster="another", new_store_id="store")


def test_a_wrong_password_is_told_with_the_setting_at_fault(server: RedisServer, open_redis: OpenRedis) -> None:
    server.ask("CONFIG", "SET", "requirepass", "secret")
    with pytest.raises(Unavailable, match="Authentication required"):
        open_redis(server.settings)


def test_data_that_is_not_ours_is_refused_and_left_alone(server: RedisServer, open_redis: OpenRedis) -> None:
    server.ask("SET", "{test}:journal", "mine")
    with pytest.raises(JournalCorrupt, match=r"\{test\}:journal in Redis .* is not a journal of parvis: WRONGTYPE"):
        open_redis(server.settings)
    assert server.ask("GET", "{test}:journal") == b"mine"


@pytest.mark.parametrize("key", ["{test/7}:room:test/room", "{test/7}:log:test/room:epoch-a", "{test/7}:ids:test/room"])
def test_damage_to_one_room_is_that_rooms_and_told(server: RedisServer, open_redis: OpenRedis, key: str) -> None:
    journal = open_redis(server.settings)
    writer = started(journal)
    server.ask("SET", key, "damage")
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        journal.load(writer.room, 10, 1000, 0, 10)
    other = RoomWriter("test/other")
    outcomes = journal.commit([writer.write("two"), other.write("unharmed")])
    assert [outcome.verdict for outcome in outcomes] == [CommitVerdict.UNKNOWN, COMMITTED]
    assert [entry.body for entry in loaded(journal, other.room).tail] == [b"unharmed"]


@pytest.mark.parametrize("key", ["{test/7}:log:test/room:epoch-a"])
def test_an_entry_that_is_gone_or_damaged_is_told(server: RedisServer, open_redis: OpenRedis, key: str) -> None:
    journal = open_redis(server.settings)
    writer = started(journal)
    server.ask("HSET", key, "1", "garbage")
    with pytest.raises(Unavailable, match="is damaged"):
        journal.load(writer.room, 10, 1000, 0, 10)
    server.ask("DEL", key)
    with pytest.raises(Unavailable, match="an entry that is kept is not there"):
        journal.read(writer.room, writer.head.epoch, 0, 10)


def test_silence_at_the_start_is_told(open_redis: OpenRedis) -> None:
    with redis_proxy(lambda _: Silence()) as proxy:
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s \(opening the journal\)"):
            open_redis(proxy.hasty)
