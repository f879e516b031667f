"""Filling the table of settings from defaults < TOML file < environment < flags.

Nothing is guessed and nothing is ignored: an unknown key names where it came from and what
was probably meant, a bad value names its key, its bound and its origin, and all problems
are told at once.  A key is written ``gateway.port`` in messages and flags, ``[gateway]
port`` in the file, ``PARVIS_GATEWAY__PORT`` in the environment.
"""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from runtime.schema import Section, Settings
from runtime.settings_relations import broken_relations

ENVIRONMENT_PREFIX: Final = "PARVIS_"
# Names the TOML file itself, so it is read before any setting is.
CONFIG_VARIABLE: Final = "PARVIS_CONFIG"
DEFAULT_ORIGIN: Final = "default"

# What Kubernetes puts into every container beside a service called parvis-anything.
_SERVICE_LINK = re.compile(
    r"PARVIS(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT_VALUE = re.compile(r"(tcp|udp)://")


class SettingsError(Exception):
    """The settings cannot be used; `problems` is one sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, and where each came from."""

    settings: Settings
    origins: Mapping[str, str]

    def origin_of(self, key: str) -> str:
        """Where ``section.name`` was set last: a file, a variable, a flag, or ``default``."""
        return self.origins.get(key, DEFAULT_ORIGIN)

    def rows(self) -> Iterator[tuple[str, object, str]]:
        """Every key in the order of the table, with its value and origin."""
        for key in KEYS:
            yield key, _value_at(self.settings, key), self.origin_of(key)


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as it was found; `is_text` where everything is text (environment, flags) and is read by the key's type."""

    key: str
    value: Any
    origin: str
    is_text: bool


def load_settings(
    *, file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """Read all sources and check the whole; raises `SettingsError`.

    `environment` is usually ``os.environ``; variables without the prefix are not ours.
    `flags` are dotted keys; a flag that was not given is not in it.
    """
    problems: list[str] = []
    given = [
        *(_from_file(file, problems) if file is not None else ()),
        *_from_environment(environment or {}),
        *(_Given(key, value, f"flag {key}", isinstance(value, str)) for key, value in (flags or {}).items()),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for each in given:
        if each.key not in KEYS:
            problems.append(_unknown(each))
            continue
        try:
            values[each.key] = _converted(each)
        except (ValueError, msgspec.ValidationError) as error:
            problems.append(f"{each.key} = {_shown(each.value)} ({each.origin}): {error}")
        else:
            origins[each.key] = each.origin
    if problems:
        raise SettingsError(problems)
    settings = _assembled(values)
    broken = [
        f"{sentence} ({', '.join(f'{key} from {origins.get(key, DEFAULT_ORIGIN)}' for key in keys)})"
        for keys, sentence in broken_relations(settings)
    ]
    if broken:
        raise SettingsError(broken)
    return Loaded(settings, origins)


# --- the table of keys -------------------------------------------------------------------------------


def _keys_of(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(section):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield from _keys_of(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type


KEYS: Final[Mapping[str, Any]] = dict(_keys_of(Settings))
"""Every key with its type, in the order of runtime/schema.py."""
_SECTIONS: Final = frozenset(field.name for field in msgspec.structs.fields(Settings) if field.name not in KEYS)


def _value_at(settings: Settings, key: str) -> object:
    value: object = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _assembled(values: Mapping[str, Any]) -> Settings:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return msgspec.convert(nested, Settings)


# --- sources -----------------------------------------------------------------------------------------


def _from_file(path: Path, problems: list[str]) -> Iterator[_Given]:
    try:
        tables = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        problems.append(f"cannot read the settings file {path}: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path} is not TOML: {error}")
        return
    for name, value in tables.items():
        if name in _SECTIONS and isinstance(value, dict):
            yield from (_Given(f"{name}.{key}", each, str(path), False) for key, each in value.items())
        else:
            yield _Given(name, value, str(path), False)


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Given]:
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE or _is_service_link(variable, value):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        yield _Given(key, value, f"environment {variable}", True)


def _is_service_link(variable: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(variable):
        return True
    return variable.endswith("_PORT") and "__" not in variable and _SERVICE_PORT_VALUE.match(value) is not None


# --- values ------------------------------------------------------------------------------------------


def _converted(given: _Given) -> Any:
    """The value in its key's own type; raises ValueError or `msgspec.ValidationError` with the bound in it."""
    kind = KEYS[given.key]
    value = _parsed(given.value, inspect.type_info(kind)) if given.is_text else given.value
    converted = msgspec.convert(value, kind, strict=not given.is_text)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError("Expected a finite number")
    return converted


def _parsed(text: str, kind: inspect.Type) -> object:
    """Lists and tables out of one line: JSON, or ``a,b`` and ``a=1,b=2``."""
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.ListType):
        return json.loads(text) if text.lstrip().startswith("[") else _items(text)
    if isinstance(kind, inspect.DictType):
        return json.loads(text) if text.lstrip().startswith("{") else dict(_pair(item) for item in _items(text))
    return text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise ValueError(f"Expected name=value, got {item!r}")
    return name.strip(), value.strip()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _unknown(given: _Given) -> str:
    """What is wrong, where, and what was probably meant."""
    what = f"unknown section [{given.key}]" if isinstance(given.value, dict) else f"unknown setting {given.key}"
    if given.key in _SECTIONS:
        return f"{given.key} ({given.origin}) is a section, not a setting: it has {', '.join(_names_in(given.key))}"
    candidates = [*_SECTIONS] if isinstance(given.value, dict) else [*KEYS]
    close = difflib.get_close_matches(given.key, candidates, n=1)
    if not close:
        # The right name in no or the wrong section is as common as a typing error.
        name = given.key.rpartition(".")[2]
        close = [key for key in KEYS if key.rpartition(".")[2] == name][:1]
    return f"{what} ({given.origin})" + (f"; did you mean {_as_written(close[0], given)}?" if close else "")


def _as_written(key: str, given: _Given) -> str:
    """`key` in the spelling of the source it should have been in."""
    if given.origin.startswith("environment "):
        return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()
    return f"[{key}]" if isinstance(given.value, dict) else key


def _names_in(section: str) -> list[str]:
    return [key.partition(".")[2] for key in KEYS if key.startswith(f"{section}.")]
