"""Connection tokens: a JWT of the site's own accounts, checked without asking anybody.  Pure.

PyJWT and cryptography verify the signature, with the one algorithm of the key that the
token's ``kid`` names.  The claims are read here, typed and bounded, against the time that the
caller gives: audience, issuer, expiry, and a life of at most `lifetime_max_s`.

Expired, invalid and forbidden are three things (SEMANTICS, rule 8): the first is mended by a
new token, the second by nobody but the site, the third is asked room by room.
"""

from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError
from msgspec import Meta

from gateway.keys import KeySet
from wire.capabilities import Capabilities, parse_capabilities
from wire.codes import Refusal
from wire.limits import AUTHOR_ID_CHARS_MAX, CONNECTION_TOKEN_CHARS_MAX, NICKNAME_BYTES_MAX, TOKEN_LEEWAY_S
from wire.names import AuthorId
from wire.text import clean_nickname

# Before a subject, so that no account is ever taken for a guest, whose ids begin with `g-`.
_AUTHOR_PREFIX: Final = "u-"
_SUBJECT_CHARS_MAX: Final = AUTHOR_ID_CHARS_MAX - len(_AUTHOR_PREFIX)
_JWS: Final = PyJWS(["HS256", "ES256", "EdDSA"])
# What PyJWT and msgspec raise on hostile bytes; RecursionError on a header of a thousand brackets.
_READ_ERRORS: Final = (PyJWTError, msgspec.MsgspecError, RecursionError, ValueError)

_Time = Annotated[float, Meta(ge=0, le=1e11)]


class _Header(msgspec.Struct):
    """What of a header is looked at: extensions that must be understood (`crit`) are, by being refused."""

    kid: str = ""
    crit: list[str] | None = None


class _Claims(msgspec.Struct):
    """What of a token counts.  Other claims are the issuer's own business."""

    sub: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9._@:|+-]{{1,{_SUBJECT_CHARS_MAX}}}\Z")]
    iat: _Time
    exp: _Time
    iss: str
    aud: str | list[str]
    nbf: _Time = 0.0
    name: Annotated[str, Meta(max_length=NICKNAME_BYTES_MAX)] = ""
    caps: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token that is good says.  Times are seconds since 1970."""

    author: AuthorId
    name: str
    """What the account is called; "": whatever its owner says."""
    may: Capabilities
    issued_s: float
    expires_s: float


@dataclass(frozen=True, slots=True)
class BadToken:
    """Why a token is not taken; `detail` names the claim and the bound, never what is in the token."""

    refusal: Refusal
    detail: str


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token is held to; `users_may` is for tokens that carry no capabilities."""

    issuer: str
    audience: str
    lifetime_max_s: float
    users_may: Capabilities


class TokenVerifier:
    """Checks tokens against the keys that are in force now."""

    def __init__(self, keys: Callable[[], KeySet], rules: TokenRules) -> None:
        self._keys = keys
        self._rules = rules

    def verify(self, token: str, now_s: float) -> Grant | BadToken:
        """Any text gives one or the other."""
        if len(token) > CONNECTION_TOKEN_CHARS_MAX or not token.isascii():
            return BadToken(Refusal.TOKEN_INVALID, f"a token is at most {CONNECTION_TOKEN_CHARS_MAX} characters of ASCII")
        try:
            payload = self._signed_payload(token)
            claims = None if payload is None else msgspec.json.decode(payload, type=_Claims)
        except msgspec.ValidationError as error:
            # msgspec's sentence names the claim and the type or bound, never the value.
            return BadToken(Refusal.TOKEN_INVALID, str(error))
        except _READ_ERRORS:
            return BadToken(Refusal.TOKEN_INVALID, "it is no JWT of an issuer that is known here")
        if claims is None:
            return BadToken(Refusal.TOKEN_INVALID, "it is signed with a key that is not known here")
        problem = self._problem(claims, now_s)
        return problem if problem is not None else self._grant(claims)

    def _signed_payload(self, token: str) -> bytes | None:
        """What was signed; None when the key is unknown.  Raises one of _READ_ERRORS."""
        head = token.partition(".")[0]
        header = msgspec.json.decode(urlsafe_b64decode(head + "=" * (-len(head) % 4)), type=_Header)
        if header.crit is not None:
            raise ValueError("crit")
        key = self._keys().find(header.kid)
        if key is None:
            return None
        payload: bytes = _JWS.decode_complete(token, key.jwk, algorithms=[key.algorithm])["payload"]
        return payload

    def _problem(self, claims: _Claims, now_s: float) -> BadToken | None:
        rules = self._rules
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != rules.issuer:
            return BadToken(Refusal.TOKEN_INVALID, "iss names another issuer")
        if rules.audience not in audiences:
            return BadToken(Refusal.TOKEN_INVALID, "aud names another service")
        if claims.exp - claims.iat > rules.lifetime_max_s:
            return BadToken(
                Refusal.TOKEN_INVALID, f"it lives {claims.exp - claims.iat:.0f} s, and {rules.lifetime_max_s:g} are allowed"
            )
        if max(claims.iat, claims.nbf) > now_s + TOKEN_LEEWAY_S:
            return BadToken(Refusal.TOKEN_INVALID, "it begins in the future")
        if claims.exp <= now_s:
            return BadToken(Refusal.TOKEN_EXPIRED, f"{now_s - claims.exp:.0f} s ago")
        return None

    def _grant(self, claims: _Claims) -> Grant | BadToken:
        name = clean_nickname(claims.name) if claims.name else ""
        if isinstance(name, Refusal):
            return BadToken(Refusal.TOKEN_INVALID, "name cannot be shown")
        try:
            may = self._rules.users_may if claims.caps is None else parse_capabilities(claims.caps)
        except ValueError as error:
            return BadToken(Refusal.TOKEN_INVALID, f"caps: {error}")
        return Grant(AuthorId(_AUTHOR_PREFIX + claims.sub), name, may, claims.iat, claims.exp)
