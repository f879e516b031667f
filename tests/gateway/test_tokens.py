"""Connection tokens: good ones say who somebody is, and nothing else does."""

import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens import BadToken, Grant
from tests.support.tokens import AUDIENCE, ELLIPTIC, NOW_S, SECRET, base64url, claims, key_set_text, token, verifier
from wire.capabilities import Action
from wire.codes import Refusal
from wire.limits import CONNECTION_TOKEN_CHARS_MAX, TOKEN_LEEWAY_S


def verify(text: str, now_s: float = NOW_S) -> Grant | BadToken:
    return verifier().verify(text, now_s)


def refusal_of(text: str, now_s: float = NOW_S) -> Refusal:
    answer = verify(text, now_s)
    assert isinstance(answer, BadToken), answer
    assert not text or text not in answer.detail
    return answer.refusal


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
def test_a_good_token_says_who_may_do_what_until_when(algorithm: str) -> None:
    grant = verify(token(algorithm, name="Ada", caps={"town/*": "read publish"}))
    assert isinstance(grant, Grant)
    assert (grant.author, grant.name, grant.issued_s, grant.expires_s) == ("u-ada", "Ada", NOW_S - 10, NOW_S + 290)
    assert grant.may.allow(Action.PUBLISH, "town/square")
    assert not grant.may.allow(Action.READ, "city/square")


def test_without_capabilities_a_token_has_those_of_the_settings() -> None:
    grant = verify(token())
    assert isinstance(grant, Grant)
    assert grant.may.allow(Action.READ, "any/room")
    assert not grant.may.allow(Action.PUBLISH, "any/room")


def test_one_of_several_audiences_is_enough() -> None:
    assert isinstance(verify(token(aud=["elsewhere", AUDIENCE])), Grant)


def test_expired_is_another_answer_than_invalid() -> None:
    text = token()
    assert isinstance(verify(text, NOW_S + 289), Grant)
    assert refusal_of(text, NOW_S + 290) is Refusal.TOKEN_EXPIRED


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": None}, {"sub": ""}, {"sub": "a b"}, {"sub": "a\n"}, {"sub": "x" * 63}, {"sub": 7}, {"sub": "\u0430da"},
        {"iss": None}, {"iss": "https://evil.example"}, {"iss": [1]},
        {"aud": None}, {"aud": "elsewhere"}, {"aud": []}, {"aud": {"parvis": 1}},
        {"exp": None}, {"exp": "soon"}, {"exp": NOW_S + 10_000}, {"exp": 1e300}, {"exp": True},
        {"iat": None}, {"iat": NOW_S + TOKEN_LEEWAY_S + 1}, {"iat": -1}, {"nbf": NOW_S + TOKEN_LEEWAY_S + 1},
        {"name": "\u202e"}, {"name": "x" * 129}, {"caps": "read"}, {"caps": {"*": "everything"}}, {"caps": {"No Room": "read"}},
    ],
)  # fmt: skip
def test_a_claim_that_is_not_right_makes_the_token_invalid(changed: dict[str, Any]) -> None:
    assert refusal_of(token(**changed)) is Refusal.TOKEN_INVALID


def test_an_issuers_clock_may_run_ahead_a_little() -> None:
    assert isinstance(verify(token(iat=NOW_S + TOKEN_LEEWAY_S, nbf=NOW_S + TOKEN_LEEWAY_S)), Grant)


def unsigned(header: dict[str, Any]) -> str:
    return f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims()).encode())}."


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "...", "a.b.c", "\u00e9.b.c", "x" * (CONNECTION_TOKEN_CHARS_MAX + 1),
        unsigned({"alg": "none", "kid": "HS256"}),
        unsigned({"alg": "None", "kid": "ES256"}),
        unsigned({"alg": ["HS256"], "kid": "HS256"}),
        base64url(b"[" * 2500) + ".e30.e30",
        token(headers={"kid": "unknown"}),
        token(headers={"kid": "../HS256"}),
        token(headers={"kid": ""}),
        token("ES256", headers={"kid": "EdDSA"}),
        token("HS256", headers={"kid": "ES256"}),
        token(headers={"crit": ["exp"]}),
        token(headers={"jku": "https://evil.example/keys", "kid": "evil"}),
        token(key=bytes(32)),
        token("HS256") + "x",
    ],
)  # fmt: skip
def test_what_is_not_signed_by_a_known_key_with_its_own_algorithm_is_invalid(text: str) -> None:
    assert refusal_of(text) is Refusal.TOKEN_INVALID


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    public = ELLIPTIC.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = ELLIPTIC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{base64url(json.dumps({'alg': 'HS256', 'kid': 'ES256'}).encode())}.{base64url(json.dumps(claims()).encode())}"
    for secret in (public, pem, key_set_text("ES256"), SECRET):
        # By hand: PyJWT would not sign with such a secret.
        mac = hmac.digest(secret, signed.encode(), "sha256")
        assert refusal_of(f"{signed}.{base64url(mac)}") is Refusal.TOKEN_INVALID


def test_a_key_set_that_changes_changes_the_answer() -> None:
    text = token("ES256")
    assert isinstance(verifier("ES256", "HS256").verify(text, NOW_S), Grant)
    answer = verifier("HS256", "EdDSA").verify(text, NOW_S)
    assert isinstance(answer, BadToken)
    assert "not known here" in answer.detail


@given(st.text(max_size=200), st.integers(0, 10_000), st.characters())
def test_any_text_and_any_changed_token_is_refused_or_is_the_same_person(text: str, place: int, letter: str) -> None:
    assert isinstance(verify(text), BadToken)
    good = token()
    place %= len(good)
    answer = verify(good[:place] + letter + good[place + 1 :])
    # The last letter of a base64 text has bits to spare: another one may stand for the same bytes.
    assert isinstance(answer, BadToken) or answer == verify(good)


@given(st.binary(max_size=300))
def test_any_signed_bytes_give_an_answer(payload: bytes) -> None:
    text = jwt.api_jws.encode(payload, SECRET, "HS256", {"kid": "HS256"})
    assert refusal_of(text) is Refusal.TOKEN_INVALID
