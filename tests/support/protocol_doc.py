"""Reading docs/protocol.md: its tables by heading, and how a field of a message is written in them."""

import json
import re
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path

import msgspec
from msgspec import inspect

PROTOCOL_PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"

_HEADING = re.compile(r"^(#{2,4}) (.*)$")


@dataclass(frozen=True)
class Section:
    """One heading, what stands directly under it, and the headings above it."""

    title: str
    parents: tuple[str, ...]
    lines: tuple[str, ...]

    def rows(self) -> list[list[str]]:
        """The cells of the section's first table, its head row left out."""
        table = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), self.lines))
        return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in list(table)[2:]]

    def blocks(self, language: str) -> list[str]:
        """Its fenced blocks in that language."""
        text = "\n".join(self.lines)
        return re.findall(rf"^```{language}\n(.*?)^```", text + "\n", re.MULTILINE | re.DOTALL)


def sections(text: str) -> list[Section]:
    """All sections of a page, in order."""
    found: list[tuple[int, str, list[str]]] = []
    in_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        heading = None if in_code else _HEADING.match(line)
        if heading:
            found.append((len(heading[1]), heading[2], []))
        elif found:
            found[-1][2].append(line)
    result, above = [], list[tuple[int, str]]()
    for level, title, lines in found:
        above = [(depth, name) for depth, name in above if depth < level]
        result.append(Section(title, tuple(name for _, name in above), tuple(lines)))
        above.append((level, title))
    return result


def protocol_sections() -> dict[str, Section]:
    """The sections of docs/protocol.md by title."""
    return {section.title: section for section in sections(PROTOCOL_PAGE.read_text())}


def field_rows(struct: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """Name, type and default of each field, as the page's tables have them."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return [(field.encode_name, type_words(field.type), _default_words(field)) for field in info.fields]


def type_words(kind: inspect.Type) -> str:
    """A field's type and bounds in words."""
    match kind:
        case inspect.IntType():
            return "integer" if kind.ge is None else f"integer, {kind.ge} to {kind.le}"
        case inspect.StrType():
            if kind.pattern is not None:
                return "16 hex digits or empty"
            return "text" if kind.max_length is None else f"text, at most {kind.max_length} characters"
        case inspect.BoolType():
            return "boolean"
        case inspect.ListType():
            return f"list of {type_words(kind.item_type)}" + (f", at most {kind.max_length}" if kind.max_length else "")
        case inspect.DictType():
            return f"map of room to offset, at most {kind.max_length}"
        case inspect.UnionType():
            return " or ".join(type_words(each) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.StructType():
            return f"`{struct_words(kind.cls)}`"
        case inspect.RawType():
            return "`event`"
    raise AssertionError(f"the page has no words for {kind}")


def struct_words(struct: type[msgspec.Struct]) -> str:
    """A message's kind, or the name the page gives to a part of one."""
    tag = struct.__struct_config__.tag
    return str(tag) if tag is not None else {"Position": "position", "JoinRequest": "join request"}[struct.__name__]


def _default_words(field: inspect.Field) -> str:
    if field.default is None:
        return "absent"
    if field.default is not inspect.NODEFAULT:
        return f"`{json.dumps(field.default)}`"
    if field.default_factory is not inspect.NODEFAULT:
        return f"`{json.dumps(field.default_factory())}`"
    return "required"
