"""A terminal whose input line is never torn, and pipes for scripts."""

import io
import os
import pty
import termios
from collections.abc import Iterator

import pytest
import trio
from rich.text import Text

from parvis.chat_terminal import Pipe, Terminal, open_terminal


@pytest.fixture
def window() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the window's side and the program's side."""
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def terminal_on(slave: int, width: int = 40) -> tuple[Terminal, io.StringIO]:
    output = io.StringIO()
    return Terminal(slave, output, lambda: width), output


def screen_of(output: str, width: int = 40) -> list[str]:
    """What a terminal of that width would show: enough of its language for what we write."""
    rows, row, column, i = [[" "] * width], 0, 0, 0
    while i < len(output):
        char = output[i]
        i += 1
        if char == "\x1b":
            end = next(j for j in range(i + 1, len(output)) if "@" <= output[j] <= "~")
            number, kind = output[i + 1 : end], output[end]
            i = end + 1
            if kind == "K":
                rows[row][column:] = [" "] * (width - column)
            elif kind == "C":
                column += int(number)
        elif char == "\r":
            column = 0
        elif char == "\n":
            row += 1
            rows.append([" "] * width)
        else:
            rows[row][column] = char
            column += 1
    return ["".join(cells).rstrip() for cells in rows]


def test_lines_are_printed_above_the_line_being_typed(window: tuple[int, int]) -> None:
    terminal, output = terminal_on(window[1])
    terminal.prompt("Ada> ")
    terminal._editor.feed(b"half a tho")
    terminal.show([Text("Bob: interrupting"), Text("Eve: me too")])
    terminal.show([])
    terminal.complain(Text("! slow down"))
    assert screen_of(output.getvalue()) == ["Bob: interrupting", "Eve: me too", "! slow down", "Ada> half a tho"]


def test_a_long_line_scrolls_sideways_in_one_row(window: tuple[int, int]) -> None:
    terminal, output = terminal_on(window[1], 30)
    terminal.prompt("Ada> ")
    terminal._editor.feed(b"0123456789" * 10)
    terminal.show([Text("x" * 45)])
    assert screen_of(output.getvalue(), 30) == ["x" * 30, "x" * 15, "Ada> " + ("0123456789" * 10)[-23:]]


def test_a_prompt_too_long_for_the_window_gives_way(window: tuple[int, int]) -> None:
    terminal, output = terminal_on(window[1], 24)
    terminal.prompt("[square/main, 214 here] Ada> ")
    assert screen_of(output.getvalue(), 24) == [">"]


async def test_keys_become_lines_until_the_person_leaves(window: tuple[int, int]) -> None:
    master, slave = window
    with os.fdopen(os.dup(slave), "w") as output, open_terminal(slave, output) as terminal:
        os.write(master, b"hello\rwor\x7f\x7forld\r\x0c\x03never")
        with trio.fail_after(5):
            assert [line async for line in terminal.lines()] == ["hello", "world"]


async def test_a_window_that_is_closed_ends_the_lines() -> None:
    master, slave = pty.openpty()
    terminal, _ = terminal_on(slave)
    os.close(master)
    with trio.fail_after(5):
        assert [line async for line in terminal.lines()] == []
    os.close(slave)


def test_the_terminal_is_as_it_was_afterwards_even_after_an_error(window: tuple[int, int]) -> None:
    slave = window[1]
    before = termios.tcgetattr(slave)

    def fail_in_raw_mode() -> None:
        with os.fdopen(os.dup(slave), "w") as output, open_terminal(slave, output):
            assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_raw_mode()
    assert termios.tcgetattr(slave) == before


async def test_a_pipe_gives_lines_and_keeps_complaints_apart() -> None:
    target, complaints = io.StringIO(), io.StringIO()
    pipe = Pipe(io.StringIO("one\r\ntwo\n\nlast"), target, complaints)
    assert [line async for line in pipe.lines()] == ["one", "two", "", "last"]
    pipe.prompt("unseen")
    pipe.show([Text("[bold]a[/bold] " + "x" * 2000, style="red")])
    pipe.complain(Text("! no"))
    assert target.getvalue() == "[bold]a[/bold] " + "x" * 2000 + "\n"
    assert complaints.getvalue() == "! no\n"
