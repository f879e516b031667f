"""runtime/http_headers.py: names of hosts, and the fence around a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.http_headers import fence, host_of


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


def test_the_fence_allows_our_files_and_the_named_connections_only() -> None:
    policy = fence("'self' ws://localhost:8001")["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["connect-src"] == "'self' ws://localhost:8001"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
