"""Waiting reads and writes on a transport, where every way to end is `PeerGone`.

For the edges of a connection's life (handshake, goodbye).  What is sent in between goes
through the client's outbox and never waits here.
"""

import trio

from gateway.peer import PeerGone
from runtime.streams import recv_exactly, recv_some, send_all
from runtime.transport import Transport

# Enough for any honest rest of a request or of a message; who sends more is cut off.
DISCARD_BYTES_MAX = 1024 * 1024
_DISCARD_READ_BYTES = 64 * 1024


async def read_some(transport: Transport, bytes_max: int) -> bytes:
    """Wait for at least one byte; raises `PeerGone` at the end of the stream."""
    try:
        data = await recv_some(transport, bytes_max)
    except trio.ClosedResourceError as error:
        raise PeerGone("closed on our side") from error
    except OSError as error:
        raise PeerGone(f"reading failed: {error}") from error
    if not data:
        raise PeerGone("end of stream")
    return data


async def read_exactly(transport: Transport, count: int) -> bytes:
    """Wait for `count` bytes and take none beyond them; raises `PeerGone`."""
    try:
        return await recv_exactly(transport, count)
    except trio.ClosedResourceError as error:
        raise PeerGone("closed on our side") from error
    except OSError as error:
        raise PeerGone(f"reading failed: {error}") from error


async def write_all(transport: Transport, data: bytes) -> None:
    """Send all of `data`; raises `PeerGone`.  Cancelled in the middle, the stream is over."""
    try:
        await send_all(transport, data)
    except trio.ClosedResourceError as error:
        raise PeerGone("closed on our side") from error
    except OSError as error:
        raise PeerGone(f"writing failed: {error}") from error


async def discard(transport: Transport) -> None:
    """Read and drop until the peer ends the stream or has sent DISCARD_BYTES_MAX; the caller sets a deadline."""
    left = DISCARD_BYTES_MAX
    while left > 0:
        try:
            left -= len(await read_some(transport, _DISCARD_READ_BYTES))
        except PeerGone:
            return
        await trio.lowlevel.checkpoint()
