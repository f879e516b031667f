"""The files that pages are put together from, and whether all of them are there.

uPlot is nobody's code of ours: `make charts` fetches it from npm into `pages/build/`, and a
wheel that was built after that has it.
"""

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

_PAGES: Final = files("loadtest") / "pages"
CHARTS_MISSING: Final = "the charts need uPlot, which is not here yet; run: make charts"


class PartMissingError(Exception):
    """uPlot was not fetched; the text is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Uplot:
    """The library that draws charts, as it is published."""

    script: str
    style: str
    licence: str


def part(name: str) -> str:
    """One of our own files of `pages/`."""
    return (_PAGES / name).read_text("utf-8")


def uplot(place: Traversable = _PAGES / "build") -> Uplot:
    """Raises `PartMissingError` when it was not fetched."""
    try:
        script, style, licence = (
            (place / name).read_text("utf-8") for name in ("uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE")
        )
    except FileNotFoundError:
        raise PartMissingError(CHARTS_MISSING) from None
    return Uplot(script, style, licence)
