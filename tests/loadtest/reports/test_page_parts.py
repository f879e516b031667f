"""The files that pages are put together from."""

from pathlib import Path

import pytest

from loadtest.reports.page_parts import PartMissingError, part, uplot


def test_our_own_parts_are_read() -> None:
    assert "ParvisCharts" in part("charts.js")
    assert "--tone-1" in part("charts.css")


def test_uplot_is_there_with_its_licence() -> None:
    found = uplot()
    assert "var uPlot=" in found.script
    assert ".uplot" in found.style
    assert "MIT" in found.licence


def test_a_uplot_that_was_not_fetched_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PartMissingError, match=r"^the charts need uPlot, which is not here yet; run: make charts$"):
        uplot(tmp_path)
    (tmp_path / "uPlot.iife.min.js").write_text("half")
    with pytest.raises(PartMissingError):
        uplot(tmp_path)
