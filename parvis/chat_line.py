"""One line being typed in a terminal: bytes of keys in, a line and a view of it out.  Pure.

Small on purpose: what a chat needs of readline, without its hold on the terminal, so that
lines of other people can be printed above at any moment.
"""

import codecs
from dataclasses import dataclass
from enum import Enum

from rich.cells import cell_len

LINE_CHARS_MAX = 4000
REMEMBERED_LINES_MAX = 100


class Key(Enum):
    """What ends the typing of a line, besides Enter."""

    QUIT = "quit"
    """Ctrl-C, or Ctrl-D on an empty line."""
    REDRAW = "redraw"
    """Ctrl-L."""


@dataclass(frozen=True, slots=True)
class View:
    """The part of a line that fits, and the cursor's column in it."""

    text: str
    column: int


# What terminals send for keys without a character (xterm and its descendants, the Linux console).
_SEQUENCES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left", "OA": "up", "OB": "down", "OC": "right", "OD": "left",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end", "[7~": "home", "[8~": "end",
    "[3~": "delete", "[1;5C": "word_right", "[1;5D": "word_left", "b": "word_left", "f": "word_right",
}  # fmt: skip
_CONTROLS = {
    "\x01": "home", "\x02": "left", "\x05": "end", "\x06": "right", "\x08": "backspace", "\x7f": "backspace", "\x0b": "cut_right",
    "\x0e": "down", "\x10": "up", "\x15": "cut_left", "\x17": "cut_word",
}  # fmt: skip
# The last is how the Linux console begins its function keys.
_SEQUENCE_STARTS = ("[", "O", "[[")
# A key's sequence is never longer; what is longer is not a key and is dropped.
_SEQUENCE_CHARS_MAX = 8


class LineEditor:
    """`feed` what the terminal gives; it answers whole lines and keys, in order."""

    def __init__(self) -> None:
        self._before = ""
        self._after = ""
        self._escape: str | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._remembered: list[str] = []
        self._place = 0
        """Index into `_remembered`; its length means the line being typed."""
        self._draft = ""

    @property
    def text(self) -> str:
        return self._before + self._after

    def feed(self, data: bytes) -> list[str | Key]:
        done: list[str | Key] = []
        for char in self._decoder.decode(data):
            if self._escape is not None:
                self._take_escaped(char)
            elif char in "\r\n":
                done.append(self._enter())
            elif char == "\x1b":
                self._escape = ""
            elif char == "\x03" or (char == "\x04" and not self.text):
                done.append(Key.QUIT)
            elif char == "\x04":
                self._do("delete")
            elif char == "\x0c":
                done.append(Key.REDRAW)
            elif char in _CONTROLS:
                self._do(_CONTROLS[char])
            elif (char.isprintable() or char == "\u200d") and len(self.text) < LINE_CHARS_MAX:
                self._before += char
        return done

    def view(self, width: int) -> View:
        """What of the line fits in `width` columns with the cursor in it; it scrolls sideways."""
        before, after = self._before, self._after
        while cell_len(before) > max(0, width - 1):
            before = before[1:]
        while after and cell_len(before + after) > width:
            after = after[:-1]
        return View(before + after, cell_len(before))

    def _enter(self) -> str:
        line = self.text
        if line.strip() and (not self._remembered or self._remembered[-1] != line):
            self._remembered = [*self._remembered, line][-REMEMBERED_LINES_MAX:]
        self._place = len(self._remembered)
        self._before = self._after = self._draft = ""
        return line

    def _take_escaped(self, char: str) -> None:
        assert self._escape is not None, "only called inside an escape sequence"
        sequence = self._escape + char
        if sequence in _SEQUENCES:
            self._escape = None
            self._do(_SEQUENCES[sequence])
        elif sequence not in _SEQUENCE_STARTS and (
            sequence[0] not in _SEQUENCE_STARTS or "@" <= char <= "~" or len(sequence) >= _SEQUENCE_CHARS_MAX
        ):
            # A whole sequence of a key that means nothing here.
            self._escape = None
        else:
            self._escape = sequence

    def _do(self, action: str) -> None:
        before, after = self._before, self._after
        match action:
            case "left" if before:
                self._before, self._after = before[:-1], before[-1] + after
            case "right" if after:
                self._before, self._after = before + after[0], after[1:]
            case "home":
                self._before, self._after = "", self.text
            case "end":
                self._before, self._after = self.text, ""
            case "backspace":
                self._before = before[:-1]
            case "delete":
                self._after = after[1:]
            case "cut_left":
                self._before = ""
            case "cut_right":
                self._after = ""
            case "cut_word":
                self._before = _without_last_word(before)
            case "word_left":
                kept = _without_last_word(before)
                self._before, self._after = kept, before[len(kept) :] + after
            case "word_right":
                word = len(after) - len(after.lstrip()) + len((after.split() or [""])[0])
                self._before, self._after = before + after[:word], after[word:]
            case "up" | "down":
                self._recall(-1 if action == "up" else 1)

    def _recall(self, step: int) -> None:
        if self._place == len(self._remembered):
            self._draft = self.text
        place = self._place + step
        if 0 <= place <= len(self._remembered):
            self._place = place
            self._before = self._remembered[place] if place < len(self._remembered) else self._draft
            self._after = ""


def _without_last_word(text: str) -> str:
    return text.rstrip()[: len(text.rstrip()) - len((text.split() or [""])[-1])]
