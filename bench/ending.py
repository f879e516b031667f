"""How every bench begins and ends: the parts that are wanted; and its figures judged, kept, shown, and told as an exit code."""

import argparse
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.child import ROOT
from bench.report import rows_as_records
from bench.sheet import Sheet
from bench.verdict import EXIT_CODES, Row, Verdict


def wanted_parts(parser: argparse.ArgumentParser, only: str, parts: Collection[str]) -> list[str]:
    """What `--only` names, with commas between; all parts when it names none.  An unknown one ends the program with 2."""
    wanted = only.split(",") if only else list(parts)
    unknown = [part for part in wanted if part not in parts]
    if unknown:
        parser.error(f"no part is called {unknown[0]}: there are {', '.join(parts)}")
    return wanted


@contextmanager
def work_dir(place: Path, sheet: Sheet) -> Iterator[None]:
    """A new folder for logs and data; it stays when something could not be measured, or the bench itself broke."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    yield
    if sheet.failures:
        print(f"what could not be measured has left its logs in {place.relative_to(ROOT)}")
    else:
        shutil.rmtree(place)


def conclude(
    sheet: Sheet, rows: list[Row], judgement: Verdict, table: Callable[[Sheet], str], *, result: Path, began: float
) -> int:
    """Write the sheet to `result`, print the table and the verdict; answers the exit code.  `began` is monotonic."""
    sheet.rows, sheet.verdict = rows_as_records(rows), judgement.value
    result.write_bytes(msgspec.json.format(msgspec.json.encode(sheet), indent=1))
    print(table(sheet))
    print(f"\n{judgement.value} after {time.monotonic() - began:.0f} s; {result.relative_to(ROOT)} holds every sample")
    return EXIT_CODES[judgement]
