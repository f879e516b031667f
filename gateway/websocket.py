"""The reading side of one open websocket, and the frames with which it is answered.

One task per connection calls `receive`; pings are answered on the way through the
injected `push`, which never waits.  A client that floods does not starve others: after
WORK_BETWEEN_CHECKPOINTS frames or reads without a wait the task steps back.
"""

import struct
from collections.abc import Callable

import trio
from wsproto.events import CloseConnection, Ping

from gateway.inbound import ControlFrame, InboundFrames
from gateway.peer import PeerClosed, PeerGone
from gateway.plain_frames import take_plain_messages
from gateway.streams import discard
from runtime.transport import Transport
from wire.client_codec import Form
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import OPCODE_CLOSE, OPCODE_PONG, frame
from wire.limits import CLIENT_FRAME_BYTES_MAX, CLOSE_REASON_BYTES_MAX, CONTROL_FRAMES_PER_S_MAX

# One recv: a message of usual size fits whole, and a bytes object of 16 KiB still comes from
# the allocator's free lists instead of fresh pages.
READ_BYTES = 16 * 1024

# A message costs some 12 us here and up to 50 us in the session: at most 1 ms between two checkpoints.
WORK_BETWEEN_CHECKPOINTS = 16
# A message that had to be parsed counts once more for so many bytes: 4 KiB inflate and decode in some 12 us, and
# a frame of 70 bytes can be 64 KiB.
_BYTES_OF_WORK = 4096
# Where compression was agreed on, what is read counts by its size too: tables of codes for next to no text,
# the dearest bytes that deflate knows, cost 0.02 us each, 0.3 ms for READ_BYTES.
_DEFLATED_BYTES_OF_WORK = READ_BYTES // WORK_BETWEEN_CHECKPOINTS

__all__ = ["PeerClosed", "PeerGone", "WebSocketReader", "close_frame"]

_NO_STATUS = 1005
"""What an empty close frame means; never sent (RFC 6455, 7.4.1)."""


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to 123 bytes of UTF-8 at a character's boundary."""
    cut = reason.encode("utf-8", "replace")[:CLOSE_REASON_BYTES_MAX].decode("utf-8", "ignore")
    return frame(OPCODE_CLOSE, struct.pack("!H", code) + cut.encode())


_EMPTY_CLOSE_FRAME = frame(OPCODE_CLOSE, b"")


class WebSocketReader:
    """Reads one client's messages.  Between two messages it holds no parser (gateway/inbound.py).

    Messages in plain frames need none (gateway/plain_frames.py): they wait in `_plain`, before
    whatever the parser has.
    """

    __slots__ = (
        "_control_frames",
        "_control_since",
        "_deflates",
        "_form",
        "_frame_bytes_max",
        "_frames",
        "_is_broken",
        "_is_deaf",
        "_is_dry",
        "_plain",
        "_push",
        "_transport",
        "_work",
    )

    def __init__(
        self,
        transport: Transport,
        form: Form,
        leftover: bytes = b"",
        *,
        push: Callable[[bytes], object],
        frame_bytes_max: int = CLIENT_FRAME_BYTES_MAX,
        deflates: bool = False,
    ) -> None:
        """`leftover` is what came behind the handshake; `push` takes a whole frame and never waits.

        `frame_bytes_max` bounds a whole message, in however many fragments it comes and whatever it
        inflates from; `deflates` says that the handshake agreed on compression.
        """
        self._transport = transport
        self._form = form
        self._push = push
        self._frame_bytes_max = frame_bytes_max
        self._deflates = deflates
        self._frames: InboundFrames | None = None
        self._plain: list[bytes] | None = None
        """Of the last read, newest first: at most READ_BYTES, or None."""
        self._work = 0
        self._control_frames = 0
        self._control_since = 0.0
        self._is_deaf = False
        """Our close frame is out: nothing may be sent behind it."""
        self._is_dry = False
        """The last read took all that the kernel had."""
        self._is_broken = False
        """The peer's frames make no sense any more."""
        if leftover:
            self._feed(leftover)

    async def receive(self) -> bytes:
        """The next whole message's payload, UTF-8 or binary as the form has it.

        Raises `PeerClosed` after the peer's close frame was echoed, `PeerGone` at the end of
        the stream, `PeerError` for what breaks the protocol or a bound; nothing may be read
        after any of them but `wait_closed`.  Cancelled, it loses no message.
        """
        assert not self._is_broken, "nothing is received after a broken protocol"
        while True:
            # Before a message is taken, so that a cancellation here loses none.
            if self._work >= WORK_BETWEEN_CHECKPOINTS:
                self._work = 0
                await trio.lowlevel.checkpoint()
            event = self._next_event()
            if isinstance(event, bytes):
                return event
            if event is not None:
                self._answer(event)
            elif not self._read():
                self._work = 0
                # Here, and not in a method of its own or inside an `except`: what is alive at
                # this await is alive for as long as a connection is idle, a coroutine (0.2 KiB)
                # as well as a handled exception with its traceback (0.5 KiB).
                try:
                    await self._transport.wait_readable()
                except trio.ClosedResourceError as error:
                    raise PeerGone("closed on our side") from error

    async def wait_closed(self) -> None:
        """After our own close frame: drop what still comes until the peer's close frame or its end of stream.

        Without it the socket would be closed over unread bytes, and the reset could overtake
        the close frame: the client would see 1006.  The caller sets the deadline (CLOSE_GRACE_S).
        """
        self._is_deaf = True
        try:
            while not self._is_broken:
                await self.receive()
        except (PeerClosed, PeerGone):
            return
        except PeerError:
            # It broke the protocol on its way out as well, and has had its close frame.
            pass
        await discard(self._transport)

    def _next_event(self) -> bytes | ControlFrame | None:
        if self._plain is not None:
            self._work += 1
            message = self._plain.pop()
            if not self._plain:
                self._plain = None
            return message
        if self._frames is None:
            return None
        try:
            event = self._frames.next_event()
        except PeerError:
            self._is_broken = True
            self._frames = None
            raise
        if event is not None:
            self._work += 1 + (len(event) // _BYTES_OF_WORK if isinstance(event, bytes) else 0)
        return event

    def _read(self) -> bool:
        """Take what the kernel has; False when it has nothing now."""
        if self._frames is not None and self._frames.is_at_rest:
            self._frames = None
        if self._is_dry:
            self._is_dry = False
            return False
        self._work += 1
        try:
            data = self._transport.try_recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            raise PeerGone(f"reading failed: {error}") from error
        if not data:
            raise PeerGone("end of stream")
        # Less than was asked for is all there was: to ask again would be a system call and an
        # exception for nothing, 3 us of a lone message's 30.
        self._is_dry = len(data) < READ_BYTES
        if self._deflates:
            self._work += len(data) // _DEFLATED_BYTES_OF_WORK
        self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        if self._frames is None:
            messages, used = take_plain_messages(data, self._form, self._frame_bytes_max)
            if messages:
                messages.reverse()
                self._plain = messages
            if used == len(data):
                return
            data = data[used:]
            self._frames = InboundFrames(self._form, self._frame_bytes_max, deflates=self._deflates)
        self._frames.feed(data)

    def _answer(self, control: ControlFrame) -> None:
        """Answer a ping, take a pong, echo a close and raise `PeerClosed`."""
        if isinstance(control, CloseConnection):
            code = int(control.code)
            if not self._is_deaf:
                # The reason is a text of the peer's and is not sent back.
                self._push(_EMPTY_CLOSE_FRAME if code == _NO_STATUS else close_frame(code))
            raise PeerClosed(code)
        self._count_control_frame()
        if isinstance(control, Ping) and not self._is_deaf:
            self._push(frame(OPCODE_PONG, bytes(control.payload)))

    def _count_control_frame(self) -> None:
        """Hold pings and pongs to CONTROL_FRAMES_PER_S_MAX, counted over whole seconds."""
        now = trio.current_time()
        if now - self._control_since >= 1.0:
            self._control_since = now
            self._control_frames = 0
        self._control_frames += 1
        if self._control_frames > CONTROL_FRAMES_PER_S_MAX:
            self._is_broken = True
            raise PeerError(CloseCode.PROTOCOL, f"more than {CONTROL_FRAMES_PER_S_MAX} control frames a second")
