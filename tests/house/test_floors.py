"""The house has floors: imports go down, never up, never sideways."""

from pathlib import Path

import pytest

from tests.support.tree import FLOORS, ROOT, imports_of, package_files, packages


@pytest.mark.parametrize("package", packages())
def test_a_package_imports_only_from_below(package: str) -> None:
    wrong = []
    for path in package_files():
        if path.parts[0] != package:
            continue
        for found in imports_of(path):
            if found.top in FLOORS and found.top != package and FLOORS[found.top] >= FLOORS[package]:
                wrong.append(f"{path}:{found.line} imports {found.module}")
    assert not wrong, "\n".join(wrong)


def test_no_package_imports_tests_or_benchmarks() -> None:
    outside = {"tests", "bench", "tools"}
    wrong = [f"{path}: {found.module}" for path in package_files() for found in imports_of(path) if found.top in outside]
    assert not wrong, "\n".join(wrong)


def test_every_folder_with_python_in_the_root_has_a_floor_or_is_a_tool() -> None:
    known = set(FLOORS) | {"tests", "bench", "tools"}
    folders = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*.py")}
    assert {folder for folder in folders if not folder.startswith(".")} - {"build"} <= known


def test_asyncio_is_imported_nowhere_in_the_packages() -> None:
    wrong = [f"{path}:{found.line}" for path in package_files() for found in imports_of(path) if found.top == "asyncio"]
    assert not wrong, "\n".join(wrong)


def test_the_wheel_holds_every_package() -> None:
    text = Path(ROOT / "pyproject.toml").read_text()
    missing = [package for package in packages() if text.count(f'"{package}"') < 2]
    assert not missing, f"not named in both the wheel's and mypy's list: {missing}"
