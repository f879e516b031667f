"""Where a Redis is: every form of redis.url, and what is wrong with those that are none."""

import pytest

from runtime.redis_url import RedisPlace, parse_redis_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://10.0.0.5", RedisPlace("server", (("10.0.0.5", 6379),))),
        ("redis://db.example.org:6380/3", RedisPlace("server", (("db.example.org", 6380),), database=3)),
        ("rediss://[2001:db8::1]:6390/", RedisPlace("server", (("2001:db8::1", 6390),), tls=True)),
        ("unix:///run/redis.sock", RedisPlace("server", path="/run/redis.sock")),
        ("unix:///run/redis.sock?db=2", RedisPlace("server", path="/run/redis.sock", database=2)),
        ("redis+cluster://a,b:7001", RedisPlace("cluster", (("a", 6379), ("b", 7001)))),
        ("rediss+cluster://a/0", RedisPlace("cluster", (("a", 6379),), tls=True)),
        ("redis+sentinel://a,b:1/chat", RedisPlace("sentinel", (("a", 26379), ("b", 1)), service="chat")),
        ("redis+sentinel://a/chat/2", RedisPlace("sentinel", (("a", 26379),), service="chat", database=2)),
    ],
)
def test_every_form_is_read(url: str, place: RedisPlace) -> None:
    assert parse_redis_url(url) == place


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:6379", "begins with redis://"),
        ("http://localhost", "begins with 'http'://"),
        ("redis://", "an address is host or host:port"),
        ("redis://:6379", "an address is host or host:port"),
        ("redis://host:0", "with a port of 1 to 65535"),
        ("redis://host:65536", "with a port of 1 to 65535"),
        ("redis://a,b", "names 2 servers; several are redis+cluster:// or redis+sentinel://"),
        ("redis://host/one", "names database 'one'"),
        ("redis://host/1000001", "names database '1000001'"),
        ("redis://host/0?x=1", "nothing may follow a ?"),
        ("redis+cluster://a,b/1", "a cluster has only database 0"),
        ("redis+sentinel://a,b", "does not say what the sentinels call the primary"),
        ("unix://relative", "no absolute path"),
        ("unix:///x?password=y", "only db=NUMBER"),
    ],
)
def test_what_is_wrong_is_said(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_redis_url(url)
    assert problem in str(refused.value)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"redis\.password_file") as refused:
        parse_redis_url("redis://:hunter2@host:6379/0")
    assert "hunter2" not in str(refused.value)


def test_a_place_is_shown_as_an_operator_would_write_it() -> None:
    assert str(parse_redis_url("redis+sentinel://a,[::1]:2/chat")) == "chat of sentinels a:26379,[::1]:2"
    assert str(parse_redis_url("unix:///run/redis.sock")) == "/run/redis.sock"
