"""Cleaning of texts and nicknames: what is kept, removed, refused, and the laws that hold for any input."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codes import Refusal
from wire.limits import (
    NICKNAME_BYTES_MAX,
    NICKNAME_GRAPHEMES_MAX,
    TEXT_BYTES_MAX,
    TEXT_COMBINING_MARKS_MAX,
    TEXT_GRAPHEMES_MAX,
    TEXT_LINE_BREAKS_MAX,
)
from wire.text import JOINED_PARTS_MAX, clean_nickname, clean_text, count_graphemes

FAMILY = "\U0001f469\U0001f3fb\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f469\U0001f3fb"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"

# Characters between which the rules interact, so that random texts are made of trouble.
TROUBLE = st.text(
    alphabet="a Z\n\r\t\x00\x1b\x85\u00a0\u00ad\u0301\u0308\u034f\u0338\u093c\u094d\u0915\u0958\u0645\u06cc"
    "\u200b\u200c\u200d\u200e\u2028\u202e\u2066\u2069\u2764\ufe0f\ufeff\u2800\u3164\uffa0\u115f\u00a8\ufdfa\u2adc\u212b\uff21\ue000\ufdd0\ud800\udfff"
    "\u2714\U0001f469\U0001f3fb\U0001f1e9\U0001f1ea\U0001f3f4\U000e0067\U000e007f\U0010ffff\U000e0100",
    max_size=24,
)
ANY_TEXT = st.one_of(TROUBLE, st.text(), st.text(alphabet=st.characters()))


@given(ANY_TEXT)
def test_cleaning_a_text_answers_within_bounds_and_is_idempotent(text: str) -> None:
    cleaned = clean_text(text)
    if isinstance(cleaned, Refusal):
        assert cleaned in {Refusal.BAD_TEXT, Refusal.TOO_LARGE}
        return
    assert clean_text(cleaned) == cleaned
    assert cleaned == cleaned.strip()
    assert unicodedata.is_normalized("NFC", cleaned)
    assert len(cleaned.encode()) <= TEXT_BYTES_MAX
    assert 1 <= count_graphemes(cleaned) <= TEXT_GRAPHEMES_MAX
    assert cleaned.count("\n") <= TEXT_LINE_BREAKS_MAX
    controls = {char for char in cleaned if unicodedata.category(char) in {"Cc", "Cs", "Co"}}
    assert controls <= {"\n"}


@given(ANY_TEXT)
def test_cleaning_a_name_answers_within_bounds_and_is_idempotent(name: str) -> None:
    cleaned = clean_nickname(name)
    if isinstance(cleaned, Refusal):
        assert cleaned is Refusal.BAD_NAME
        return
    assert clean_nickname(cleaned) == cleaned
    assert unicodedata.is_normalized("NFKC", cleaned)
    assert len(cleaned.encode()) <= NICKNAME_BYTES_MAX
    assert 1 <= count_graphemes(cleaned) <= NICKNAME_GRAPHEMES_MAX
    assert not {char for char in cleaned if unicodedata.category(char) in {"Cc", "Cs", "Co"}}


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=TEXT_GRAPHEMES_MAX))
def test_plain_ascii_is_kept_as_it_is(text: str) -> None:
    assert clean_text(text) == (text.strip() or Refusal.BAD_TEXT)


@pytest.mark.parametrize(
    "kept", ["hello", "Grüße", PERSIAN, FAMILY, SCOTLAND, "한국어", "हिन्दी", "a\nb", "\U0001fae8", "x\u0323\u0302"]
)
def test_what_carries_meaning_is_kept(kept: str) -> None:
    assert clean_text(kept) == unicodedata.normalize("NFC", kept)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\u2066a\u2069", "a"),
        ("vo\u200bte", "vote"),
        ("vo\u200dte", "vote"),
        ("\ufeffa\x00b\x1b[31mc\x9bd", "ab[31mcd"),
        ("a\r\nb\rc\u2028d\x85e", "a\nb\nc\nd\ne"),
        ("a\tb", "a b"),
        ("e\u0301", "\u00e9"),
        ("hid\U000e0068\U000e0069den", "hidden"),
        ("\ue000logo\uf8ff", "logo"),
        ("  spaces  ", "spaces"),
    ],
)
def test_what_nobody_sees_is_removed(written: str, shown: str) -> None:
    assert clean_text(written) == shown


@pytest.mark.parametrize(
    "empty", ["", "   ", "\n", "\u200b", "\u2800\u2800", "\u3164", "\uffa0", "\u200d\u200d", "\ufe0f", "\u0301", "\u115f\u1160"]
)
def test_what_shows_nothing_is_refused(empty: str) -> None:
    assert clean_text(empty) is Refusal.BAD_TEXT
    assert clean_nickname(empty) is Refusal.BAD_NAME


def test_a_lone_surrogate_is_refused() -> None:
    assert clean_text("a\ud800") is Refusal.BAD_TEXT
    assert clean_nickname("a\udfff") is Refusal.BAD_NAME


@pytest.mark.parametrize("unit", ["a", "é", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "e\u0323\u0302"])
def test_the_bound_counts_graphemes_not_characters(unit: str) -> None:
    assert isinstance(clean_text(unit * TEXT_GRAPHEMES_MAX), str)
    assert clean_text(unit * (TEXT_GRAPHEMES_MAX + 1)) is Refusal.TOO_LARGE


def test_a_text_of_too_many_bytes_is_refused_before_any_work() -> None:
    assert clean_text("\u200b" * (TEXT_BYTES_MAX + 1)) is Refusal.TOO_LARGE
    assert clean_text(FAMILY * 300) is Refusal.TOO_LARGE


def test_a_text_that_grows_beyond_the_bytes_when_composed_is_refused() -> None:
    # U+0958 is two characters of three bytes each in NFC.
    assert clean_text("\u0958" * (TEXT_BYTES_MAX // 5)) is Refusal.TOO_LARGE


def test_a_chain_of_joined_emoji_is_counted_in_parts() -> None:
    woman = "\U0001f469"
    assert count_graphemes("\u200d".join([woman] * JOINED_PARTS_MAX)) == 1
    assert count_graphemes("\u200d".join([woman] * (JOINED_PARTS_MAX + 1))) == 2
    assert clean_text("\u200d".join([woman] * 1000)) is not None
    assert count_graphemes("\u200d".join([woman] * 1000)) == 1000 // JOINED_PARTS_MAX


def test_loose_skin_tones_are_counted() -> None:
    assert count_graphemes("\U0001f44d" + "\U0001f3fd" * 5) == 5
    assert count_graphemes("\U0001f3fd") == 1


def test_a_tower_of_marks_is_refused() -> None:
    base = "q"
    assert clean_text(base + "\u0301" * TEXT_COMBINING_MARKS_MAX) == base + "\u0301" * TEXT_COMBINING_MARKS_MAX
    assert clean_text(base + "\u0301" * (TEXT_COMBINING_MARKS_MAX + 1)) is Refusal.BAD_TEXT
    assert clean_nickname(base + "\u0301" * (TEXT_COMBINING_MARKS_MAX + 1)) is Refusal.BAD_NAME


def test_a_wall_of_lines_is_refused() -> None:
    assert isinstance(clean_text("a" + "\nb" * TEXT_LINE_BREAKS_MAX), str)
    assert clean_text("a" + "\nb" * (TEXT_LINE_BREAKS_MAX + 1)) is Refusal.BAD_TEXT


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\uff21\uff4e\uff4e\uff41", "Anna"),
        ("\U0001d504nna", "Anna"),
        ("\ufb01n", "fin"),
        ("An\u200dna", "Anna"),
        ("\u202eannA", "annA"),
        ("Anna\n of\t Bonn ", "Anna of Bonn"),
    ],
)
def test_names_are_brought_to_their_plain_form(given: str, shown: str) -> None:
    assert clean_nickname(given) == shown


@pytest.mark.parametrize("name", ["Anna \u2713", "\u2705 Mayor", "x\u2611\ufe0f"])
def test_a_name_with_a_check_mark_is_refused(name: str) -> None:
    assert clean_nickname(name) is Refusal.BAD_NAME


def test_a_name_is_bounded_in_graphemes_and_bytes() -> None:
    assert clean_nickname("a" * NICKNAME_GRAPHEMES_MAX) == "a" * NICKNAME_GRAPHEMES_MAX
    assert clean_nickname("a" * (NICKNAME_GRAPHEMES_MAX + 1)) is Refusal.BAD_NAME
    assert clean_nickname(FAMILY * 6) is Refusal.BAD_NAME
    assert clean_nickname("a" * (NICKNAME_BYTES_MAX + 1)) is Refusal.BAD_NAME
