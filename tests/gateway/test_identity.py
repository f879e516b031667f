"""Guest and session texts: ours, unchanged and fresh, or nothing."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity import GUEST_LIFETIME_S, GuestToken, Identities
from wire.names import AuthorId

KEY = bytes(range(32))


def make(key: bytes = KEY) -> Identities:
    return Identities(key, Random(1))


def test_a_guest_text_names_its_author_at_every_gateway_with_the_key() -> None:
    author = make().new_author()
    assert make().check_guest(make().guest_token(author, 1000.0), 1500.0) == GuestToken(author, 1000.0)


def test_a_guest_text_of_another_key_is_nothing() -> None:
    token = make(bytes(32)).guest_token(make().new_author(), 0.0)
    assert make().check_guest(token, 0.0) is None


def test_a_guest_text_ends_and_does_not_begin_in_the_future() -> None:
    token = make().guest_token(make().new_author(), 10_000.0)
    assert make().check_guest(token, 10_000.0 + GUEST_LIFETIME_S + 1) is None
    assert make().check_guest(token, 10_000.0 - 3601) is None


def test_a_session_text_is_no_guest_text() -> None:
    identities = make()
    token = identities.session_token("abc", identities.new_author())
    assert identities.check_guest(token, 0.0) is None
    checked = identities.check_session(token)
    assert checked is not None
    assert checked.session == "abc"


def test_an_accounts_id_may_have_dots_of_its_own() -> None:
    identities, author = make(), AuthorId("u-a.b|c@example.org")
    checked = identities.check_session(identities.session_token("abc", author))
    assert checked is not None
    assert (checked.session, checked.author) == ("abc", author)


@given(st.text(max_size=120), st.integers(0, 200))
def test_any_text_and_any_changed_text_is_nothing(text: str, place: int) -> None:
    identities = make()
    assert identities.check_guest(text, 0.0) is None
    assert identities.check_session(text) is None
    token = identities.guest_token(identities.new_author(), 0.0)
    changed = token[: place % len(token)] + "!" + token[place % len(token) + 1 :]
    assert identities.check_guest(changed, 0.0) is None


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than 32"):
        Identities(b"short", Random(1))
