"""Documents are true: their tables equal the code's, what they name exists."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from parvis.command import EXIT_CODES, WORDS
from runtime.settings import KEYS, load_settings
from tests.support.tree import FLOORS, ROOT, our_files, packages

_PAGES: Final = [path for path in our_files() if path.suffix == ".md"]
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """The fenced examples of one language in one page."""
    return [text for found, text in _FENCE.findall((ROOT / path).read_text()) if found == language]


def rows(path: str, after: str) -> Iterator[list[str]]:
    """The rows of the first table after a text, without its head."""
    table = (ROOT / path).read_text().partition(after)[2].splitlines()
    lines = [line for line in table if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_settings_is_the_schemas() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "settings_table.py"))
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == tool["page_with_tables"](page), "run: make docs"
    assert all(f"`{key}`" in page for key in KEYS)


def test_the_exit_codes_of_the_quick_start_are_the_programs() -> None:
    table = {int(code): meaning for code, meaning in rows("docs/quickstart.md", "an exit code:")}
    assert table == {int(code): meaning for code, meaning in EXIT_CODES.items()}


def test_the_house_of_the_architecture_is_the_house() -> None:
    drawn = (ROOT / "docs" / "architecture.md").read_text().partition("```text\n")[2].partition("```")[0]
    for line in drawn.splitlines():
        floor = int(re.match(r"floor (\d)", line)[1])  # type: ignore[index]
        assert set(re.findall(r"(\w+)/", line)) == {p for p in packages() if FLOORS[p] == floor}, line


def test_words_of_the_glossary_are_in_order_and_in_use() -> None:
    words = [row[0] for row in rows("docs/glossary.md", "# Words")]
    assert words == sorted(words)
    code = " ".join((ROOT / path).read_text().lower() for path in our_files() if path.suffix == ".py" and path.parts[0] in FLOORS)
    unused = [each for word in words for each in word.split(", ") if each.replace(" ", "_") not in code and each not in code]
    assert not unused


@pytest.mark.parametrize("path", _PAGES, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", _FENCE.sub("", (ROOT / path).read_text()))
    broken = [link for link in links if "://" not in link and not (ROOT / path.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("path", _PAGES, ids=str)
def test_make_targets_and_commands_exist(path: Path) -> None:
    text = (ROOT / path).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [line for block in (*blocks(path, "sh"), *blocks(path, "")) for line in block.splitlines()]
    spoken = [f"{match}" for match in re.findall(r"`((?:make|parvis) [a-z][^`]*)`", text)]
    for command in (*commands, *spoken):
        for word in re.findall(r"(?:^|\s)make ([a-z-]+)", command):
            assert word in targets, command
        for word in re.findall(r"(?:^|[\s/])parvis ([a-z]+)", command):
            assert word in WORDS, command
        for key in re.findall(r"--set ([a-z_.]+)=", command):
            assert key in KEYS, command


@pytest.mark.parametrize("path", [path for path in _PAGES if blocks(path, "toml")], ids=str)
def test_settings_files_in_documents_load(path: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(path, "toml")):
        assert tomllib.loads(text)
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        load_settings(file=file)


@pytest.mark.parametrize("path", _PAGES, ids=str)
def test_tests_that_a_page_names_exist(path: Path) -> None:
    sources = {file: (ROOT / file).read_text() for file in our_files() if file.parts[0] == "tests" and file.suffix == ".py"}
    defined = {name for text in sources.values() for name in re.findall(r"def (test_\w+)", text)}
    defined |= {file.stem for file in sources}
    named = set(re.findall(r"\b(test_[a-z0-9_]+)", (ROOT / path).read_text()))
    assert named <= defined


def test_files_that_a_folders_page_lists_exist() -> None:
    missing = []
    for path in _PAGES:
        if path.name == "README.md" and len(path.parts) == 2:
            for row in re.findall(r"^\| (`[^|]+) \|", (ROOT / path).read_text(), re.MULTILINE):
                names = re.findall(r"`([\w./-]+\.(?:py|js|css|html|sh))`", row)
                missing += [f"{path}: {name}" for name in names if not list((ROOT / path.parent).rglob(name))]
    assert not missing


def test_every_file_of_a_package_is_on_its_folders_page() -> None:
    missing = []
    for package in packages():
        page = ROOT / package / "README.md"
        text = page.read_text() if page.exists() else ""
        for file in (ROOT / package).glob("*.py"):
            if not file.name.startswith("__") and f"`{file.name}`" not in text:
                missing.append(f"{package}/{file.name}")
    assert not missing, "\n".join(missing)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    # Put together here, so that this file does not find itself.
    private = re.compile("|".join(("/ro" + "ot/", "/wo" + "rk/", "/ho" + r"me/(?!ada/)")))
    texts = {".py", ".md", ".toml", ".js", ".css", ".html", ".sh", ".json"}
    found = [path for path in our_files() if path.suffix in texts and private.search((ROOT / path).read_text())]
    assert not found
