"""Primaries wherever they are: a server, behind sentinels, in a cluster; and what is sent again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.redis_client import RedisClient, Script, asked_address, is_new_enough, place_of
from runtime.redis_connection import RedisAway, ReplyError
from runtime.schema import RedisSettings
from runtime.settings import SettingsError
from tests.support.redis_proxy import Answer, redis_proxy
from tests.support.redis_server import RedisCluster, RedisServer, redis_cluster, redis_sentinels, redis_server, wait_until

INCREMENT = Script("#!lua\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[RedisClient]:
    client = RedisClient(server.settings)
    client.call("", "FLUSHALL")
    yield client
    client.close()


@pytest.mark.parametrize(("url", "problem"), [("", "redis.url is empty"), ("redis://a:b@c", "redis.url holds a name")])
def test_a_setting_that_cannot_be_used_is_named(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        place_of(RedisSettings(url=url))


def test_a_command_is_answered_or_its_error_raised(client: RedisClient) -> None:
    assert client.call("k", "SET", "k", "v") == b"OK"
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        client.call("k", "LPUSH", "k", "v")
    assert client.call("k", "GET", "k") == b"v"


def test_no_commands_are_no_exchange() -> None:
    assert RedisClient(RedisServer(Path("unused")).settings).pipeline("k", []) == []


def test_a_script_is_loaded_where_it_is_not_known(client: RedisClient) -> None:
    assert client.run_script(INCREMENT, ["n"], [2]) == 2
    client.call("n", "SCRIPT", "FLUSH")
    assert client.run_script(INCREMENT, ["n"], [3]) == 5
    client.call("n", "SET", "n", "text")
    with pytest.raises(ReplyError, match="not an integer"):
        client.run_script(INCREMENT, ["n"], [3])


def test_a_server_that_starts_again_is_found_again(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--appendonly", "yes") as server:
        client = RedisClient(server.settings)
        client.call("k", "SET", "k", "v")
        server.stop()
        with pytest.raises(RedisAway, match="Connection refused"):
            client.call("k", "GET", "k")
        server.start()
        assert client.call("k", "GET", "k") == b"v"
        client.close()


def test_what_redis_says_it_did_not_do_is_told_as_away(server: RedisServer) -> None:
    with redis_proxy(lambda command: b"-LOADING Redis is loading\r\n" if command[0] == b"GET" else None, server.port) as proxy:
        client = RedisClient(proxy.settings)
        with pytest.raises(RedisAway, match="LOADING Redis is loading") as away:
            client.call("k", "GET", "k")
        assert not away.value.maybe_done
        assert proxy.count(b"GET") == 1
        client.close()


def test_a_server_that_becomes_a_replica_is_asked_who_it_is(server: RedisServer) -> None:
    answers = [b"-READONLY You can't write against a read only replica.\r\n"]

    def once(command: list[bytes]) -> Answer:
        return answers.pop() if command[0] == b"SET" and answers else None

    with redis_proxy(once, server.port) as proxy:
        client = RedisClient(proxy.settings)
        assert client.call("k", "SET", "k", "v") == b"OK"
        assert (proxy.count(b"SET"), proxy.connections) == (2, 2)
        client.close()


def test_commands_of_which_some_were_carried_out_are_not_sent_again(server: RedisServer) -> None:
    def half_moved(command: list[bytes]) -> Answer:
        return b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n" if command[0] == b"GET" else None

    with redis_proxy(half_moved, server.port) as proxy:
        client = RedisClient(proxy.settings)
        with pytest.raises(RedisAway, match="TRYAGAIN") as away:
            client.pipeline("{t}", [("GET", "{t}a"), ("INCR", "{t}b")])
        assert away.value.maybe_done
        assert proxy.count(b"INCR") == 1
        with pytest.raises(RedisAway, match="TRYAGAIN") as away:
            client.pipeline("{t}", [("GET", "{t}a"), ("GET", "{t}b")])
        assert not away.value.maybe_done
        assert proxy.count(b"GET") == 1 + 2 * 3
        client.close()


def test_a_replica_and_an_old_server_are_refused_in_words(tmp_path: Path, server: RedisServer) -> None:
    with redis_server(tmp_path, "--replicaof", f"127.0.0.1 {server.port}") as replica:
        with pytest.raises(RedisAway, match=f"is a read-only replica of 127.0.0.1:{server.port}"):
            RedisClient(replica.settings).call("k", "GET", "k")
    info = b"redis_version:6.2.1\r\nrole:master\r\n"
    with redis_proxy(lambda command: b"$%d\r\n%b\r\n" % (len(info), info)) as proxy:
        with pytest.raises(RedisAway, match=r"is version 6\.2\.1; 7\.0 or newer is needed"):
            RedisClient(proxy.settings).call("k", "GET", "k")


@pytest.mark.parametrize(
    ("version", "is_new"), [("7.0.0", True), ("7.2.4", True), ("10.1", True), ("6.2.14", False), ("?", False), ("seven.0", False)]
)
def test_versions_are_compared_as_numbers(version: str, is_new: bool) -> None:
    assert is_new_enough(version) is is_new


def test_keys_of_a_cluster_go_to_their_primaries(nodes: RedisCluster) -> None:
    client = RedisClient(nodes.settings)
    keys = [f"key-{number}" for number in range(30)]
    for key in keys:
        client.call(key, "SET", key, key)
    assert len({client.address_of(key) for key in keys}) == 3
    assert [client.call(key, "GET", key) for key in keys] == [key.encode() for key in keys]
    assert {connection.name for connection in client.primaries()} == {node.address for node in nodes.nodes}
    assert client.run_script(INCREMENT, ["{a}n"], [1]) == 1
    client.close()


def test_one_node_of_a_cluster_is_enough_to_find_the_others(nodes: RedisCluster) -> None:
    dead = RedisServer(Path("unused"))
    client = RedisClient(RedisSettings(url=f"redis+cluster://{dead.address},{nodes.nodes[1].address}"))
    assert len(client.primaries()) == 3
    client.close()


def test_a_slot_that_moves_is_followed(nodes: RedisCluster) -> None:
    client = RedisClient(nodes.settings)
    client.call("moving", "SET", "moving", "v")
    slot = nodes.nodes[0].ask("CLUSTER", "KEYSLOT", "moving")
    source = nodes.owner_of(slot)
    target = next(node for node in nodes.nodes if node is not source)
    nodes.move_slot(slot, source, target)
    assert client.call("moving", "GET", "moving") == b"v"
    assert client.address_of("moving")[1] == target.port
    client.close()


def test_a_slot_on_its_way_is_asked_for_at_its_new_home(nodes: RedisCluster) -> None:
    client = RedisClient(nodes.settings)
    slot = nodes.nodes[0].ask("CLUSTER", "KEYSLOT", "on-its-way")
    client.call("on-its-way", "SET", "on-its-way", "v")
    source = nodes.owner_of(slot)
    target = next(node for node in nodes.nodes if node is not source)
    with nodes.moving(slot, source, target):
        source.ask("MIGRATE", "127.0.0.1", target.port, "on-its-way", 0, 5000)
        assert client.pipeline("on-its-way", [("GET", "on-its-way"), ("APPEND", "on-its-way", "w")]) == [b"v", 2]
        assert client.address_of("on-its-way")[1] == source.port
    assert client.call("on-its-way", "GET", "on-its-way") == b"vw"
    client.close()


def test_the_node_that_an_error_names_is_read() -> None:
    assert asked_address(ReplyError("ASK 3999 ::1:6381")) == ("::1", 6381)
    assert asked_address(ReplyError("MOVED 3999 redis.example.org:6381")) == ("redis.example.org", 6381)


def test_a_server_that_is_no_cluster_is_told(server: RedisServer) -> None:
    with pytest.raises(RedisAway, match="cluster support disabled"):
        RedisClient(RedisSettings(url=f"redis+cluster://{server.address}")).call("k", "GET", "k")


def test_the_primary_is_found_through_sentinels_and_after_a_failover_again(tmp_path: Path) -> None:
    with redis_sentinels(tmp_path) as pair:
        client = RedisClient(pair.settings)
        assert client.call("k", "SET", "k", "v") == b"OK"
        assert client.call("k", "WAIT", 1, 2000) == 1
        assert client.address_of("k")[1] == pair.primary.port
        pair.primary.kill()
        pair.wait_failed_over()
        assert client.call("k", "GET", "k") == b"v"
        assert client.address_of("k")[1] == pair.replica.port
        unknown = RedisSettings(url=pair.settings.url.replace("/parvis", "/another"))
        with pytest.raises(RedisAway, match="knows no another"):
            RedisClient(unknown).call("k", "GET", "k")
        client.close()


def test_a_primary_that_freezes_under_sentinels_is_left(tmp_path: Path) -> None:
    with redis_sentinels(tmp_path) as pair:
        client = RedisClient(pair.settings)
        client.call("k", "SET", "k", "v")
        pair.primary.freeze()
        with pytest.raises(RedisAway, match="no answer within 1 s"):
            client.call("k", "GET", "k")
        wait_until("the client follows the sentinels", lambda: client.call("k", "PING") == b"PONG")
        assert client.address_of("k")[1] == pair.replica.port
        client.close()
