"""A page's HTTP server: Hypercorn's trio worker around an application, until it is told to drain.

The listening socket is ours and comes first: an address that is taken is a plain `OSError`
before anything else has started, and others can be told the page's origin, port 0 or not.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hypercorn.config import Config
from hypercorn.trio import serve

BACKLOG: Final = 256
# A page is a few files of some kilobytes: who has not taken them by then will ask again.
DRAIN_GRACE_S: Final = 2.0
# Hypercorn shields what it writes and gives it no deadline: without the kernel's, one reader that stops
# would keep the server from ever ending.  Accepted sockets inherit it (tcp(7), TCP_USER_TIMEOUT).
STUCK_READER_S: Final = 5.0


def listen(host: str, port: int, purpose: str = "the page") -> socket.socket:
    """A bound, listening socket; raises `OSError` with a sentence that names the address and the purpose."""
    sock: socket.socket | None = None
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK_READER_S * 1000))
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        # A resolver's error has its own numbers, and its own words.
        is_resolver = isinstance(error, socket.gaierror)
        reason = error.strerror if is_resolver else os.strerror(error.errno or errno.EINVAL)
        raise OSError(error.errno, f"cannot listen on {host}:{port} for {purpose}: {reason}") from error
    return sock


async def serve_app(app: Any, sock: socket.socket, *, wait_drain: Callable[[], Awaitable[None]]) -> None:
    """Serve an ASGI application on `sock` (from `listen`, owned from here on) until `wait_drain` returns."""
    config = Config()
    # Hypercorn takes the descriptor over and closes it.
    config.bind = [f"fd://{sock.detach()}"]
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = DRAIN_GRACE_S
    config.h11_max_incomplete_size = 16 * 1024
    await serve(app, config, shutdown_trigger=wait_drain, mode="asgi")
