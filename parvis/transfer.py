"""What a person sees of a long transfer: how far it is, how fast, and how it ended.

On a terminal a line that moves; elsewhere a line every few seconds, for a log.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from broker.journal.archive import Extent
from broker.journal.fill import Tally
from parvis.counted import counted
from parvis.errors import StartError
from runtime.lifecycle import ExitCode

LINE_EVERY_S: Final = 5.0
# A terminal is redrawn no faster than a person reads.
_DRAW_EVERY_S: Final = 0.1


class Meter:
    """Called with the tally after each portion; speaks when it is time to."""

    def __init__(
        self, doing: str, extent: Extent, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._doing = doing
        self._extent = extent
        self._say = say
        self._clock = clock
        self._began = self._spoken = clock()

    def __call__(self, tally: Tally) -> None:
        now = self._clock()
        if now - self._spoken >= LINE_EVERY_S:
            self._spoken = now
            self._say(f"{self._doing}: {self.told(tally)}")

    def told(self, tally: Tally) -> str:
        """Rooms and events so far, and events a second."""
        rooms = tally.rooms + tally.rooms_there
        all_rooms = self._extent.rooms
        told = counted(rooms, "room") if all_rooms is None else f"{rooms:,} of {counted(all_rooms, 'room')}"
        return f"{told}, {counted(tally.events, 'event')}, {self.rate(tally):,.0f} events a second"

    def rate(self, tally: Tally) -> float:
        return tally.events / max(self.seconds(), 1e-9)

    def seconds(self) -> float:
        return self._clock() - self._began


class _Drawn(Meter):
    """On a terminal."""

    def __init__(self, doing: str, extent: Extent, progress: Progress) -> None:
        super().__init__(doing, extent, lambda _: None)
        self._progress = progress
        self._task = progress.add_task(doing, total=extent.events, told="")

    def __call__(self, tally: Tally) -> None:
        now = self._clock()
        if now - self._spoken >= _DRAW_EVERY_S:
            self._spoken = now
            self._progress.update(self._task, completed=tally.events, told=self.told(tally))


@contextmanager
def meter(doing: str, extent: Extent) -> Iterator[Meter]:
    """Shown on standard error for as long as the block lasts."""
    if not sys.stderr.isatty():
        yield Meter(doing, extent, lambda line: print(line, file=sys.stderr, flush=True))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Drawn(doing, extent, progress)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, made to unwind as Ctrl-C does."""


@contextmanager
def interruptible(sentence: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM leave the block in order, and end the command with `sentence`."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except _Terminated as error:
        raise StartError(f"terminated; {sentence}", ExitCode.TERMINATED) from error
    except KeyboardInterrupt as error:
        raise StartError(f"interrupted; {sentence}", ExitCode.INTERRUPTED) from error
    finally:
        signal.signal(signal.SIGTERM, previous)
