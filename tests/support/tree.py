"""The project's own tree, as the house tests read it: packages, files, imports."""

import ast
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

# DESIGN, section 4: a package imports only from floors below its own, and from itself.
FLOORS: Final = {
    "wire": 0,
    "runtime": 1,
    "shard_router": 2,
    "client": 2,
    "broker": 3,
    "gateway": 3,
    "api": 3,
    "loadtest": 3,
    "parvis": 4,
}

# What is generated or private to one machine, and never looked at.
_NOT_OURS: Final = {"build", "dist", "parvis-data", "__pycache__", "node_modules"}


@dataclass(frozen=True)
class Import:
    """One imported module, dotted, with the names taken from it (empty for `import x`)."""

    module: str
    names: tuple[str, ...]
    line: int

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


@cache
def our_files() -> tuple[Path, ...]:
    """Every file of the project itself, relative to its root, in order."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if _is_ours(name)]
        found += [Path(folder, name).relative_to(ROOT) for name in names if not name.startswith(".")]
    return tuple(sorted(found))


def _is_ours(folder: str) -> bool:
    return folder == ".ci" or not (folder.startswith(".") or folder in _NOT_OURS or folder.endswith(".egg-info"))


def packages() -> list[str]:
    """The packages that exist now."""
    return [package for package in FLOORS if (ROOT / package).is_dir()]


def package_files() -> list[Path]:
    """Every Python file of every package, relative to the root."""
    return [path for path in our_files() if path.parts[0] in FLOORS and path.suffix == ".py"]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def imports_of(path: Path) -> list[Import]:
    """All imports of one file, wherever they stand; `from . import x` does not exist in this house."""
    found: list[Import] = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, (), node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.append(Import(node.module or "", tuple(alias.name for alias in node.names), node.lineno))
    return found
