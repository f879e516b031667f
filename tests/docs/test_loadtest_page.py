"""docs/loadtest.md is true: its scenario runs, its flags, faults, thresholds, codes and sentences are the program's."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from loadtest.master.fault_plan import parse_fault
from loadtest.people.scenario import load_scenario, shipped
from loadtest.verdicts.thresholds import parse_threshold
from loadtest.verdicts.verdict import Exit
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "loadtest.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()]


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line.startswith("|")][2:]


def written(path: Path, *texts: str) -> str:
    path.write_text("\n\n".join(texts))
    return str(path)


async def test_the_scenario_runs_as_it_stands(tmp_path: Path) -> None:
    square = written(tmp_path / "square.py", EXAMPLES[0])
    async with parvis_up(tmp_path / "data") as up:
        hosts = [word for url in up.websocket_urls for word in ("--host", url)]
        ended = await run_parvis("loadtest", "-f", square, "-u", "30", "-r", "30", "-t", "4s", "--headless", *hosts)
    assert ended.code == 0, ended.out + ended.err


def test_the_shape_fits_the_scenario(tmp_path: Path) -> None:
    scenario = load_scenario(written(tmp_path / "wall.py", *EXAMPLES[:2]))
    shape = scenario.make_shape(users=10, options={})
    plan = [shape.load_at(at_s, 10) for at_s in (0.0, 121.0, 181.0)]
    assert [load and (load.users, load.arrivals_per_s) for load in plan] == [(10, 2), (10, 20), None]


def test_the_scenarios_of_the_page_are_those_that_come_with_it() -> None:
    assert sorted(row[0].strip("`") for row in rows("The first run")) == shipped()


def test_the_exit_codes_of_the_page_are_the_programs() -> None:
    assert [(int(row[0]), row[1]) for row in rows("Thresholds and exit codes")] == [(code.value, code.name) for code in Exit]


def test_every_fault_of_the_page_is_understood() -> None:
    faults = [row[0].strip("`") for row in rows("Faults on demand")]
    assert len(faults) == 6
    for fault in [*faults, *said_after("--fault")]:
        parse_fault(fault)


def test_every_threshold_of_the_page_is_understood() -> None:
    assert len(said_after("--fail-if")) >= 4
    spoken = re.findall(r"`([^`<>]+[<>]=?[\d.]+[a-z%]*)`", PAGE)
    for text in [*said_after("--fail-if"), *spoken]:
        parse_threshold(text)


def said_after(flag: str) -> list[str]:
    """What stands behind a flag in the commands of the page."""
    words = [shlex.split(command) for command in COMMANDS]
    return [line[place + 1] for line in words for place, word in enumerate(line) if word == flag]


async def test_every_flag_of_the_page_is_the_commands() -> None:
    ended = await run_parvis("loadtest", "--help")
    helped = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", ended.out))
    ours = [line for line in COMMANDS if "parvis loadtest" in line and "compare" not in line]
    flags = {word for line in ours for word in shlex.split(line) if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    prose = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    # What is told of other programs.
    texts = [text for text in re.findall(r"`([^`]+)`", prose) if not text.startswith(("ulimit", "pip"))]
    spoken = {word for text in texts for word in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", text)}
    assert (flags | spoken) - helped == set()


@pytest.mark.parametrize("row", rows("When something is wrong"), ids=lambda row: row[0][:50])
def test_every_sentence_of_the_page_is_the_programs(row: list[str]) -> None:
    for sentence in re.findall(r"`([^`]+)`", row[0]):
        for part in sentence.split("…"):
            assert part.strip() in source(), part


@cache
def source() -> str:
    """All texts of the load test, as they are said: parts joined, values as …."""
    files = [*(ROOT / "loadtest").rglob("*.py"), *(ROOT / "parvis" / "loadtest").rglob("*.py")]
    text = "\n".join(file.read_text() for file in files)
    joined = re.sub(r"([\"'])\s*\n\s*f?\1", "", text)
    return re.sub(r"\{[^{}]*\}", "…", joined)


def test_no_page_of_ours_is_longer_than_ten_minutes() -> None:
    """200 words a minute are read, and code faster."""
    assert len(PAGE.split()) < 2_600


