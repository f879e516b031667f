"""What one client has not taken yet: the place where two speeds meet.

Holds the rest of a buffer that the kernel cut (always finished: half a frame would make
rubbish of all that follows) and the control frames queued behind it.  Room events are
never queued here: a member that lags keeps a cursor into its feed's ring.  Exists only
while a client is behind; pure state, drained by the client's flusher task.
"""

from wire.limits import OUTBOX_CONTROL_BYTES_MAX


class Outbox:
    """Invariant: ``bytes_held == len(rest) + sum of queued frames``, and what is queued <= `control_bytes_max`."""

    __slots__ = ("_control_bytes_max", "_frames", "_queued_bytes", "_rest")

    def __init__(self, rest: bytes = b"", control_bytes_max: int = OUTBOX_CONTROL_BYTES_MAX) -> None:
        self._rest = rest
        self._frames: list[bytes] = []
        self._queued_bytes = 0
        self._control_bytes_max = control_bytes_max

    @property
    def bytes_held(self) -> int:
        return len(self._rest) + self._queued_bytes

    def offer(self, frame: bytes) -> bool:
        """Queue one control frame behind the rest; False means this client is too far behind."""
        if self._queued_bytes + len(frame) > self._control_bytes_max:
            return False
        self._frames.append(frame)
        self._queued_bytes += len(frame)
        return True

    def peek(self) -> bytes:
        """All bytes that wait, in order; b"" when there are none.  Stays on the account until `took`."""
        if self._frames:
            self._rest += b"".join(self._frames)
            self._frames.clear()
            self._queued_bytes = 0
        return self._rest

    def took(self, count: int) -> None:
        """The kernel took `count` bytes of what `peek` showed."""
        assert count <= len(self._rest), "the kernel takes no more than it was offered"
        self._rest = self._rest[count:]

    def cut(self, rest: bytes) -> None:
        """The kernel took only a part of a buffer: keep what it left.  Only when nothing else waits."""
        assert not self.bytes_held, "a buffer is cut only after all before it was taken"
        self._rest = rest
