"""Where a chat is read and typed: a terminal with a line of input at its bottom, or plain pipes.

The terminal is put into raw mode while the chat lasts: the kernel would otherwise echo
keys between other people's lines.  Each printed block wipes the input line, prints, and
draws the input line again, so neither tears the other.  Keys are waited for without
setting the descriptor non-blocking: it is shared with the shell.
"""

import errno
import io
import os
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

import trio
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from parvis.chat_line import Key, LineEditor

_READ_BYTES = 4096
# Room for the line itself, however long the prompt.
_LINE_COLUMNS_MIN = 20


class Screen(Protocol):
    """Where lines come from and go to."""

    is_interactive: bool

    def show(self, lines: list[Text]) -> None: ...
    def complain(self, line: Text) -> None:
        """Say what went wrong, apart from the conversation where that is possible."""

    def prompt(self, prompt: str) -> None:
        """What stands before the line being typed."""

    def lines(self) -> AsyncIterator[str]:
        """What the person writes, line by line; ends when they go."""


class Pipe:
    """Lines in, lines out: for scripts, and for tests."""

    is_interactive = False

    def __init__(self, source: TextIO, target: TextIO, complaints: TextIO) -> None:
        self._source = source
        self._target = Console(file=target, width=1000, color_system=None, soft_wrap=True, highlight=False)
        self._complaints = Console(file=complaints, width=1000, color_system=None, soft_wrap=True, highlight=False)

    def show(self, lines: list[Text]) -> None:
        for line in lines:
            self._target.print(line)
        self._target.file.flush()

    def complain(self, line: Text) -> None:
        self._complaints.print(line)
        self._complaints.file.flush()

    def prompt(self, prompt: str) -> None:
        """Nobody sees it."""

    async def lines(self) -> AsyncIterator[str]:
        while True:
            # A file can be neither polled nor read without blocking; the thread is left behind at the end.
            line = await trio.to_thread.run_sync(self._source.readline, abandon_on_cancel=True)
            if not line:
                return
            yield line.rstrip("\r\n")


class Terminal:
    """A person's terminal, from `open_terminal`; raw mode ends with that."""

    is_interactive = True

    def __init__(self, input_fd: int, output: TextIO, width_of: Callable[[], int]) -> None:
        self._input_fd = input_fd
        self._output = output
        self._width_of = width_of
        self._editor = LineEditor()
        self._prompt = ""

    def show(self, lines: list[Text]) -> None:
        if not lines:
            return
        # One write for all of it: the line being typed never flickers.
        buffer = io.StringIO()
        console = Console(file=buffer, force_terminal=True, width=self._width_of(), highlight=False)
        for line in lines:
            console.print(line)
        # Raw mode: a line feed alone would not return to the first column.
        self._write("\r\x1b[K" + buffer.getvalue().replace("\n", "\r\n") + self._input_line())

    def complain(self, line: Text) -> None:
        self.show([line])

    def prompt(self, prompt: str) -> None:
        if prompt != self._prompt:
            self._prompt = prompt
            self._redraw()

    async def lines(self) -> AsyncIterator[str]:
        self._redraw()
        while True:
            await trio.lowlevel.wait_readable(self._input_fd)
            data = _read_keys(self._input_fd)
            if not data:
                return
            for done in self._editor.feed(data):
                if done is Key.QUIT:
                    return
                if done is Key.REDRAW:
                    self._write("\x1b[2J\x1b[H")
                elif isinstance(done, str):
                    yield done
            self._redraw()

    def _redraw(self) -> None:
        self._write("\r\x1b[K" + self._input_line())

    def _input_line(self) -> str:
        """Prompt and line in one row, and the cursor in its place."""
        width = self._width_of()
        prompt = self._prompt if cell_len(self._prompt) + _LINE_COLUMNS_MIN <= width else "> "
        view = self._editor.view(max(1, width - cell_len(prompt) - 1))
        column = cell_len(prompt) + view.column
        return f"\x1b[1m{prompt}\x1b[0m{view.text}\r" + (f"\x1b[{column}C" if column else "")

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


def _read_keys(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError as error:
        # A terminal whose window was closed answers EIO: its person has gone.
        if error.errno == errno.EIO:
            return b""
        raise


@contextmanager
def open_terminal(input_fd: int, output: TextIO) -> Iterator[Terminal]:
    """The terminal in raw mode; as it was before, afterwards."""
    before = termios.tcgetattr(input_fd)
    raw = termios.tcgetattr(input_fd)
    raw[0] &= ~(termios.ICRNL | termios.IXON)
    raw[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(input_fd, termios.TCSADRAIN, raw)
    try:
        yield Terminal(input_fd, output, lambda: os.get_terminal_size(output.fileno()).columns or 80)
    finally:
        output.write("\r\x1b[K")
        output.flush()
        termios.tcsetattr(input_fd, termios.TCSADRAIN, before)


@contextmanager
def open_screen() -> Iterator[Screen]:
    """The terminal if there is one on both sides, else pipes."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        with open_terminal(sys.stdin.fileno(), sys.stdout) as terminal:
            yield terminal
    else:
        yield Pipe(sys.stdin, sys.stdout, sys.stderr)
