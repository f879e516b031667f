"""parvis/transfer.py: what is told while something long goes on, and how it is left."""

import io
import signal
from contextlib import ExitStack

import pytest

from broker.journal.archive import Extent
from broker.journal.fill import Tally
from parvis import transfer
from parvis.errors import StartError
from parvis.transfer import LINE_EVERY_S, Meter, interruptible, meter
from runtime.lifecycle import ExitCode


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_comes_every_few_seconds_with_rooms_events_and_speed() -> None:
    clock, said = Clock(), list[str]()
    show = Meter("copying x", Extent(rooms=2000), said.append, clock)
    for _ in range(20):
        clock.now += LINE_EVERY_S / 4
        show(Tally(rooms=1000, events=50_000, rooms_there=7))
    assert len(said) == 5
    assert said[0] == "copying x: 1,007 of 2,000 rooms, 50,000 events, 10,000 events a second"
    assert show.seconds() == 5 * LINE_EVERY_S


def test_without_an_extent_there_is_no_end_to_tell() -> None:
    clock = Clock()
    show = Meter("verifying x", Extent(), print, clock)
    assert show.told(Tally(rooms=3)) == "3 rooms, 0 events, 0 events a second"


def test_without_a_terminal_lines_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer, "LINE_EVERY_S", 0.0)
    with meter("copying x", Extent()) as show:
        show(Tally(rooms=1))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("copying x: 1 room")


def test_on_a_terminal_a_line_moves_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(transfer, "_DRAW_EVERY_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with meter("copying x", Extent(10, 100)) as show:
        show(Tally(rooms=4, events=50))
    assert "copying x" in screen.getvalue()
    assert "\x1b[2K" in screen.getvalue(), "the line is erased"


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, ExitCode.INTERRUPTED, "interrupted"), (signal.SIGTERM, ExitCode.TERMINATED, "terminated")],
)
def test_a_signal_unwinds_and_says_how_to_go_on(number: signal.Signals, code: ExitCode, word: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned: list[bool] = []
    held = ExitStack()
    held.callback(cleaned.append, True)
    with pytest.raises(StartError, match=f"{word}; repeat it") as ended, interruptible("repeat it"), held:
        signal.raise_signal(number)
    assert ended.value.code is code
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) == before
