"""The keys that sign connection tokens: a JWK set (RFC 7517), read strictly.  Pure.

Every key has a name (``kid``) and exactly one algorithm, which follows from its type and not
from what a token says: an ES256 public key can never be used as an HS256 secret, and ``none``
is nobody's algorithm.  A key is found by its name in this fixed table; nothing in a token's
header is ever a path, an address or a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from jwt.api_jwk import PyJWK
from jwt.exceptions import PyJWTError

from wire.limits import TOKEN_KEYS_BYTES_MAX, TOKEN_KEYS_MAX

# RFC 7518, 3.2: a shorter secret can be guessed from one token.
_SECRET_BYTES_MIN: Final = 32
_ALGORITHMS: Final = {("oct", ""): "HS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


class BadKeys(Exception):
    """The text is no set of keys that can be used; the message says which key, and never what is in it."""


class _Entry(msgspec.Struct):
    """The members of a JWK that are looked at here; PyJWT reads the key itself."""

    kty: str
    kid: str = ""
    alg: str = ""
    use: str = ""
    crv: str = ""
    d: str = ""


class _Set(msgspec.Struct):
    keys: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Key:
    """One key and the only algorithm it is used with."""

    kid: str
    algorithm: str
    jwk: PyJWK


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that are in force, by name: two during a rotation, the old one until its last token has ended."""

    by_kid: Mapping[str, Key]

    def find(self, kid: str) -> Key | None:
        """The key of that name; without a name, the only key there is."""
        if kid:
            return self.by_kid.get(kid)
        return next(iter(self.by_kid.values())) if len(self.by_kid) == 1 else None


def parse_keys(text: bytes) -> KeySet:
    """Read a JWK set; raises `BadKeys` for one that holds anything but keys to verify with."""
    if len(text) > TOKEN_KEYS_BYTES_MAX:
        raise BadKeys(f"a key set of {len(text)} bytes exceeds {TOKEN_KEYS_BYTES_MAX}")
    try:
        members = msgspec.json.decode(text, type=_Set).keys
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        # Not msgspec's sentence alone: who mistook a PEM file for a JWK set is told what is wanted.
        raise BadKeys('a key set is JSON as in {"keys": [{"kty": ..., "kid": ...}]}') from error
    keys: dict[str, Key] = {}
    for place, member in enumerate(members, 1):
        key = _parse_key(place, member)
        if key is None:
            continue
        if key.kid in keys:
            raise BadKeys(f"two keys are called {key.kid!r}")
        keys[key.kid] = key
    if not 1 <= len(keys) <= TOKEN_KEYS_MAX:
        raise BadKeys(f"a key set has 1 to {TOKEN_KEYS_MAX} keys that sign, and this one has {len(keys)}")
    return KeySet(keys)


def _parse_key(place: int, member: dict[str, object]) -> Key | None:
    """One key; None for one that is not for signatures."""
    try:
        entry = msgspec.convert(member, _Entry)
    except msgspec.ValidationError as error:
        raise BadKeys(f"key {place} is no JWK: {error}") from error
    if entry.use not in ("", "sig"):
        return None
    if not entry.kid:
        raise BadKeys(f"key {place} has no kid: tokens name their key by it")
    algorithm = _ALGORITHMS.get((entry.kty, entry.crv))
    if algorithm is None or entry.alg not in ("", algorithm):
        kind = " ".join(word for word in (entry.kty, entry.crv, entry.alg) if word)
        raise BadKeys(f"key {entry.kid!r} is of kind {kind!r}; keys are HS256 (oct), ES256 (EC P-256) or EdDSA (OKP Ed25519)")
    if entry.d:
        raise BadKeys(f"key {entry.kid!r} is a private key: a gateway is given public ones")
    try:
        jwk = PyJWK(member, algorithm)
    except (PyJWTError, KeyError, TypeError, ValueError) as error:
        raise BadKeys(f"key {entry.kid!r} cannot be read") from error
    if algorithm == "HS256" and len(jwk.key) < _SECRET_BYTES_MIN:
        raise BadKeys(f"key {entry.kid!r} has {len(jwk.key)} bytes; a secret has {_SECRET_BYTES_MIN} or more")
    return Key(entry.kid, algorithm, jwk)
