"""The table of docs/settings.md out of runtime/schema.py: prints it, or writes it with ``--write``."""

import ast
import inspect
import json
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from msgspec import inspect as types

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runtime import schema  # noqa: E402  # the root must be found first: this file is a program
from runtime.schema import Section, Settings  # noqa: E402

PAGE: Final = ROOT / "docs" / "settings.md"
BEGIN: Final = "<!-- settings: written by tools/settings_table.py -->"
END: Final = "<!-- end of settings -->"


def tables() -> str:
    """A heading and a table for each section, in the order of the schema."""
    sentences = _sentences()
    top = [field for field in msgspec.structs.fields(Settings) if not _is_section(field.type)]
    sections = [field for field in msgspec.structs.fields(Settings) if _is_section(field.type)]
    parts = [_table("", Settings, top, sentences)]
    for each in sections:
        parts.append(f"### {each.name}")
        parts.append(_table(f"{each.name}.", each.type, msgspec.structs.fields(each.type), sentences))
    return "\n\n".join(parts)


def page_with_tables(page: str) -> str:
    """The page with its tables as they should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _table(prefix: str, section: type[Section], fields: Sequence[msgspec.structs.FieldInfo], sentences: dict[str, str]) -> str:
    lines = ["| setting | default | allowed | what it is |", "|---|---|---|---|"]
    for field in fields:
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        allowed = _allowed(types.type_info(field.type))
        sentence = sentences[f"{section.__name__}.{field.name}"]
        lines.append(f"| `{prefix}{field.name}` | `{json.dumps(default)}` | {allowed} | {sentence} |")
    return "\n".join(lines)


def _allowed(kind: types.Type) -> str:
    match kind:
        case types.StrType(pattern=str(pattern)):
            words = re.fullmatch(r"\^\(([a-z|-]+)\)\$", pattern)
            return ", ".join(f"`{word}`" for word in words[1].split("|")) if words else f"`{pattern.replace('|', chr(92) + '|')}`"
        case types.StrType():
            return "text"
        case types.BoolType():
            return "`true`, `false`"
        case types.IntType() | types.FloatType():
            return _range(kind)
        case types.BoolType():
            return "`true`, `false`"
        case types.ListType():
            return "list of texts"
        case types.DictType():
            return "table of texts"
    raise AssertionError(f"no words for {kind}")


def _range(kind: types.IntType | types.FloatType) -> str:
    what = "whole number" if isinstance(kind, types.IntType) else "number"
    low = f"from {kind.ge:g}" if kind.ge is not None else f"above {kind.gt:g}" if kind.gt is not None else ""
    high = f"to {kind.le:g}" if kind.le is not None and kind.le < 1e6 else f"to {kind.le}" if kind.le is not None else ""
    return " ".join(word for word in (what, low, high) if word)


def _sentences() -> dict[str, str]:
    """``Class.field`` to the text that stands below the field in the schema."""
    found = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if isinstance(node, ast.ClassDef):
            for field, text in pairwise(node.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                    sentence = " ".join(str(text.value.value).split()).replace("``", "`").replace("|", "\\|")
                    found[f"{node.name}.{ast.unparse(field.target)}"] = sentence
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page_with_tables(PAGE.read_text()))
    else:
        print(tables())
