"""`--hlog FILE`: every second's histograms in the standard's log format, one tag for each row.

Tools of HdrHistogram read it: any stretch of the run can be cut out and its percentiles taken,
exactly.  Latencies are microseconds; the column Interval_Max is in milliseconds.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import Final

from loadtest.figures.tally import WS
from loadtest.figures.totals import RowSum
from loadtest.master.collector import Closed

_HEAD: Final = """\
#[Logged by parvis loadtest; latencies in microseconds, Interval_Max in milliseconds]
#[Histogram log format version 1.3]
#[StartTime: {seconds:.3f} (seconds since epoch), {iso}]
#[BaseTime: {seconds:.3f} (seconds since epoch)]
"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
"""


class HistogramLog:
    """One file, which grows by a line for each row and second."""

    def __init__(self, path: str, started_at: datetime) -> None:
        """Raises `OSError` when it cannot be written."""
        self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115  # it lives as long as the run
        self._file.write(_HEAD.format(seconds=started_at.timestamp(), iso=started_at.isoformat()))
        self._file.flush()
        self._end_s = 0.0

    def second(self, closed: Closed) -> None:
        begin_s, self._end_s = self._end_s, closed.moment.at_s
        for row in closed.totals.told():
            took = row.latencies
            if took.count:
                times = f"{begin_s:.3f},{self._end_s - begin_s:.3f},{took.max_us / 1000:.3f}"
                self._file.write(f"Tag={tag_of(row)},{times},{took.encode().decode()}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def tag_of(row: RowSum) -> str:
    """A row's name as a tag, which may hold neither commas nor white space; a type other than WS stands before it."""
    name = row.name if row.kind == WS else f"{row.kind}:{row.name}"
    return re.sub(r"[\s\x00-\x1f\x7f]+", "_", name.replace(",", ";"))
