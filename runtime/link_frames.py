"""Where one link message ends and the next begins: 4 bytes of big-endian length before each.

Pure.  A recv usually holds whole messages, and these are read in place; only a message
that a recv cut is gathered in a buffer of its own, so a byte is copied once, or twice when
two cut messages share a recv.
"""

import struct

from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import LINK_FRAME_BYTES_MAX

HEADER_BYTES = 4
_LENGTH = struct.Struct("!I")
pack_length = _LENGTH.pack


def frame_length(header: bytes | bytearray | memoryview, at: int = 0, bytes_max: int = LINK_FRAME_BYTES_MAX) -> int:
    """The length that the header at `at` names; `PeerError` when it is beyond `bytes_max`."""
    length: int = _LENGTH.unpack_from(header, at)[0]
    if length > bytes_max:
        raise PeerError(CloseCode.TOO_BIG, f"link message of {length} bytes exceeds {bytes_max}")
    return length


class FrameReader:
    """Cuts a byte stream into messages; `bytes_held` is what waits for the rest of a message."""

    __slots__ = ("_cut", "_needed")

    def __init__(self) -> None:
        self._cut = bytearray()
        """The beginning of the message that the last recv cut; below LINK_FRAME_BYTES_MAX and a header."""
        self._needed = HEADER_BYTES
        """How long `_cut` must be before anything more can be said about it."""

    @property
    def bytes_held(self) -> int:
        return len(self._cut)

    def feed(self, data: bytes) -> list[memoryview]:
        """All messages that `data` completes, in order; views that keep their buffer alive.

        Raises `PeerError` as soon as a header names too great a length: nothing is gathered for it.
        """
        source: bytes | bytearray = data
        if self._cut:
            self._cut += data
            if len(self._cut) < self._needed:
                return []
            # The buffer is handed on as it is, not copied: a new one begins.
            source, self._cut = self._cut, bytearray()
        view = memoryview(source)
        end = len(source)
        at = 0
        needed = HEADER_BYTES
        frames: list[memoryview] = []
        while end - at >= HEADER_BYTES:
            needed = HEADER_BYTES + frame_length(source, at)
            if needed > end - at:
                break
            frames.append(view[at + HEADER_BYTES : at + needed])
            at += needed
            needed = HEADER_BYTES
        if at < end:
            self._cut += view[at:]
        self._needed = needed
        return frames
