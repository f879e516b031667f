"""api/page_headers.py: addresses and headers that follow from a Host header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.page_headers import host_of, security_headers, websocket_urls


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8000", "127.0.0.1"),
        ("localhost", "localhost"),
        ("chat.example.org", "chat.example.org"),
        ("[::1]:8000", "[::1]"),
        ("a", "a"),
    ],
)
def test_a_host_is_taken_without_its_port(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    "header",
    ["", ":8000", "a b", "a;script-src *", "a\r\nX: y", "a'", "-a", "a/", "user@a", "[::1", "a:123456", "a:b", "\u00e4", "a\n"],
)
def test_what_is_no_host_is_none(header: str) -> None:
    assert host_of(header) is None


@given(st.text(max_size=300))
def test_an_accepted_host_can_stand_in_a_header(header: str) -> None:
    host = host_of(header)
    if host is not None:
        assert host.isascii()
        assert not set(host) & set(" ;,'\"\r\n\t/@")


def test_addresses_keep_the_host_and_follow_the_scheme() -> None:
    assert websocket_urls("localhost", [8001, 8002], secure=False) == ["ws://localhost:8001/", "ws://localhost:8002/"]
    assert websocket_urls("[::1]", [1], secure=True) == ["wss://[::1]:1/"]


def test_the_policy_allows_our_files_and_our_gateways_only() -> None:
    policy = security_headers(["ws://localhost:8001/"])["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["connect-src"] == "'self' ws://localhost:8001"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
