"""A run in a terminal, and on a pipe."""

from errno import EIO
from io import StringIO

import msgspec
import pytest
import trio
from rich.console import Console

from loadtest.figures.record import Moment, RunRecord
from loadtest.master.steering import LogLine, Standing
from loadtest.reports.terminal import LINE_EVERY_S, OVERALL_EVERY, REDRAW_S, Screen, Terminal
from tests.support.run_record import record


class FakeRun:
    """A run whose seconds come with the clock of trio.  Of `Steered`, what a terminal reads."""

    def __init__(self, whole: RunRecord) -> None:
        self._whole = whole
        self._began = trio.current_time()
        self.records_made = 0
        self.log: list[LogLine] = []

    @property
    def seconds(self) -> float:
        return trio.current_time() - self._began

    @property
    def standing(self) -> Standing:
        phase = "running" if self.moments else "waiting"
        return Standing(phase, "waiting for 1 worker", "night", ["ws://x/"], 5, 1.0, None, self.seconds, 60.0, 1)  # type: ignore[arg-type]

    @property
    def moments(self) -> list[Moment]:
        return self._whole.moments[: max(0, int(self.seconds) - 4)]

    def record(self) -> RunRecord:
        self.records_made += 1
        return msgspec.structs.replace(self._whole, moments=self.moments)

    def start(self, users: int, spawn_per_s: float) -> None:
        raise AssertionError("a terminal only looks")

    def edit(self, users: int, spawn_per_s: float) -> None:
        raise AssertionError("a terminal only looks")

    def stop(self) -> None:
        raise AssertionError("a terminal only looks")


async def test_on_a_pipe_there_is_one_line_every_two_seconds(autojump_clock: trio.testing.MockClock) -> None:
    out, run, ended = StringIO(), FakeRun(record(60)), trio.Event()
    terminal = Terminal(Console(file=out, width=80))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.show, run, ended)
        await trio.sleep(4.5 + 3 * LINE_EVERY_S)
        terminal.say(LogLine("2026-04-12T20:00:00Z", "warning", "kill shard: \x1b[31mshard-1"))
        ended.set()
    lines = out.getvalue().splitlines()
    assert lines[0] == "waiting: waiting for 1 worker"
    assert [line.split("  ")[-2].split("users")[0].strip() for line in lines[1:-1]] == ["0:02", "0:04", "0:06"]
    assert lines[-1] == " kill shard: \N{REPLACEMENT CHARACTER}[31mshard-1"
    assert "\x1b" not in out.getvalue()


async def test_on_a_terminal_one_picture_is_redrawn_and_goes_at_the_end(autojump_clock: trio.testing.MockClock) -> None:
    out, run, ended = StringIO(), FakeRun(record(60)), trio.Event()
    terminal = Terminal(Console(file=out, width=80, height=40, force_terminal=True))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.show, run, ended)
        await trio.sleep(10.2)
        ended.set()
    # One more as it goes.
    drawn = int(10.2 / REDRAW_S) + 2
    assert out.getvalue().count("night") == drawn
    assert run.records_made <= drawn / OVERALL_EVERY + 1
    last = out.getvalue().rsplit("night", 1)[1]
    lines = last.count("\n")
    assert "\x1b[?25h" in last, "the cursor is shown again"
    assert last.endswith("\x1b[1A\x1b[2K" * (lines - 1)), "every line of it is erased"


def test_the_end_is_the_summary_and_the_files() -> None:
    out = StringIO()
    Terminal(Console(file=out, width=80)).end(record(5), ["report   night.html"])
    lines = out.getvalue().splitlines()
    assert lines[-2:] == ["  PASS  election_night, 5 s", "   report   night.html"]


class Gone(StringIO):
    """What was written to until its reader left."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._error = error

    def leave(self) -> None:
        self.error = self._error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(EIO, "Input/output error")])
async def test_a_terminal_that_is_gone_ends_nothing(
    is_terminal: bool, error: OSError, autojump_clock: trio.testing.MockClock
) -> None:
    out, run, ended = Gone(error), FakeRun(record(60)), trio.Event()
    terminal = Terminal(Screen(file=out, width=80, height=40, force_terminal=is_terminal))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.show, run, ended)
        await trio.sleep(7)
        terminal.say(LogLine("", "info", "somebody looks"))
        out.leave()
        terminal.say(LogLine("", "warning", "nobody looks"))
        await trio.sleep(7)
        ended.set()
    terminal.end(record(5), ["report   night.html"])
    assert "somebody looks" in out.getvalue()
    assert "PASS" not in out.getvalue()
