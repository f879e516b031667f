"""Calls to many primaries: what is sent again, what is lost, and that one that is away holds up no other."""

import time
from collections.abc import Iterator

import pytest

from broker.journal.redis_calls import Lost, call_of, run_calls
from runtime.redis_client import RedisClient, Script
from runtime.redis_connection import ReplyError
from runtime.schema import RedisSettings
from tests.support.redis_proxy import Answer, redis_proxy
from tests.support.redis_server import RedisCluster, RedisServer, wait_until

ADD = Script("#!lua\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture
def client(server: RedisServer) -> Iterator[RedisClient]:
    client = RedisClient(server.settings, [ADD])
    yield client
    client.close()


@pytest.fixture
def cluster_client(nodes: RedisCluster) -> Iterator[RedisClient]:
    client = RedisClient(RedisSettings(url=nodes.settings.url, timeout_s=0.5))
    for primary in client.primaries():
        primary.call("FLUSHALL")
    yield client
    client.close()


def soon() -> float:
    return time.monotonic() + 5


def counters(*names: str) -> list[str]:
    return [f"{{{name}}}" for name in names]


def test_nothing_is_asked_of_nobody(client: RedisClient) -> None:
    assert run_calls(client, [], soon()) == []


def test_replies_are_in_the_order_of_calls(client: RedisClient) -> None:
    assert run_calls(client, [call_of(ADD, ["n"], number) for number in range(1, 5)], soon()) == [1, 3, 6, 10]


def test_replies_of_several_primaries_are_in_the_order_of_calls(cluster_client: RedisClient) -> None:
    keys = counters(*(f"key-{number}" for number in range(100)))
    assert len({cluster_client.address_of(key) for key in keys}) == 3
    assert run_calls(cluster_client, [call_of(ADD, [key], number) for number, key in enumerate(keys)], soon()) == list(range(100))


def test_a_script_that_fails_may_have_come_half_way(client: RedisClient) -> None:
    client.call("text", "SET", "text", "abc")
    lost, done = run_calls(client, [call_of(ADD, ["text"], 1), call_of(ADD, ["n"], 1)], soon())
    assert isinstance(lost, Lost)
    assert lost.maybe_done
    assert "not an integer" in lost.sentence
    assert done == 1


@pytest.mark.parametrize(("code", "times"), [("OOM", 1), ("LOADING", 1), ("READONLY", 4), ("TRYAGAIN", 4)])
def test_what_was_not_done_is_sent_again_only_where_that_may_help(server: RedisServer, code: str, times: int) -> None:
    with redis_proxy(lambda command: f"-{code} no\r\n".encode() if command[0] == b"EVALSHA" else None, server.port) as proxy:
        client = RedisClient(proxy.settings)
        (lost,) = run_calls(client, [call_of(ADD, ["n"], 1)], soon())
        assert isinstance(lost, Lost)
        assert not lost.maybe_done
        assert f"{code} no" in lost.sentence
        assert proxy.count(b"EVALSHA") == times
        client.close()


def test_one_of_many_that_was_not_done_is_sent_again_alone(server: RedisServer) -> None:
    refusals = [b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"]

    def refuse_b_once(command: list[bytes]) -> Answer:
        return refusals.pop() if command[0] == b"EVALSHA" and command[3] == b"b" and refusals else None

    with redis_proxy(refuse_b_once, server.port) as proxy:
        client = RedisClient(proxy.settings, [ADD])
        assert run_calls(client, [call_of(ADD, [key], 1) for key in ("a", "b", "c")], soon()) == [1, 1, 1]
        assert proxy.count(b"EVALSHA") == 4
        client.close()


def test_a_call_of_unknown_fate_is_never_sent_again(server: RedisServer) -> None:
    with redis_proxy(lambda command: None, server.port) as proxy:
        client = RedisClient(proxy.hasty, [ADD])
        run_calls(client, [call_of(ADD, ["n"], 1)], soon())
        server.freeze()
        (lost,) = run_calls(client, [call_of(ADD, ["n"], 1)], soon())
        server.thaw()
        assert isinstance(lost, Lost)
        assert lost.maybe_done
        assert proxy.count(b"EVALSHA") == 2
        wait_until("it is carried out late", lambda: server.ask("GET", "n") == b"2")
        client.close()


def test_slots_that_moved_are_followed_within_the_call(nodes: RedisCluster, cluster_client: RedisClient) -> None:
    keys = counters("moved-1", "moved-2", "stays")
    calls = [call_of(ADD, [key], 1) for key in keys]
    assert run_calls(cluster_client, calls, soon()) == [1, 1, 1]
    for key in keys[:2]:
        slot = nodes.nodes[0].ask("CLUSTER", "KEYSLOT", key)
        source = nodes.owner_of(slot)
        nodes.move_slot(slot, source, next(node for node in nodes.nodes if node is not source))
    assert run_calls(cluster_client, calls, soon()) == [2, 2, 2]


def test_a_slot_on_its_way_is_asked_for_at_its_new_home(nodes: RedisCluster, cluster_client: RedisClient) -> None:
    key = "{on-its-way}"
    assert run_calls(cluster_client, [call_of(ADD, [key], 1)], soon()) == [1]
    slot = nodes.nodes[0].ask("CLUSTER", "KEYSLOT", key)
    source = nodes.owner_of(slot)
    target = next(node for node in nodes.nodes if node is not source)
    with nodes.moving(slot, source, target):
        source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        others = [call_of(ADD, [other], 1) for other in counters("a", "b", "c")]
        assert run_calls(cluster_client, [others[0], call_of(ADD, [key], 1), *others[1:]], soon()) == [1, 2, 1, 1]
    assert run_calls(cluster_client, [call_of(ADD, [key], 1)], soon()) == [3]


def test_one_primary_that_is_away_costs_its_own_calls_and_one_timeout(
    nodes: RedisCluster, cluster_client: RedisClient
) -> None:
    keys = counters(*(f"key-{number}" for number in range(30)))
    calls = [call_of(ADD, [key], 1) for key in keys]
    run_calls(cluster_client, calls, soon())
    frozen = nodes.nodes[1]
    on_it = {key for key in keys if cluster_client.address_of(key)[1] == frozen.port}
    frozen.freeze()
    began = time.monotonic()
    replies = run_calls(cluster_client, calls, soon())
    took_s = time.monotonic() - began
    frozen.thaw()
    assert {key for key, reply in zip(keys, replies, strict=True) if isinstance(reply, Lost)} == on_it
    assert {reply for reply in replies if not isinstance(reply, Lost)} == {2}
    # Call by call it would be five seconds and more.
    assert 0.4 < took_s < 4
    nodes.wait_serving()


def test_replicas_count_only_what_they_have(server: RedisServer, client: RedisClient) -> None:
    began = time.monotonic()
    (lost,) = run_calls(client, [call_of(ADD, ["n"], 1)], time.monotonic() + 0.4, replicas=2)
    assert isinstance(lost, Lost)
    assert lost.maybe_done
    assert "0 of 2 replicas have what was written" in lost.sentence
    assert 0.35 < time.monotonic() - began < 10


def test_a_refused_wait_is_told(server: RedisServer) -> None:
    with redis_proxy(lambda command: b"-ERR no WAIT here\r\n" if command[0] == b"WAIT" else None, server.port) as proxy:
        client = RedisClient(proxy.settings, [ADD])
        (lost,) = run_calls(client, [call_of(ADD, ["n"], 1)], soon(), replicas=1)
        assert isinstance(lost, Lost)
        assert "no WAIT here" in lost.sentence
        client.close()


def test_an_error_is_never_taken_for_a_reply(server: RedisServer) -> None:
    with redis_proxy(lambda command: b"-NEWWORD of later\r\n" if command[0] == b"EVALSHA" else None, server.port) as proxy:
        client = RedisClient(proxy.settings)
        (lost,) = run_calls(client, [call_of(ADD, ["n"], 1)], soon())
        assert not isinstance(lost, ReplyError)
        assert lost == Lost(f"Redis 127.0.0.1:{proxy.port}: NEWWORD of later", maybe_done=True)
        client.close()
