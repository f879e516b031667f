"""The tree: tests mirror it, every folder says what it is, and files stay small enough to read."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.tree import FLOORS, ROOT, our_files, package_files, parse

LINES_MAX: Final = 400

# Files without a test file of their own, each with the reason.
_WITHOUT_MIRROR: Final = {
    "broker/effects.py": "types only",
    "broker/journal/protocol.py": "types and a Protocol only; tests/support holds its contract suite",
    "broker/verdicts.py": "types only",
    "client/effects.py": "types only",
    "client/updates.py": "types only",
    "gateway/feed_port.py": "a Protocol only",
    "loadtest/master/steering.py": "types and a Protocol only",
    "loadtest/scenarios/blog_windows.py": "a scenario; tests/loadtest/test_shipped.py runs all of them",
    "loadtest/scenarios/debate_opens.py": "a scenario; tests/loadtest/test_shipped.py runs all of them",
    "loadtest/scenarios/election_night.py": "a scenario; tests/loadtest/test_shipped.py runs all of them",
    "loadtest/scenarios/qna_twelve_rooms.py": "a scenario; tests/loadtest/test_shipped.py runs all of them",
    "loadtest/scenarios/reconnect_storm.py": "a scenario; tests/loadtest/test_shipped.py runs all of them",
    "loadtest/scenarios/soak.py": "a scenario; tests/loadtest/test_shipped.py runs all of them",
    "parvis/finding.py": "types only",
    "parvis/__main__.py": "one call; tests/parvis/test_command.py starts it as a program",
    "runtime/transport.py": "a Protocol only; tests/support/transport_contract.py is its contract suite",
    "shard_router/ports.py": "types and Protocols only",
    "shard_router/redis_scripts.py": "texts only; tests/shard_router/test_redis_store.py runs each of them",
}

# Drawers into which anything goes are read by nobody.
_DRAWERS: Final = {"utils", "util", "common", "manager", "managers", "helpers", "misc"}

# Folders that hold data or one kind of file named by their parent, and need no page of their own.
_WITHOUT_README: Final = {"api/static", ".ci", ".", "tests/house"}


def _mirror(path: Path) -> Path:
    return Path("tests", *path.parts[:-1], f"test_{path.name}")


def _mirrored_files() -> list[Path]:
    return [path for path in package_files() if path.name != "__init__.py" and path.as_posix() not in _WITHOUT_MIRROR]


@pytest.mark.parametrize("path", _mirrored_files(), ids=str)
def test_a_file_has_its_test_file(path: Path) -> None:
    assert (ROOT / _mirror(path)).is_file(), f"{_mirror(path)} is missing"


def test_files_without_a_mirror_exist_and_have_none() -> None:
    stale = [path for path in _WITHOUT_MIRROR if not (ROOT / path).exists() or (ROOT / _mirror(Path(path))).exists()]
    assert not stale, f"take off the list: {stale}"


def test_every_folder_has_a_readme() -> None:
    folders = {path.parent for path in our_files()}
    # Folders below tests/ mirror the tree, and tests/README.md speaks for them all.
    needing = {folder for folder in folders if folder.as_posix() not in _WITHOUT_README and folder.parts[0] != "tests"}
    needing |= {Path(top) for top in FLOORS if (ROOT / top).is_dir()} | {Path("tests")}
    # A folder within a package is told by the package's page unless it has its own.
    missing = [f for f in sorted(needing) if not (ROOT / f / "README.md").is_file() and not _is_told_above(f)]
    assert not missing, f"no README.md in {[str(folder) for folder in missing]}"


def _is_told_above(folder: Path) -> bool:
    """Whether the page of the folder above names this one as a path."""
    above = ROOT / folder.parent / "README.md"
    return len(folder.parts) > 1 and above.is_file() and f"{folder.name}/" in above.read_text()


@pytest.mark.parametrize("path", [p for p in our_files() if p.suffix in {".py", ".js", ".css", ".html", ".sh"}], ids=str)
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    lines = len((ROOT / path).read_text().splitlines())
    assert lines <= LINES_MAX, f"{path} has {lines} lines"


def test_no_module_is_a_drawer() -> None:
    named = [path for path in our_files() if path.suffix == ".py" and {path.stem, *path.parts[:-1]} & _DRAWERS]
    assert not named, f"what do these do? {[str(path) for path in named]}"


@pytest.mark.parametrize("path", [p for p in package_files() if p.name != "__init__.py"], ids=str)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(parse(path))
    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].strip(), f"{path} begins with an empty line"


def test_tests_are_plain_folders() -> None:
    assert not [path for path in our_files() if path.parts[0] == "tests" and path.name == "__init__.py"]


def test_unfinished_thoughts_are_kept_in_the_tracker() -> None:
    # Put together here, so that this file does not find itself.
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    texts = {".py", ".md", ".toml", ".js", ".css", ".html", ".sh", ".json"}
    found = [
        f"{path}:{number}"
        for path in our_files()
        if path.suffix in texts or path.name == "Makefile"
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not found, "\n".join(found)


def test_nothing_sleeps_on_the_wall_clock() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path in package_files()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep"
    ]
    assert not found, "\n".join(found)


def test_no_test_is_skipped() -> None:
    skips = {"skip", "skipif", "importorskip", "xfail"}
    found = [
        f"{path}:{node.lineno}"
        for path in our_files()
        if path.parts[0] == "tests" and path.suffix == ".py"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and node.attr in skips
    ]
    assert not found, "\n".join(found)
