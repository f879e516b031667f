"""Waiting reads and writes on a transport, for whoever may wait.

The fan-out never does: it tries, and leaves the rest to the outbox.  Errors are the
transport's own: an `OSError`, or `trio.ClosedResourceError` when we closed it ourselves.
"""

from runtime.transport import Transport


async def recv_some(transport: Transport, bytes_max: int = 64 * 1024) -> bytes:
    """At least one byte and at most `bytes_max`; b"" at the end of the stream.  Yields only when there is nothing yet."""
    while True:
        try:
            return transport.try_recv(bytes_max)
        except BlockingIOError:
            await transport.wait_readable()


async def recv_exactly(transport: Transport, count: int) -> bytes:
    """`count` bytes, none beyond them taken; raises `ConnectionResetError` when the stream ends before."""
    data = b""
    while len(data) < count:
        chunk = await recv_some(transport, count - len(data))
        if not chunk:
            raise ConnectionResetError(f"{transport.peer} ended the stream after {len(data)} of {count} bytes")
        data += chunk
    return data


async def send_all(transport: Transport, data: bytes) -> None:
    """All of `data`.  Cancelled in the middle it leaves a cut message: the stream is over then."""
    view = memoryview(data)
    while view:
        try:
            view = view[transport.try_send(view) :]
        except BlockingIOError:
            await transport.wait_writable()
