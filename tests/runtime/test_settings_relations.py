"""Relations between settings: each that is broken is named with its keys and values."""

import msgspec
import pytest

from runtime.schema import (
    AdmissionSettings,
    BrokerSettings,
    ClusterSettings,
    GatewaySettings,
    JournalSettings,
    RedisSettings,
    RoomSettings,
    Settings,
    TokenSettings,
)
from runtime.settings_relations import broken_relations


def broken(**sections: object) -> list[str]:
    return [sentence for _, sentence in broken_relations(msgspec.structs.replace(Settings(), **sections))]


def test_the_defaults_hold() -> None:
    assert broken() == []


def test_the_soft_maximum_is_not_above_the_hard_one() -> None:
    assert broken(gateway=GatewaySettings(connections_max=10, connections_soft_max=11)) == [
        "gateway.connections_soft_max 11 exceeds gateway.connections_max 10"
    ]
    assert broken(gateway=GatewaySettings(connections_max=10, connections_soft_max=10)) == []


def test_a_pong_is_due_before_the_next_ping() -> None:
    assert broken(gateway=GatewaySettings(ping_interval_s=10, pong_timeout_s=10)) == [
        "gateway.pong_timeout_s 10 is not below gateway.ping_interval_s 10"
    ]


def test_one_address_is_not_listened_on_twice() -> None:
    assert broken(broker=BrokerSettings(port=8101, admin_port=8101)) == [
        "broker.port and broker.admin_port are both 8101 on 127.0.0.1"
    ]
    assert broken(broker=BrokerSettings(port=8101, admin_port=8101, admin_host="10.0.0.1")) == []
    assert broken(gateway=GatewaySettings(port=0, admin_port=0)) == []


@pytest.mark.parametrize("address", ["nowhere", ":8101", "shard:0", "shard:x"])
def test_an_address_that_is_advertised_is_one(address: str) -> None:
    (sentence,) = broken(broker=BrokerSettings(advertise=address))
    assert repr(address) in sentence
    assert broken(broker=BrokerSettings(advertise="shard.example:8101")) == []


@pytest.mark.parametrize("origin", ["https://example.org", "http://localhost:8000", "https://[::1]:8000", "*"])
def test_an_origin_is_what_a_browser_sends(origin: str) -> None:
    assert broken(gateway=GatewaySettings(origins=[origin])) == []


@pytest.mark.parametrize("origin", ["https://example.org/", "example.org", "https://Example.org", "https://a.org/x", "", "null"])
def test_an_origin_that_no_browser_sends_is_told(origin: str) -> None:
    (sentence,) = broken(gateway=GatewaySettings(origins=[origin]))
    assert repr(origin) in sentence


@pytest.mark.parametrize("namespace", ["Election", "a/b", "", "-a", "a" * 33])
def test_a_namespace_is_one(namespace: str) -> None:
    (sentence,) = broken(rooms=RoomSettings(namespaces=["election", namespace]))
    assert repr(namespace) in sentence


@pytest.mark.parametrize(
    ("shards", "part"),
    [
        ({}, "names 0 shards"),
        ({f"s-{n}": f"h:{n + 1}" for n in range(65)}, "names 65 shards"),
        ({"Shard": "h:1"}, "'Shard'"),
        ({"s": "h"}, "s at 'h'"),
        ({"s": ":80"}, "s at ':80'"),
        ({"s": "h:0"}, "s at 'h:0'"),
        ({"s": "h:65536"}, "s at 'h:65536'"),
        ({"s": "h:8\u0665"}, "an address is host:port"),
        ({"s": "h:1", "t": "h:1"}, "'h:1' for more than one shard"),
    ],
)
def test_shards_have_names_and_addresses_of_their_own(shards: dict[str, str], part: str) -> None:
    (sentence,) = broken(cluster=ClusterSettings(shards=shards))
    assert part in sentence


def test_whoever_uses_redis_says_where_it_is() -> None:
    assert broken(journal=JournalSettings(kind="redis")) == [
        "redis.url is empty, and journal.kind = redis needs it, as in redis://10.0.0.5:6379/0"
    ]
    assert broken(cluster=ClusterSettings(directory="redis")) == [
        "redis.url is empty, and cluster.directory = redis needs it, as in redis://10.0.0.5:6379/0"
    ]
    assert broken(journal=JournalSettings(kind="redis"), redis=RedisSettings(url="redis://host")) == []


def test_a_url_that_is_none_is_told_whoever_uses_it() -> None:
    assert broken(redis=RedisSettings(url="redis://a,b")) == [
        "redis.url names 2 servers; several are redis+cluster:// or redis+sentinel://"
    ]


def test_only_redis_has_replicas_to_wait_for() -> None:
    assert broken(journal=JournalSettings(wait_replicas=1)) == [
        "journal.wait_replicas is 1, and only journal.kind = redis has replicas"
    ]


@pytest.mark.parametrize(
    ("tokens", "part"),
    [
        (TokenSettings(keys_file="keys.json"), "tokens.issuer is empty"),
        (TokenSettings(guests_may={}), "nobody could come in"),
        (TokenSettings(guests_may={"Town/*": "read"}), "tokens.guests_may: 'Town/*' is no room pattern"),
        (TokenSettings(users_may={"*": "shout"}), "tokens.users_may: '*' grants 'shout'"),
    ],
)
def test_tokens_have_an_issuer_and_capabilities_that_can_be_read(tokens: TokenSettings, part: str) -> None:
    (sentence,) = broken(tokens=tokens)
    assert part in sentence


def test_a_service_may_be_for_accounts_only() -> None:
    assert broken(tokens=TokenSettings(keys_file="keys.json", issuer="https://site.example", guests_may={})) == []


def test_tls_needs_a_certificate_and_its_key() -> None:
    assert broken(gateway=GatewaySettings(tls_certificate="a.pem", tls_key="a.key")) == []
    assert broken(gateway=GatewaySettings(tls_certificate="a.pem")) == [
        "gateway.tls_certificate is set and gateway.tls_key is not: TLS needs both files"
    ]
    assert broken(gateway=GatewaySettings(tls_key="a.key")) == [
        "gateway.tls_key is set and gateway.tls_certificate is not: TLS needs both files"
    ]


def test_proxies_are_named_together_with_the_way_in_which_they_name_their_clients() -> None:
    assert broken(admission=AdmissionSettings(forwarded_for=True)) == [
        "admission.forwarded_for is on, and admission.trusted_proxies names no proxy to believe"
    ]
    (sentence,) = broken(admission=AdmissionSettings(trusted_proxies=["10.0.0.0/8"]))
    assert "neither admission.proxy_protocol nor admission.forwarded_for" in sentence
    assert broken(admission=AdmissionSettings(trusted_proxies=["10.0.0.0/8"], proxy_protocol=True)) == []


@pytest.mark.parametrize("key", ["trusted_proxies", "address_exempt"])
def test_a_network_is_an_address_with_or_without_a_length(key: str) -> None:
    good = {"trusted_proxies": ["10.0.0.0/8"], "forwarded_for": True, key: ["10.0.0.0/8", "2001:db8::/32", "::1"]}
    assert broken(admission=AdmissionSettings(**good)) == []  # type: ignore[arg-type]
    (sentence,) = broken(admission=AdmissionSettings(**{**good, key: ["10.0.0.1/8"]}))  # type: ignore[arg-type]
    assert sentence.startswith(f"admission.{key} has '10.0.0.1/8'; a network is an address or address/length: ")
