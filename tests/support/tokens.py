"""An issuer of connection tokens for tests: keys of each kind, their JWK set, and tokens signed with them."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from gateway.keys import KeySet, parse_keys
from gateway.tokens import TokenRules, TokenVerifier
from wire.capabilities import parse_capabilities

ISSUER, AUDIENCE = "https://site.example", "parvis"
SECRET = bytes(range(32))
NOW_S = 1_800_000_000.0
ELLIPTIC = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
SIGNERS: dict[str, Any] = {"HS256": SECRET, "ES256": ELLIPTIC, "EdDSA": EDWARDS}


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(algorithm: str) -> dict[str, Any]:
    """The entry of a JWK set; its kid is the algorithm's name."""
    if algorithm == "HS256":
        return {"kty": "oct", "kid": algorithm, "alg": algorithm, "k": base64url(SECRET)}
    kind = ECAlgorithm if algorithm == "ES256" else OKPAlgorithm
    return {**json.loads(kind.to_jwk(SIGNERS[algorithm].public_key())), "kid": algorithm, "use": "sig"}


def key_set_text(*algorithms: str) -> bytes:
    return json.dumps({"keys": [jwk(algorithm) for algorithm in algorithms or SIGNERS]}).encode()


def key_set(*algorithms: str) -> KeySet:
    return parse_keys(key_set_text(*algorithms))


def claims(now_s: float = NOW_S, **changed: Any) -> dict[str, Any]:
    """Good claims of somebody called ada; a change to None takes the claim out."""
    good = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "iat": now_s - 10, "exp": now_s + 290}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def token(
    algorithm: str = "HS256", *, now_s: float = NOW_S, headers: dict[str, Any] | None = None, key: Any = None, **changed: Any
) -> str:
    """A token that is good but for what is `changed`."""
    # Below PyJWT's own checks of what is signed: an issuer may be wrong in every way.
    payload = json.dumps(claims(now_s, **changed)).encode()
    return jwt.api_jws.encode(payload, key or SIGNERS[algorithm], algorithm, {"kid": algorithm, **(headers or {})})


def verifier(*algorithms: str) -> TokenVerifier:
    keys = key_set(*algorithms)
    return TokenVerifier(lambda: keys, TokenRules(ISSUER, AUDIENCE, 600.0, parse_capabilities({"*": "read"})))
