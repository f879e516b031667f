"""A transport as a trio stream: what the Python client needs to live on the simulated network."""

from urllib.parse import urlsplit

import trio

from client.connection import Dial
from runtime.streams import recv_some, send_all
from runtime.transport import Network, Transport


class TransportStream(trio.abc.Stream):
    """See the module."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._is_closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        try:
            await send_all(self._transport, bytes(data))
        except OSError as error:
            self._raise(error)

    async def wait_send_all_might_not_block(self) -> None:
        await self._transport.wait_writable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        try:
            return await recv_some(self._transport, max_bytes or 64 * 1024)
        except OSError as error:
            self._raise(error)
            raise

    def _raise(self, error: OSError) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError("this stream was closed") from error
        raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self) -> None:
        self._is_closed = True
        self._transport.close()
        await trio.lowlevel.checkpoint()


def dialer(network: Network) -> Dial:
    """`client.connection.dial` over another network."""

    async def dial(url: str) -> trio.abc.Stream:
        parts = urlsplit(url)
        return TransportStream(await network.connect(parts.hostname or "", parts.port or 80))

    return dial
