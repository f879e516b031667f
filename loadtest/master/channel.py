"""Whole typed messages between a master and one worker, over any transport, bounded.

Length-framed msgpack as on every link of ours (`runtime/link_frames.py`).  What is sent waits
in a list until `write`, the one writer, has given it to the kernel: a master never waits for a
worker, and a peer that reads nothing is cut when its bound is reached.  What arrives decodes
to one of the messages expected, or the channel is over with a `PeerError`.
"""

from typing import Final, Generic, TypeVar

import msgspec
import trio

from loadtest.figures.messages import MasterMessage, WorkerMessage
from runtime.link_frames import HEADER_BYTES, frame_length, pack_length
from runtime.streams import recv_exactly, send_all
from runtime.transport import Transport
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import LINK_FRAME_BYTES_MAX

# A beat of a busy worker is 20 kB, with what its auditors saw 200: some seconds of them fit.
WAITING_BYTES_MAX: Final = 2 * LINK_FRAME_BYTES_MAX

Said = TypeVar("Said")
Heard = TypeVar("Heard")


class Channel(Generic[Said, Heard]):
    """One end.  Invariant: what waits to be sent is at most WAITING_BYTES_MAX."""

    def __init__(self, transport: Transport, decoder: "msgspec.msgpack.Decoder[Heard]") -> None:
        self.peer = transport.peer
        self._transport = transport
        self._decoder = decoder
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._filled = trio.Event()
        self._emptied = trio.Event()
        self._is_closed = False

    async def receive(self, bytes_max: int = LINK_FRAME_BYTES_MAX) -> Heard:
        """The next message.

        Raises `PeerError` for what is none or is longer than `bytes_max`, `OSError` when the
        stream ends, `trio.ClosedResourceError` once it was closed here.
        """
        header = await recv_exactly(self._transport, HEADER_BYTES)
        payload = await recv_exactly(self._transport, frame_length(header, bytes_max=bytes_max))
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise PeerError(CloseCode.BAD_REQUEST, f"{self.peer} said what is no message: {error}") from error

    def send_nowait(self, message: Said) -> bool:
        """Queue one message; False, and nothing is queued, when it does not fit or the channel is closed."""
        payload = msgspec.msgpack.encode(message)
        size = HEADER_BYTES + len(payload)
        if self._is_closed or len(payload) > LINK_FRAME_BYTES_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            return False
        self._waiting += (pack_length(len(payload)), payload)
        self._waiting_bytes += size
        self._filled.set()
        return True

    async def write(self) -> None:
        """Send what is queued, as it comes, until cancelled; raises `OSError` or `trio.ClosedResourceError`."""
        while True:
            await self._filled.wait()
            batch = b"".join(self._waiting)
            self._waiting.clear()
            await send_all(self._transport, batch)
            self._waiting_bytes -= len(batch)
            if not self._waiting:
                self._filled = trio.Event()
                self._emptied.set()
                self._emptied = trio.Event()

    async def wait_sent(self, deadline_s: float) -> bool:
        """Until all that was queued is with the kernel, while `write` runs; False when it was not in time."""
        with trio.move_on_after(deadline_s):
            while self._waiting_bytes and not self._is_closed:
                await self._emptied.wait()
        return not self._waiting_bytes

    def close(self) -> None:
        """Let go of the stream at once; idempotent."""
        self._is_closed = True
        self._emptied.set()
        self._transport.close()


def to_worker(transport: Transport) -> Channel[MasterMessage, WorkerMessage]:
    """The master's end."""
    return Channel(transport, msgspec.msgpack.Decoder(WorkerMessage))


def to_master(transport: Transport) -> Channel[WorkerMessage, MasterMessage]:
    """A worker's end."""
    return Channel(transport, msgspec.msgpack.Decoder(MasterMessage))
