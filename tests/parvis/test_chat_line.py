"""A line being typed: keys in, whole lines and a view that fits out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from parvis.chat_line import LINE_CHARS_MAX, REMEMBERED_LINES_MAX, Key, LineEditor


def typed(*keys: bytes) -> LineEditor:
    editor = LineEditor()
    for key in keys:
        editor.feed(key)
    return editor


def test_enter_gives_the_line_and_begins_another() -> None:
    editor = LineEditor()
    assert editor.feed(b"hello\rworld\n\r") == ["hello", "world", ""]
    assert editor.text == ""


def test_characters_may_arrive_in_pieces() -> None:
    editor = LineEditor()
    for byte in "héé👩‍🚀".encode():
        editor.feed(bytes((byte,)))
    assert editor.feed(b"\r") == ["héé👩‍🚀"]


@pytest.mark.parametrize(
    ("keys", "text", "column"),
    [
        (b"abc\x1b[D\x1b[Dx", "axbc", 2),
        (b"abc\x1b[H>", ">abc", 1),
        (b"abc\x1bOH>\x1bOF<", ">abc<", 5),
        (b"abc\x01\x1b[3~", "bc", 0),
        (b"abc\x7f\x08d", "ad", 2),
        (b"one two\x17three", "one three", 9),
        (b"one two\x15x", "x", 1),
        (b"one two\x1b[1;5D\x0b", "one ", 4),
        (b"one two\x01\x1b[1;5C!", "one! two", 4),
        (b"one\x1bb\x1bfs", "ones", 4),
        (b"abc\x01\x04", "bc", 0),
        (b"a\x02\x06b", "ab", 2),
    ],
)
def test_keys_do_what_they_do_in_a_shell(keys: bytes, text: str, column: int) -> None:
    editor = typed(keys)
    assert editor.text == text
    assert editor.view(80).column == column


@pytest.mark.parametrize("sequence", [b"\x1b[5~", b"\x1b[1;2A", b"\x1b[200~", b"\x1bOP", b"\x1bx", b"\x1b[[A", b"\x1b[1;2;3;4"])
def test_keys_that_mean_nothing_leave_no_trace(sequence: bytes) -> None:
    assert typed(b"a", sequence, b"b").text == "ab"


def test_control_characters_do_not_enter_the_line() -> None:
    assert typed(b"a\x00\x07\x1a\xc2\x9bb\x9b").text in {"ab", "ab\ufffd"}


def test_ctrl_c_and_ctrl_d_on_an_empty_line_quit() -> None:
    assert LineEditor().feed(b"\x03") == [Key.QUIT]
    assert LineEditor().feed(b"\x04") == [Key.QUIT]
    assert typed(b"a").feed(b"\x04") == []
    assert LineEditor().feed(b"\x0c") == [Key.REDRAW]


def test_earlier_lines_come_back_and_the_draft_is_kept() -> None:
    editor = typed(b"one\rtwo\rtwo\r  \rdraft")
    texts = []
    for key in (b"\x1b[A", b"\x1b[A", b"\x1b[A", b"\x1b[B", b"\x1b[B", b"\x1b[B"):
        editor.feed(key)
        texts.append(editor.text)
    assert texts == ["two", "one", "one", "two", "draft", "draft"]


def test_memory_is_bounded() -> None:
    editor = typed(b"x" * (LINE_CHARS_MAX + 10))
    assert len(editor.text) == LINE_CHARS_MAX
    for number in range(REMEMBERED_LINES_MAX + 10):
        editor.feed(f"\x15{number}\r".encode())
    for _ in range(REMEMBERED_LINES_MAX + 50):
        editor.feed(b"\x1b[A")
    assert editor.text == "10"


@given(st.binary(max_size=60), st.integers(1, 30))
def test_whatever_is_typed_the_view_fits_with_the_cursor_in_it(data: bytes, width: int) -> None:
    editor = typed(data)
    view = editor.view(width)
    assert cell_len(view.text) <= width
    assert 0 <= view.column <= max(0, width - 1)
    assert all(char.isprintable() or char == "\u200d" for char in editor.text)
