"""Addresses as they come in headers and sockets, the lists they are looked up in, and what they are counted by."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.addresses import Networks, parse_address, parse_endpoint, prefix_of
from wire.limits import ADDRESS_CHARS_MAX


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
    ],
)
def test_an_endpoint_is_read_with_and_without_its_port(text: str, address: str) -> None:
    assert str(parse_endpoint(text)) == address


@pytest.mark.parametrize(
    "text",
    ["", "pair", "unknown", "_h", "192.0.2", "192.0.2.1.5", "192.0.2.01", "[2001:db8::1", "[::1]x", "10.0.0.1/8", "\u0663.0.0.1"],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_endpoint(text) is None


@given(st.text(max_size=100))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert isinstance(parse_endpoint(text), IPv4Address | IPv6Address | None)


def test_a_text_that_is_too_long_is_not_looked_into() -> None:
    zone = "z" * ADDRESS_CHARS_MAX
    assert parse_address(f"fe80::1%{zone}") is None
    assert parse_address("fe80::1%eth0") is not None


@given(st.ip_addresses())
def test_an_address_is_read_back_from_its_own_text(address: IPv4Address | IPv6Address) -> None:
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped
    assert parse_address(str(address)) == (mapped or address)


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_a_64_is_one_prefix_whatever_stands_behind_it(address: IPv6Address, host: int) -> None:
    neighbour = IPv6Address((int(address) >> 64 << 64) | host)
    assert prefix_of(neighbour) == prefix_of(address)
    assert prefix_of(IPv6Address(int(address) ^ (1 << 64))) != prefix_of(address)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_an_ipv4_address_is_its_own_prefix(one: IPv4Address, other: IPv4Address) -> None:
    assert (prefix_of(one) == prefix_of(other)) == (one == other)


def test_a_list_of_networks_has_addresses_of_both_kinds_and_no_unknown_one() -> None:
    networks = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])
    inside = ["10.1.2.3", "2001:db8:1::9", "192.0.2.7", "::ffff:10.1.2.3"]
    assert [parse_address(text) in networks for text in inside] == [True] * 4
    assert [parse_address(text) in networks for text in ("11.0.0.1", "2001:db9::1", "192.0.2.8")] == [False] * 3
    assert None not in networks


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "example.org", ""])
def test_what_names_no_network_is_an_error_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Networks([text])
