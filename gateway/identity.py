"""Guest identities and sessions: small signed texts, so that any gateway can take a client up.

``g1.<author>.<issued>.<mac>`` names a guest, ``s1.<session>.<author>.<mac>`` one conversation
of theirs.  The mac is HMAC-SHA256 under a key that all gateways of the service share, cut to
128 bits.  Pure: time and randomness come from the caller.
"""

import hmac
from base64 import b32encode, urlsafe_b64encode
from dataclasses import dataclass
from random import Random
from typing import Final

from wire.names import AuthorId

KEY_BYTES_MIN: Final = 32
_MAC_BYTES: Final = 16
# 80 random bits: a billion guests meet by chance with a probability below one in a million.
_ID_BYTES: Final = 10
# A guest who stays away for longer is a new one: the page keeps the text no longer either.
GUEST_LIFETIME_S: Final = 90 * 86_400


@dataclass(frozen=True, slots=True)
class SessionToken:
    """Who a session belongs to, and its id."""

    session: str
    author: AuthorId


@dataclass(frozen=True, slots=True)
class GuestToken:
    """A guest, and when this text was given to it, in seconds since 1970."""

    author: AuthorId
    issued_s: float


class Identities:
    """Makes and checks the texts.  A text that does not check is treated as absent, never as an error."""

    def __init__(self, key: bytes, rng: Random) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise ValueError(f"guest key of {len(key)} bytes is shorter than {KEY_BYTES_MIN}")
        self._key = key
        self._rng = rng

    def new_author(self) -> AuthorId:
        return AuthorId(f"g-{self._random_id()}")

    def new_session(self) -> str:
        return self._random_id()

    def guest_token(self, author: AuthorId, now_s: float) -> str:
        return self._sign(f"g1.{author}.{int(now_s)}")

    def session_token(self, session: str, author: AuthorId) -> str:
        return self._sign(f"s1.{session}.{author}")

    def check_guest(self, token: str, now_s: float) -> GuestToken | None:
        """Whose it is; None when the text is not ours, was changed, or is too old."""
        fields = self._checked(token, "g1")
        if fields is None or not fields[1].isdigit():
            return None
        age = now_s - int(fields[1])
        # An hour of slack for clocks of other gateways that run ahead.
        if not -3600 <= age <= GUEST_LIFETIME_S:
            return None
        return GuestToken(AuthorId(fields[0]), float(fields[1]))

    def check_session(self, token: str) -> SessionToken | None:
        fields = self._checked(token, "s1")
        return None if fields is None else SessionToken(fields[0], AuthorId(fields[1]))

    def _checked(self, token: str, version: str) -> list[str] | None:
        """The two fields between version and mac, if the mac is right."""
        text, _, _ = token.rpartition(".")
        # At most two cuts: an account's author id may have dots of its own.
        fields = text.split(".", 2)
        if len(fields) != 3 or fields[0] != version or not token.isascii():
            return None
        return fields[1:] if hmac.compare_digest(self._sign(text), token) else None

    def _sign(self, text: str) -> str:
        mac = hmac.digest(self._key, text.encode(), "sha256")[:_MAC_BYTES]
        return f"{text}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def _random_id(self) -> str:
        return b32encode(self._rng.randbytes(_ID_BYTES)).decode().lower()
