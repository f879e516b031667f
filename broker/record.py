"""The record: a room's log as a verifiable chain of versioned envelopes.

``digest = H(salt, author, id, body)`` and
``chain(n) = H(chain(n-1), epoch, offset, time, kind, digest)``: two blake2b an event.  Salt,
author, id and body lie beside the envelope and are erased together, so a removal leaves a
tombstone with its reason and the chain still holds; the 16 random bytes of salt keep a
short text from being guessed from its digest.  Pure: salt and time come from the caller.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from wire.names import Epoch

RECORD_VERSION: Final = 1
CHAIN_BYTES: Final = 16
DIGEST_BYTES: Final = 16
SALT_BYTES: Final = 16
CHAIN_START: Final = bytes(CHAIN_BYTES)
CHAIN_PREFIX_BYTES: Final = 8
EPOCH_KIND: Final = "epoch"
"""The kind of the event that begins every log but the first: it names the one before."""


class Body(msgspec.Struct, array_like=True, frozen=True):
    """What a person wrote, and the name they wrote it under; `target` is the offset an edit or delete speaks of."""

    name: str
    text: str = ""
    target: int = 0


pack_body: Final = msgspec.msgpack.Encoder().encode
"""A body as an entry holds it."""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One event as the journal keeps it.

    `kind` is ``message``, ``edit``, ``delete`` or ``epoch``; `at` is milliseconds since 1970.
    After an erasure `salt`, `author`, `id` and `body` are empty and `removed` says why;
    `target` of an erased edit is kept in `target`, since it names nobody.
    """

    offset: int
    at: int
    kind: str
    digest: bytes
    salt: bytes
    author: str
    id: str
    body: bytes
    target: int = 0
    removed: str = ""

    def erased(self, reason: str) -> "Entry":
        """The tombstone that takes this entry's place."""
        return msgspec.structs.replace(self, salt=b"", author="", id="", body=b"", removed=reason)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a room's log ends: the identity of the log, the last offset (0: none yet), its chain and time."""

    epoch: Epoch
    offset: int
    chain: bytes
    at: int


def digest_of(salt: bytes, author: str, message_id: str, body: bytes) -> bytes:
    """What the chain knows of an event's content.  Each part is preceded by its length, so parts cannot slide."""
    hasher = blake2b(digest_size=DIGEST_BYTES)
    for part in (salt, author.encode(), message_id.encode(), body):
        hasher.update(len(part).to_bytes(4, "big") + part)
    return hasher.digest()


def chain_after(chain: bytes, epoch: Epoch, offset: int, at: int, kind: str, digest: bytes) -> bytes:
    """The chain at `offset`, given the chain before it."""
    epoch_bytes, kind_bytes = epoch.encode(), kind.encode()
    return blake2b(
        b"".join((
            chain, bytes((RECORD_VERSION, len(epoch_bytes), len(kind_bytes))), epoch_bytes, kind_bytes,
            offset.to_bytes(8, "big"), at.to_bytes(8, "big"), digest,
        )),
        digest_size=CHAIN_BYTES,
    ).digest()
