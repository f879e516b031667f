"""A JWK set: keys to verify with, each with one algorithm, or a plain sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys import BadKeys, parse_keys
from tests.support.tokens import ELLIPTIC, base64url, jwk, key_set, key_set_text
from wire.limits import TOKEN_KEYS_BYTES_MAX, TOKEN_KEYS_MAX


def text_of(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_each_key_has_the_algorithm_of_its_type() -> None:
    assert {kid: key.algorithm for kid, key in key_set().by_kid.items()} == {kid: kid for kid in ("HS256", "ES256", "EdDSA")}


def test_a_key_is_found_by_its_name_and_without_one_only_when_it_is_the_only_one() -> None:
    assert key_set("HS256").find("") is not None
    assert key_set("HS256", "ES256").find("") is None
    assert key_set().find("ES256") is not None
    assert key_set().find("../../etc/passwd") is None


def test_keys_for_encryption_are_left_alone() -> None:
    keys = parse_keys(text_of(jwk("ES256"), {"kty": "RSA", "use": "enc", "n": "x", "e": "AQAB"}))
    assert list(keys.by_kid) == ["ES256"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], "1 to 16 keys"),
        ([{"kid": "a"}], "key 1 is no JWK"),
        ([jwk("ES256"), {**jwk("HS256"), "kid": ""}], "key 2 has no kid"),
        ([jwk("HS256"), jwk("HS256")], "two keys are called 'HS256'"),
        ([{**jwk("HS256"), "alg": "none"}], "keys are HS256"),
        ([{**jwk("HS256"), "alg": "HS512"}], "keys are HS256"),
        ([{**jwk("ES256"), "alg": "HS256"}], "keys are HS256"),
        ([{"kty": "RSA", "kid": "r", "n": "x", "e": "AQAB"}], "is of kind 'RSA'"),
        ([{**jwk("ES256"), "crv": "P-384"}], "is of kind 'EC P-384'"),
        ([{**jwk("ES256"), "d": base64url(ELLIPTIC.private_numbers().private_value.to_bytes(32, "big"))}], "is a private key"),
        ([{**jwk("ES256"), "x": "!"}], "'ES256' cannot be read"),
        ([{"kty": "OKP", "crv": "Ed25519", "kid": "o"}], "'o' cannot be read"),
        ([{"kty": "oct", "kid": "h"}], "'h' cannot be read"),
        ([{**jwk("HS256"), "k": base64url(bytes(31))}], "has 31 bytes; a secret has 32 or more"),
        ([{**jwk("HS256"), "kid": str(number)} for number in range(TOKEN_KEYS_MAX + 1)], "this one has 17"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused_with_the_reason(keys: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(BadKeys, match=sentence) as caught:
        parse_keys(text_of(*keys))
    assert all(str(key.get("k")) not in str(caught.value) for key in keys if key.get("k")), "a secret is never told"


def test_a_file_that_is_no_key_set_is_told_what_one_is() -> None:
    for text in (b"", b"-----BEGIN PUBLIC KEY-----", b'{"keys": 1}', b"[" * 5000, b"\xff"):
        with pytest.raises(BadKeys, match="a key set is JSON"):
            parse_keys(text)
    with pytest.raises(BadKeys, match="exceeds"):
        parse_keys(key_set_text() + b" " * TOKEN_KEYS_BYTES_MAX)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_any_bytes_are_a_set_or_the_one_declared_error(given_value: Any) -> None:
    text = given_value if isinstance(given_value, bytes) else json.dumps({"keys": given_value}).encode()
    with pytest.raises(BadKeys):
        parse_keys(text)
