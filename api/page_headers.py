"""What the page is told about the world around it: websocket addresses, and the headers that fence it in.

Both follow from the Host header of the request, since a person may reach the same server
as 127.0.0.1, as localhost or by name.  Pure.
"""

from collections.abc import Sequence

from runtime.http_headers import fence


def websocket_urls(host: str, ports: Sequence[int], *, secure: bool) -> list[str]:
    """Where the gateways are, for somebody who reached us as `host`."""
    scheme = "wss" if secure else "ws"
    return [f"{scheme}://{host}:{port}/" for port in ports]


def security_headers(urls: Sequence[str]) -> dict[str, str]:
    """The fence of our pages, with our gateways as the only sockets outside it."""
    return fence(" ".join(["'self'", *(url.removesuffix("/") for url in urls)]))
