"""A run in a terminal: a picture that is redrawn while it goes on, or a line every two seconds on a pipe.

Whatever is said besides, lines of the log among it, scrolls above the picture.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadtest.figures.record import RunRecord
from loadtest.master.steering import LogLine, Steered
from loadtest.reports.dashboard import Overall, dashboard, plain, plain_line
from loadtest.reports.summary import summary

REDRAW_S: Final = 0.5
# Percentiles of the whole run cost a walk through every histogram.
OVERALL_EVERY: Final = 4
LINE_EVERY_S: Final = 2.0
_STYLES: Final = {"info": "dim", "warning": "yellow", "error": "red"}


class Screen(Console):
    """Standard output; a pipe whose reader has left is an error like any other, and no reason to exit."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Terminal:
    """Where a run is told to people; `console` decides whether it is one that can be redrawn.

    Once it cannot be written any more (closed, or a pipe that nobody reads) nothing is shown: the run and its files go on.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, run: Steered, ended: trio.Event) -> None:
        """Until `ended`: the picture goes then, the lines stay."""
        with self._while_seen():
            if self._console.is_terminal:
                await self._redraw(run, ended)
            else:
                await self._tell(run, ended)

    def say(self, line: LogLine) -> None:
        """One line of the log, above the picture where there is one."""
        with self._while_seen():
            self._console.print(Text(f" {plain(line.text, 500)}", _STYLES[line.level]), soft_wrap=not self._console.is_terminal)

    def end(self, record: RunRecord, files: Sequence[str] = ()) -> None:
        """The summary with the verdict, and the files that were written."""
        with self._while_seen():
            for part in summary(record):
                self._console.print(part)
            for line in files:
                self._console.print(Text(f"   {plain(line, 500)}", "dim"), soft_wrap=True)

    @contextmanager
    def _while_seen(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._console.quiet = True
            # What is left in its buffer would be an error once more when the process ends.
            with suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._console.file.fileno())

    async def _redraw(self, run: Steered, ended: trio.Event) -> None:
        overall, turn = Overall(), 0
        # Redrawn by us and not by a thread of its own: what is shown is read between two of the run's own steps.
        with Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
            while not ended.is_set():
                if turn % OVERALL_EVERY == 0 and run.moments:
                    record = run.record()
                    overall = Overall(record.rows, record.counts, record.refusals)
                turn += 1
                live.update(dashboard(run.standing, run.moments, overall, min(self._console.width, 120)), refresh=True)
                with trio.move_on_after(REDRAW_S):
                    await ended.wait()

    async def _tell(self, run: Steered, ended: trio.Event) -> None:
        said = ""
        while not ended.is_set():
            now = run.moments[-1] if run.moments else None
            line = plain_line(run.standing, now)
            # Before the run there is one sentence until another is true.
            if line != said:
                self._console.print(Text(line), soft_wrap=True)
                said = line
            with trio.move_on_after(LINE_EVERY_S):
                await ended.wait()
