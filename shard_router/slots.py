"""Which of the 4096 slots a room lies in: for ever, on every node, in every language.

The hash is blake2b, not CRC-32, although both are stable and in the standard library.  A CRC is
linear: names that differ in a known pattern (``candidate-1`` .. ``candidate-12``, or a squatter's
list) differ in a known pattern of slots, and anybody can write down names for one slot by
algebra.  With blake2b they have to be searched, 4096 tries a name.  It is not keyed, since a key
could never be changed again; a slot made hot on purpose is moved (DESIGN, section 8), and rooms
are created by policy.  Price: 0.9 us against 0.2 us, once per publish into a room without a feed.
"""

from hashlib import blake2b

from wire.limits import SLOT_COUNT
from wire.names import DESK_SUFFIX, RoomName, Slot

assert SLOT_COUNT == 1 << 12, "a slot is the first twelve bits of the hash"


def slot_of(room: RoomName) -> Slot:
    """The slot of a room: the first 12 bits of blake2b-64 over its name.

    A companion room (``ns/name!desk``) lies in its room's slot: what moderators hold back and
    what readers see change hands together, and one shard can write both.
    tests/shard_router/slot_vectors.json holds examples that may never change.
    """
    digest = blake2b(room.removesuffix(DESK_SUFFIX).encode(), digest_size=8).digest()
    return Slot(digest[0] << 4 | digest[1] >> 4)
