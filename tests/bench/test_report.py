"""The table of docs/benchmarks.md."""

import pytest

from bench.report import BEGIN, DOCUMENT, END, rows_as_records, spread, table, with_result
from bench.sheet import Machine, Sheet
from bench.verdict import NAIVE, PARVIS, ROOM, rows_of


def sheet() -> Sheet:
    made = Sheet(Machine("EPYC", 2, 4.0, "6.1", "3.11.7", {"trio": "0.35.0"}, "python -m bench.run", "abc", "today"), 3)
    for value in (7.0, 8.0, 7.5):
        made.add(PARVIS, ROOM, "kib_per_connection", value)
        made.add(PARVIS, ROOM, "deliveries_per_cpu_s", value * 20_000)
        made.add(NAIVE, ROOM, "deliveries_per_cpu_s", 20_000.0)
    return made


def test_the_table_names_machine_versions_command_and_spread() -> None:
    text = table(sheet())
    for part in ("EPYC, 2 cores", "Python 3.11.7", "trio 0.35.0", "`python -m bench.run` at abc", "150,000 (140,000 to 160,000)"):
        assert part in text


def test_a_judged_figure_stands_with_target_median_spread_and_verdict() -> None:
    assert "| memory per idle connection | <= 9 KiB | 7.5 | (7 to 8) | PASS |" in table(sheet())
    assert "| fan-out at 20/s, times naive | >= 5 x | 7.5 | (7 to 8) | PASS |" in table(sheet())


def test_what_was_not_measured_says_so() -> None:
    assert "| others' p99 beside stalled readers | <= 1.2 x | - |  | not measured |" in table(sheet())


def test_a_part_that_failed_is_named() -> None:
    made = sheet()
    made.failures.append("naive 100x50: ended with 1")
    assert "- FAILED naive 100x50: ended with 1" in table(made)


def test_records_hold_every_row() -> None:
    records = rows_as_records(rows_of(sheet()))
    assert [record["median"] for record in records if record["name"] == "memory per idle connection"] == [7.5]
    assert [record["median"] for record in records if record["name"] == "memory of a stalled reader"] == [None]


def test_a_new_result_takes_the_place_of_the_old_one() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_result(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="last accepted result"):
        with_result("nothing here", "new")


def test_the_document_has_a_place_for_the_result() -> None:
    assert with_result(DOCUMENT.read_text(), "new")


def test_equal_runs_have_no_spread() -> None:
    assert spread([1.0, 1.0, 1.0]) == ""
