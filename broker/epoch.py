"""Epochs: the identity of a room's log.

The first one is derived from the journal's own random name and the room's, so a room that
was never written keeps its identity over a restart without a write, and a journal that was
replaced gives other epochs.  Every later one is random: nobody can say beforehand what
another branch of the log would have been called.
"""

from base64 import b32encode
from hashlib import blake2b
from typing import Final

from wire.names import Epoch, RoomName

# 64 bits: 13 characters of base32, far below EPOCH_CHARS_MAX, and two epochs of one room
# meet by chance once in 2**32 epochs.
EPOCH_BYTES: Final = 8


def first_epoch(store_id: str, room: RoomName) -> Epoch:
    """The epoch of a room that this journal has never written."""
    hasher = blake2b(store_id.encode(), digest_size=EPOCH_BYTES, person=b"parvis-epoch")
    hasher.update(b"\x00" + room.encode())
    return epoch_of(hasher.digest())


def epoch_of(random_bytes: bytes) -> Epoch:
    """An epoch's name from `EPOCH_BYTES` of randomness: 13 lower-case letters and digits."""
    assert len(random_bytes) == EPOCH_BYTES, "an epoch is made of 64 bits"
    return Epoch(b32encode(random_bytes).decode().rstrip("=").lower())
