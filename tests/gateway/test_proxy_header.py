"""PROXY headers of version 2, right ones and hostile ones."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.proxy_header import FIXED_BYTES, BadProxyHeader, parse_source, parse_start
from runtime.addresses import Address
from tests.support.proxy_headers import INET, INET6, SIGNATURE, proxy_header
from wire.limits import PROXY_HEADER_BYTES_MAX


def read(data: bytes) -> Address | None:
    start = parse_start(data[:FIXED_BYTES])
    assert len(data) == FIXED_BYTES + start.rest_bytes
    return parse_source(start, data[FIXED_BYTES:])


def test_the_source_is_the_client() -> None:
    assert read(proxy_header(rest=INET)) == IPv4Address("192.0.2.7")
    assert read(proxy_header(family=0x21, rest=INET6)) == IPv6Address("2001:db8::7")


def test_an_ipv4_client_in_ipv6_clothes_is_an_ipv4_client() -> None:
    mapped = IPv6Address("::ffff:192.0.2.7").packed
    assert read(proxy_header(family=0x21, rest=mapped * 2 + bytes(4))) == IPv4Address("192.0.2.7")


def test_fields_behind_the_addresses_are_skipped() -> None:
    # A checksum as HAProxy sends it, and bytes that are no field at all.
    assert read(proxy_header(rest=INET + b"\x03\x00\x04abcd")) == IPv4Address("192.0.2.7")
    assert read(proxy_header(rest=INET + b"\xff" * 100)) == IPv4Address("192.0.2.7")


def test_a_proxy_that_speaks_for_itself_names_nobody() -> None:
    assert read(proxy_header(0x20, 0x00)) is None
    assert read(proxy_header(0x20, 0x11, INET)) is None
    assert read(proxy_header(0x20, 0xFF, b"whatever")) is None


def test_addresses_that_are_no_internet_addresses_name_nobody() -> None:
    assert read(proxy_header(family=0x00)) is None
    assert read(proxy_header(family=0x31, rest=bytes(216))) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "no PROXY header"),
        (b"PROXY TCP4 192.0", "no PROXY header"),
        (SIGNATURE[:-1] + b"\x0b\x21\x11\x00\x0c", "no PROXY header"),
        (proxy_header(0x11, rest=INET)[:16], "version 1"),
        (proxy_header(0x31, rest=INET)[:16], "version 3"),
        (proxy_header(0x22, rest=INET)[:16], "command 2"),
        (proxy_header(family=0x41, rest=INET)[:16], "family 4"),
        (proxy_header(family=0x12, rest=INET)[:16], "transport 2"),
        (proxy_header(length=11)[:16], "addresses of 11 bytes"),
        (proxy_header(family=0x21, length=35)[:16], "addresses of 35 bytes"),
        (proxy_header(family=0x31, length=215)[:16], "addresses of 215 bytes"),
        (proxy_header(length=0xFFFF)[:16], "65551 bytes exceeds"),
        (proxy_header(0x20, length=0xFFFF)[:16], "65551 bytes exceeds"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, why: str) -> None:
    with pytest.raises(BadProxyHeader, match=why):
        parse_start(data)


def test_the_largest_header_fits_its_bound_and_one_byte_more_does_not() -> None:
    rest = INET + bytes(PROXY_HEADER_BYTES_MAX - FIXED_BYTES - len(INET))
    assert read(proxy_header(rest=rest)) == IPv4Address("192.0.2.7")
    with pytest.raises(BadProxyHeader, match="exceeds"):
        parse_start(proxy_header(length=len(rest) + 1)[:16])


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=300))
@example(b"\x21\x11\x00\x0c", b"")
def test_any_bytes_behind_the_signature_are_an_address_nobody_or_the_one_error(fixed: bytes, rest: bytes) -> None:
    try:
        start = parse_start(SIGNATURE + fixed)
    except BadProxyHeader:
        return
    assert FIXED_BYTES + start.rest_bytes <= PROXY_HEADER_BYTES_MAX
    source = parse_source(start, (rest + bytes(PROXY_HEADER_BYTES_MAX))[: start.rest_bytes])
    assert isinstance(source, IPv4Address | IPv6Address | None)


@given(st.binary(min_size=FIXED_BYTES, max_size=FIXED_BYTES))
def test_any_first_bytes_are_a_header_or_the_one_error(data: bytes) -> None:
    if not data.startswith(SIGNATURE):
        with pytest.raises(BadProxyHeader):
            parse_start(data)
