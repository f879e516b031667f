"""api/page_headers.py: what follows from the name by which the page was asked."""

from api.page_headers import security_headers, websocket_urls


def test_addresses_keep_the_host_and_follow_the_scheme() -> None:
    assert websocket_urls("localhost", [8001, 8002], secure=False) == ["ws://localhost:8001/", "ws://localhost:8002/"]
    assert websocket_urls("[::1]", [1], secure=True) == ["wss://[::1]:1/"]


def test_the_policy_allows_sockets_to_our_gateways_only() -> None:
    policy = security_headers(["ws://localhost:8001/", "ws://localhost:8002/"])["Content-Security-Policy"]
    assert "connect-src 'self' ws://localhost:8001 ws://localhost:8002;" in policy
