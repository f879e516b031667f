"""One connection: what it answers, and that it is never used again once an exchange has failed."""

import time
from pathlib import Path

import pytest
import trustme

from runtime.redis_connection import RedisAway, RedisConnection, ReplyError, code_of, pack, password_of, shown
from runtime.redis_url import parse_redis_url
from runtime.schema import RedisSettings
from tests.support.redis_proxy import Answer, Cut, RedisProxy, Silence, redis_proxy
from tests.support.redis_server import RedisServer, free_port, redis_program, redis_server


def connect(settings: RedisSettings) -> RedisConnection:
    place = parse_redis_url(settings.url)
    return RedisConnection(place, place.addresses[0] if place.addresses else None, settings)


def proxied(proxy: RedisProxy) -> RedisConnection:
    return connect(proxy.settings)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> "RedisServer":  # type: ignore[misc]
    with redis_server(tmp_path_factory.mktemp("redis"), "--unixsocket", "redis.sock") as running:
        yield running


def test_replies_come_in_the_order_of_commands_and_errors_are_values(server: RedisServer) -> None:
    connection = connect(server.settings)
    replies = connection.exchange([("SET", "k", b"\x00\xff"), ("GET", "k"), ("NOSUCH",), ("INCR", "n"), ("GET", "none")])
    assert replies[0] == b"OK"
    assert replies[1] == b"\x00\xff"
    assert isinstance(replies[2], ReplyError)
    assert code_of(replies[2]) == "ERR"
    assert replies[3:] == [1, None]
    assert not connection.is_stale()
    connection.close()
    assert connection.is_stale()


def test_a_unix_socket_is_a_connection_too(server: RedisServer) -> None:
    connection = connect(RedisSettings(url=f"unix://{server.directory}/redis.sock?db=1"))
    assert connection.call("PING") == b"PONG"
    assert connection.name == f"{server.directory}/redis.sock"
    connection.close()


def test_a_server_that_went_away_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        connection = connect(server.settings)
        server.stop()
        assert connection.is_stale()
        with pytest.raises(RedisAway, match=f"Redis 127.0.0.1:{server.port}: Connection refused") as away:
            connect(server.settings)
        assert not away.value.maybe_done


def test_a_reply_that_is_cut_ends_the_connection(server: RedisServer) -> None:
    def cut_the_second(command: list[bytes]) -> Answer:
        return Cut(b"$5\r\nhel") if command[0] == b"ECHO" else None

    with redis_proxy(cut_the_second, server.port) as proxy:
        connection = proxied(proxy)
        with pytest.raises(RedisAway, match="closed the connection in the middle of a reply") as away:
            connection.exchange([("PING",), ("ECHO", "hello"), ("PING",)])
        assert away.value.maybe_done
        assert not connection.is_open
        assert connection.is_stale()


def test_what_was_answered_before_the_cut_is_known(server: RedisServer) -> None:
    with redis_proxy(lambda command: Cut() if command[0] == b"ECHO" else None, server.port) as proxy:
        connection = proxied(proxy)
        connection.send(pack("PING") + pack("ECHO", "x"), 2)
        assert connection.receive(2, connection.deadline()) == [b"PONG"]
        assert "closed the connection" in connection.why_cut


def test_silence_ends_with_the_timeout_and_with_the_connection(server: RedisServer) -> None:
    with redis_proxy(lambda command: Silence() if command[0] == b"PING" else None, server.port) as proxy:
        connection = connect(proxy.hasty)
        began = time.monotonic()
        with pytest.raises(RedisAway, match=r"no answer within 0\.3 s") as away:
            connection.call("PING")
        assert away.value.maybe_done
        assert 0.25 < time.monotonic() - began < 10
        assert not connection.is_open


def test_what_is_no_reply_ends_the_connection(server: RedisServer) -> None:
    with redis_proxy(lambda command: b"HTTP/1.1 400\r\n" if command[0] == b"PING" else None, server.port) as proxy:
        with pytest.raises(RedisAway, match="does not speak Redis' protocol"):
            proxied(proxy).call("PING")


def test_an_answer_nobody_asked_for_makes_it_stale(server: RedisServer) -> None:
    with redis_proxy(lambda command: b"+PONG\r\n+PONG\r\n" if command[0] == b"PING" else None, server.port) as proxy:
        connection = proxied(proxy)
        connection.send(pack("PING"), 1)
        connection.receive(1, connection.deadline())
        assert connection.is_stale()


def test_a_password_is_read_from_its_file_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with redis_server(tmp_path / "redis") as server:
        server.ask("CONFIG", "SET", "requirepass", "first")
        settings = RedisSettings(url=server.url, password_file=str(file))
        file.write_text("wrong\n")
        with pytest.raises(RedisAway, match="invalid username-password pair"):
            connect(settings)
        file.write_text("first\nsecond line\n")
        assert connect(settings).call("PING") == b"PONG"
        assert connect(RedisSettings(url=server.url)).call("PING").args[0].startswith("NOAUTH")


@pytest.mark.parametrize(("text", "problem"), [(None, "cannot be read: No such file"), ("\n", "holds no password")])
def test_a_password_file_that_holds_none_is_told(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "password"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RedisAway, match=problem):
        password_of(RedisSettings(password_file=str(file)))


def test_addresses_are_shown_as_people_write_them() -> None:
    assert [shown(("a", 1)), shown(("::1", 2))] == ["a:1", "[::1]:2"]


def test_tls_is_checked_against_the_systems_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    tls_port = free_port()
    options = (
        "--tls-port", str(tls_port), "--tls-cert-file", str(tmp_path / "server.pem"), "--tls-key-file",
        str(tmp_path / "server.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem"), "--tls-auth-clients", "no",
    )  # fmt: skip
    with redis_server(tmp_path / "redis", *options, program=redis_program()):
        settings = RedisSettings(url=f"rediss://127.0.0.1:{tls_port}/0")
        with pytest.raises(RedisAway, match="certificate verify failed"):
            connect(settings)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        connection = connect(settings)
        # Session tickets that come after the handshake are no answer that nobody asked for.
        assert connection.call("PING") == b"PONG"
        assert not connection.is_stale()
        assert connection.exchange([("ECHO", "x" * 200_000), ("PING",)]) == [b"x" * 200_000, b"PONG"]
        connection.close()
