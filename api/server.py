"""The page's HTTP server: Hypercorn's trio worker around the application, until the program drains.

The listening socket is ours and comes first: an address that is taken is a plain `OSError`
before anything else has started, and the gateways can be told the page's origin, port 0 or not.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence

from hypercorn.config import Config
from hypercorn.trio import serve

from api.app import make_app

BACKLOG = 256
# A page is a few files of some kilobytes: who has not taken them by then will ask again.
DRAIN_GRACE_S = 2.0


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket; raises `OSError` with a sentence that names the address."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno or errno.EINVAL)
        raise OSError(error.errno, f"cannot listen on {host}:{port} for the page: {reason}") from error
    return sock


async def run_api(sock: socket.socket, gateway_ports: Sequence[int], *, wait_drain: Callable[[], Awaitable[None]]) -> None:
    """Serve the page on `sock` (from `listen`, owned from here on) until `wait_drain` returns."""
    config = Config()
    # Hypercorn takes the descriptor over and closes it.
    config.bind = [f"fd://{sock.detach()}"]
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = DRAIN_GRACE_S
    config.h11_max_incomplete_size = 16 * 1024
    # An ASGI application is a function of scope, receive and send; FastAPI's class is typed more narrowly than that.
    await serve(make_app(gateway_ports), config, shutdown_trigger=wait_drain, mode="asgi")  # type: ignore[arg-type]
