"""Names of rooms and messages: what passes, and what an attacker would like to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.limits import (
    MESSAGE_ID_CHARS_MAX,
    ROOM_LOCAL_CHARS_MAX,
    ROOM_NAME_CHARS_MAX,
    ROOM_NAMESPACE_CHARS_MAX,
    ROW_KEY_BYTES_MAX,
    TABLE_NAME_CHARS_MAX,
)
from wire.names import DESK_SUFFIX, is_row_key, namespace_of, parse_message_id, parse_room, parse_table


@pytest.mark.parametrize("name", ["square/main", "a/b", "0/0", "election/c-7", "a-b_c/d.e_f-g", "a" * 32 + "/" + "b" * 64])
def test_room_names_are_kept_as_they_are(name: str) -> None:
    assert parse_room(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "square", "square/", "/main", "a/b/c", "Square/main", "square/Main", "-a/b", "a/-b", "_a/b", "a/.b", "a.b/c",
        "a b/c", "a/b ", " a/b", "a/b\n", "a/b\r\n", "a/b\x00", "a/{b}", "a/b*", "a/b?x", "a/../b", "ä/b", "a/b\u0301",
        "\uff41/b",         "a/b" + DESK_SUFFIX, "a" * 33 + "/b", "a/" + "b" * 65,
    ],
)  # fmt: skip
def test_what_is_no_room_name_is_none(name: str) -> None:
    assert parse_room(name) is None


@given(st.text())
def test_a_parsed_room_is_bounded_plain_ascii_with_one_slash(text: str) -> None:
    room = parse_room(text)
    if room is not None:
        assert room.isascii()
        assert room == text == text.lower()
        namespace, slash, local = room.partition("/")
        assert slash
        assert "/" not in local
        assert 1 <= len(namespace) <= ROOM_NAMESPACE_CHARS_MAX
        assert 1 <= len(local) <= ROOM_LOCAL_CHARS_MAX
        assert len(room) <= ROOM_NAME_CHARS_MAX


def test_the_namespace_lies_before_the_slash() -> None:
    room = parse_room("election/candidate-7")
    assert room is not None
    assert namespace_of(room) == "election"


@pytest.mark.parametrize("message_id", ["a", "A.b_c-9", "0" * MESSAGE_ID_CHARS_MAX])
def test_message_ids_are_kept_as_they_are(message_id: str) -> None:
    assert parse_message_id(message_id) == message_id


@pytest.mark.parametrize("message_id", ["", " ", "a b", "a\n", "a:b", "ä", "a/b", "0" * (MESSAGE_ID_CHARS_MAX + 1)])
def test_what_is_no_message_id_is_none(message_id: str) -> None:
    assert parse_message_id(message_id) is None


@pytest.mark.parametrize("table", ["a", "votes", "a_1", "a" * TABLE_NAME_CHARS_MAX])
def test_table_names_are_kept_as_they_are(table: str) -> None:
    assert parse_table(table) == table


@pytest.mark.parametrize("table", ["", "A", "1a", "_a", "a-b", "a b", "a\n", "a\0", "\u00e4", "a" * (TABLE_NAME_CHARS_MAX + 1)])
def test_what_is_no_table_name_is_none(table: str) -> None:
    assert parse_table(table) is None


@pytest.mark.parametrize(
    "key", ["a", " ", "12:ann", "\u00f6\U0001f600", "k" * ROW_KEY_BYTES_MAX, "\u00f6" * (ROW_KEY_BYTES_MAX // 2)]
)
def test_row_keys_are_any_text(key: str) -> None:
    assert is_row_key(key)


@pytest.mark.parametrize(
    "key", ["", "a\0", "\x01", "a\n", "\x7f", "\ud800", "k" * (ROW_KEY_BYTES_MAX + 1), "\u00f6" * (ROW_KEY_BYTES_MAX // 2 + 1)]
)
def test_what_no_store_could_take_is_no_row_key(key: str) -> None:
    assert not is_row_key(key)
