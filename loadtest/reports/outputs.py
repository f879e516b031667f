"""All files that a run leaves behind: asked for before it, written during it, finished after it.

What cannot be written is refused before the run, in one sentence: nobody should wait an hour
to learn that a place takes no files.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtest.figures.record import RunRecord
from loadtest.master.collector import Closed, Collector
from loadtest.reports.csv_files import CsvFiles
from loadtest.reports.hlog import HistogramLog
from loadtest.reports.html_report import write_report
from loadtest.reports.json_file import write_record
from loadtest.reports.page_parts import PartMissingError, uplot


class OutputError(Exception):
    """Something that was asked for cannot be written; the text is one sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class WantedFiles:
    """What the command line asked for: paths, a prefix for `csv`; None for what it did not."""

    csv: str | None = None
    json: str | None = None
    hlog: str | None = None
    html: str | None = None

    def named(self, *, users: int, spawn_rate: float, run_time_s: float | None) -> "WantedFiles":
        """The same with ``{u}``, ``{r}`` and ``{t}`` filled in, as locust does; ``{t}`` stays where a run has no end."""
        values = {"{u}": users, "{r}": spawn_rate, "{t}": run_time_s}

        def fill(name: str | None) -> str | None:
            for mark, value in values.items():
                if name is not None and value is not None:
                    name = name.replace(mark, f"{value:.15g}")
            return name

        return WantedFiles(fill(self.csv), fill(self.json), fill(self.hlog), fill(self.html))


class Outputs:
    """The files of one run; a context manager, which closes them in any case."""

    def __init__(self, wanted: WantedFiles, started_at: datetime) -> None:
        """Raises `OutputError`.  `started_at` is UTC."""
        self._wanted = wanted
        self._csv: CsvFiles | None = None
        self._hlog: HistogramLog | None = None
        for flag, path in (("--csv", wanted.csv), ("--json", wanted.json), ("--hlog", wanted.hlog), ("--html", wanted.html)):
            if path is not None:
                _make_folder(flag, path)
        for flag, path in (("--json", wanted.json), ("--html", wanted.html)):
            if path is not None:
                _check_writable(flag, path)
        if wanted.html is not None:
            try:
                uplot()
            except PartMissingError as error:
                raise OutputError(f"--html {wanted.html}: {error}") from error
        with ExitStack() as opening:
            if wanted.csv is not None:
                try:
                    self._csv = CsvFiles(wanted.csv, started_at)
                except OSError as error:
                    raise _refusal("--csv", wanted.csv, error) from error
                opening.callback(self._csv.close)
            if wanted.hlog is not None:
                try:
                    self._hlog = HistogramLog(wanted.hlog, started_at)
                except OSError as error:
                    raise _refusal("--hlog", wanted.hlog, error) from error
                opening.callback(self._hlog.close)
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def second(self, closed: Closed, run: Collector) -> None:
        """One more second of the run, in order.  Raises `OSError` when the disk says no."""
        if self._csv is not None:
            self._csv.second(closed, run.totals, run.exceptions)
        if self._hlog is not None:
            self._hlog.second(closed)

    def finish(self, record: RunRecord) -> list[str]:
        """Write what is made from the whole run, close all, and name the files for people.

        Raises `OSError`, the last one, when something could not be written; what can be is.
        """
        with ExitStack() as last:
            last.callback(self._open.close)
            if self._wanted.html is not None:
                last.callback(write_report, self._wanted.html, record)
            if self._wanted.json is not None:
                last.callback(write_record, self._wanted.json, record)
        return list(self._told())

    def _told(self) -> Iterator[str]:
        if self._wanted.html is not None:
            yield f"report   {self._wanted.html}"
        if self._wanted.json is not None:
            yield f"record   {self._wanted.json}"
        if self._wanted.csv is not None:
            yield f"csv      {self._wanted.csv}_stats.csv, _stats_history.csv, _failures.csv, _exceptions.csv"
        if self._wanted.hlog is not None:
            yield f"hlog     {self._wanted.hlog}"


def _make_folder(flag: str, path: str) -> None:
    """Folders that are not there yet are made, as locust does."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refusal(flag, path, error) from error


def _check_writable(flag: str, path: str) -> None:
    folder = Path(path).parent
    if Path(path).is_dir():
        raise OutputError(f"{flag} {path}: that is a folder; name a file in it")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{flag} {path}: files cannot be written to {folder}; name another folder")


def _refusal(flag: str, path: str, error: OSError) -> OutputError:
    return OutputError(f"{flag} {path}: cannot be written ({error.strerror or error}); name another place")
