"""Pure files decide and touch nothing: no I/O, no clock, no randomness of their own.

A file is pure when it is listed here, lies in wire/, or says so itself: a module docstring
with the word "Pure" is a promise, and this test keeps it.
"""

import ast
from pathlib import Path
from typing import Final

import pytest

from tests.support.tree import ROOT, imports_of, package_files, parse

_PURE: Final = [
    "broker/record.py",
    "broker/room.py",
    "broker/shard.py",
    "gateway/session.py",
    "shard_router/placement.py",
]

_FORBIDDEN: Final = {
    "trio", "trio_websocket", "redis", "asyncio", "threading", "selectors", "socket", "subprocess", "signal",
    "time", "datetime", "secrets", "uuid", "sqlite3", "structlog", "prometheus_client", "psutil", "os", "pathlib",
}  # fmt: skip


def _is_pure(path: Path) -> bool:
    if path.parts[0] == "wire" or path.as_posix() in _PURE:
        return True
    docstring = ast.get_docstring(parse(path)) or ""
    return "Pure:" in docstring or "Pure;" in docstring or "Pure." in docstring or "Pure " in docstring


def pure_files() -> list[Path]:
    return [path for path in package_files() if _is_pure(path)]


@pytest.mark.parametrize("path", pure_files(), ids=str)
def test_a_pure_file_imports_neither_io_nor_clock_nor_randomness(path: Path) -> None:
    found = imports_of(path)
    wrong = [f"{path}:{each.line} imports {each.module}" for each in found if each.top in _FORBIDDEN]
    # The class may be named as the type of an argument: the generator itself is always given.
    wrong += [f"{path}:{each.line} imports {each.module}" for each in found if each.top == "random" and each.names != ("Random",)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", pure_files(), ids=str)
def test_a_pure_file_makes_no_random_source_of_its_own(path: Path) -> None:
    made = [
        node.lineno
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Random"
    ]
    assert not made, f"{path} makes a Random in line {made}"


@pytest.mark.parametrize("path", pure_files(), ids=str)
def test_a_pure_file_waits_for_nothing(path: Path) -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [node.lineno for node in ast.walk(parse(path)) if isinstance(node, waiting)]
    assert not found, f"{path} waits in line {found}"


def test_the_listed_files_exist() -> None:
    assert not [path for path in _PURE if not (ROOT / path).exists()]
