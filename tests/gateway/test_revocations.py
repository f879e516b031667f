"""Revocations: void is exactly what was issued before, for as long as it could live."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.revocations import Revocation, Revocations, parse_revocation, revocation_text
from wire.limits import REVOCATIONS_MAX
from wire.names import AuthorId

ADA, BOB = AuthorId("u-ada"), AuthorId("u-bob")


def made(*revocations: Revocation, at: float = 1000.0) -> Revocations:
    table = Revocations(625.0)
    for each in revocations:
        table.add(each, at)
    return table


def test_what_somebody_was_given_before_is_void_and_a_newer_token_is_not() -> None:
    table = made(Revocation(author=ADA, before=900.0))
    assert table.concern(ADA, "s", 899.9)
    assert not table.concern(ADA, "s", 900.0)
    assert not table.concern(BOB, "s", 0.0)


def test_without_a_time_it_is_the_moment_of_publishing() -> None:
    table = made(Revocation(session="s"), at=1000.0)
    assert table.concern(ADA, "s", 999.0)
    assert not table.concern(ADA, "s", 1000.0)
    assert not table.concern(ADA, "t", 999.0)


def test_a_time_to_come_is_the_moment_of_publishing() -> None:
    assert not made(Revocation(author=ADA, before=5000.0), at=1000.0).concern(ADA, "s", 1000.0)


def test_naming_nobody_means_everybody() -> None:
    table = made(Revocation(before=500.0))
    assert table.concern(ADA, "s", 499.0)
    assert table.concern(BOB, "t", 499.0)
    assert not table.concern(BOB, "t", 500.0)


def test_an_earlier_time_does_not_undo_a_later_one() -> None:
    table = made(Revocation(author=ADA, before=900.0), Revocation(author=ADA, before=100.0))
    assert table.concern(ADA, "s", 899.0)


def test_it_is_forgotten_when_nothing_it_concerns_can_live_any_more() -> None:
    table = made(Revocation(author=ADA))
    table.add(Revocation(author=BOB), 1500.0)
    table.forget(1625.0)
    assert len(table) == 2
    table.forget(1626.0)
    assert len(table) == 1
    assert table.concern(BOB, "s", 1400.0)


def test_too_many_are_widened_never_dropped() -> None:
    table = made(*(Revocation(author=f"u-{number}", before=900.0) for number in range(REVOCATIONS_MAX + 1)))
    assert len(table) == REVOCATIONS_MAX
    assert table.concern(AuthorId("u-0"), "s", 899.0)
    assert table.concern(AuthorId(f"u-{REVOCATIONS_MAX}"), "s", 899.0)


@given(st.text(max_size=100))
def test_any_text_is_a_revocation_or_nothing(text: str) -> None:
    parsed = parse_revocation(text)
    assert parsed is None or parse_revocation(revocation_text(parsed)) == parsed


def test_a_text_is_read_as_it_was_written() -> None:
    revocation = Revocation(author=ADA, before=12.5)
    assert parse_revocation(revocation_text(revocation)) == revocation
    assert parse_revocation('{"author": "u-a", "what": 1}') is None
