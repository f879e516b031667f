"""The page's HTTP server, until the program drains."""

import socket
from collections.abc import Awaitable, Callable, Sequence

from api.app import make_app
from runtime.http_server import serve_app


async def run_api(
    sock: socket.socket, gateway_ports: Sequence[int], *, scheme: str = "ws", wait_drain: Callable[[], Awaitable[None]]
) -> None:
    """Serve the page on `sock` (from `runtime.http_server.listen`, owned from here on) until `wait_drain` returns.

    `scheme` is the gateways': ``wss`` where they speak TLS themselves.  The page's own port speaks plain HTTP.
    """
    await serve_app(make_app(gateway_ports, scheme), sock, wait_drain=wait_drain)
