"""A scenario: the Python file that says who takes part, loaded and checked.

Whatever is wrong with the file is one plain sentence that says what to change, and where.
"""

import ast
import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from loadtest.master.fault_plan import Fault, parse_faults
from loadtest.people.hooks import Events, events
from loadtest.people.shapes import LoadTestShape, Steady
from loadtest.people.tasks import Chosen, known_tags, tasks_of
from loadtest.people.users import Person, Reader, User
from loadtest.workers.arrivals import Arrivals
from loadtest.workers.dispatch import Kind
from wire.limits import ROOMS_PER_CLIENT_MAX
from wire.names import parse_room

SHIPPED: Final = Path(__file__).parent.with_name("scenarios")
_FIXED_COUNT_MAX: Final = 10_000_000


class ScenarioError(Exception):
    """One plain sentence: what is wrong with a scenario, and what to change."""


@dataclass(frozen=True, slots=True)
class Option:
    """A value of the scenario that the command may set: ``options = {"speakers": Option(20, "how many speak")}``."""

    default: Any
    help: str = ""

    def parse(self, text: str) -> Any:
        """Text of the command as a value of the default's type; raises ValueError."""
        if isinstance(self.default, bool):
            if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
                raise ValueError("neither yes nor no")
            return text.lower() in ("true", "yes", "1")
        return type(self.default)(text)


@dataclass(frozen=True)
class Scenario:
    """A file, as it was when it was loaded."""

    name: str
    path: Path
    digest: str
    """SHA-256 of the file, in hex."""
    description: str
    """The file's docstring."""
    classes: tuple[type[Person], ...]
    """Those that can be spawned, by name."""
    shape: type[LoadTestShape] | None
    options: Mapping[str, Option]
    events: Events
    faults: tuple[Fault, ...] = ()
    """What its `faults = ["30s kill shard", ...]` asks for; `--fault` takes their place."""

    @property
    def hosts(self) -> list[str]:
        """The addresses that its classes name, for a command that names none."""
        return list(dict.fromkeys(each.host for each in self.classes if each.host is not None))

    def option_values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """All options, as given or by default; raises ScenarioError for one that is unknown or of the wrong type."""
        values = {name: option.default for name, option in self.options.items()}
        for name, text in given.items():
            if name not in self.options:
                raise ScenarioError(f"{self.name} has no option {name!r}; {_has('it has', self.options)}")
            try:
                values[name] = self.options[name].parse(text)
            except ValueError:
                kind = type(self.options[name].default).__name__
                raise ScenarioError(f"option {name} of {self.name}: {text!r} cannot be read as {kind}") from None
        return values

    def make_shape(
        self, *, users: int | None = None, spawn_rate: float | None = None, run_time_s: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LoadTestShape:  # fmt: skip
        """The scenario's shape, or a steady one, with what the command gave in place of its own values."""
        shape = (self.shape or Steady)()
        shape.users = shape.users if users is None else users
        shape.spawn_rate = shape.spawn_rate if spawn_rate is None else spawn_rate
        shape.run_time_s = shape.run_time_s if run_time_s is None else run_time_s
        shape.options = options or {}
        return shape

    def choose(self, tags: Iterable[str] = (), exclude_tags: Iterable[str] = ()) -> "Cast":
        """What is left of it by tags; raises ScenarioError for an unknown tag, or when nothing is left."""
        known = known_tags(self.classes)
        for each in (*tags, *exclude_tags):
            if each not in known:
                raise ScenarioError(f"{self.name} has no tag {each!r}; {_has('its tags are', known)}")
        chosen = Chosen(tags, exclude_tags)
        classes = tuple(each for each in self.classes if issubclass(each, Reader) or chosen.tasks(each))
        if not classes:
            raise ScenarioError(f"no task of {self.name} is left by these tags; {_has('its tags are', known)}")
        return Cast({each.__name__: each for each in classes}, chosen)


@dataclass(frozen=True)
class Cast:
    """The classes and tasks of one run."""

    classes: Mapping[str, type[Person]]
    tasks: Chosen

    def kinds(self) -> list[Kind]:
        """For the dispatch."""
        return [
            Kind(name, each.weight, each.fixed_count, each.arrivals.per_s if issubclass(each, User) and each.arrivals else None)
            for name, each in self.classes.items()
        ]


def shipped() -> list[str]:
    """Names of the scenarios that come with the program."""
    return sorted(path.stem for path in SHIPPED.glob("[a-z]*.py"))


def load_scenario(name: str) -> Scenario:
    """A file's path, or the name of a shipped one.  Raises ScenarioError.

    The file's code runs; listeners of a scenario loaded before are forgotten.
    """
    path = _find(name)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror or error}") from error
    events.forget()
    module = _execute(path, source)
    classes = _classes(module, path)
    shapes = [each for each in _own(module, LoadTestShape) if not each.abstract]
    if len(shapes) > 1:
        names = ", ".join(each.__name__ for each in shapes)
        raise ScenarioError(f"{path.name} has {len(shapes)} shapes ({names}): mark all but one with abstract = True")
    return Scenario(
        path.stem, path, hashlib.sha256(source).hexdigest(), (module.get("__doc__") or "").strip(), classes,
        shapes[0] if shapes else None, _options(module, path), events, _faults(module, path),
    )  # fmt: skip


def _find(name: str) -> Path:
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) and (SHIPPED / f"{name}.py").is_file():
        return SHIPPED / f"{name}.py"
    path = Path(name)
    if path.is_dir():
        raise ScenarioError(f"{name} is a folder: name the scenario's file in it")
    if not path.is_file():
        raise ScenarioError(f"there is no file {name}, and no shipped scenario of that name; shipped are {', '.join(shipped())}")
    return path.resolve()


def _execute(path: Path, source: bytes) -> dict[str, Any]:
    """Run the file as a module of its own; its folder can be imported from meanwhile, as locust has it."""
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(f"scenario_{path.stem}", None, origin=str(path)))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.parent))
    try:
        tree = ast.parse(source, path)
        _refuse_locust(tree, path)
        exec(compile(tree, path, "exec"), module.__dict__)
    except SyntaxError as error:
        where = f"{Path(error.filename or path).name}{f', line {error.lineno}' if error.lineno else ''}"
        raise ScenarioError(f"{where}: {error.msg}{f': {error.text.strip()!r}' if error.text else ''}") from error
    except ScenarioError:
        raise
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"{path.name}, line {_line(error, path)}: {_words(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module.__dict__


def _refuse_locust(tree: ast.Module, path: Path) -> None:
    """Importing locust puts its own sockets and clocks (gevent) under the whole process: nothing of ours would work."""
    for each in ast.walk(tree):
        if not isinstance(each, (ast.Import, ast.ImportFrom)):
            continue
        modules = [name.name for name in each.names] if isinstance(each, ast.Import) else [each.module or ""]
        if any(module.partition(".")[0] in ("locust", "gevent") for module in modules):
            raise ScenarioError(
                f"{path.name}, line {each.lineno}: what locust brings cannot run here: import User, task, between ... from "
                "loadtest, and write tasks as async def"
            )


def _line(error: BaseException, path: Path) -> int | str:
    """The last line of the file itself that was under way."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines and lines[-1] is not None else "?"


def _words(error: BaseException) -> str:
    # Raised by our own nouns (`loadtest/people/tasks.py` ...), these are sentences already.
    is_sentence = type(error) in (ValueError, TypeError, AttributeError) and str(error)
    return str(error) if is_sentence else f"{type(error).__name__}: {error}"


def _own(module: Mapping[str, Any], base: type) -> list[Any]:
    found = [each for each in module.values() if isinstance(each, type) and issubclass(each, base) and each is not base]
    return sorted(set(found), key=lambda each: each.__name__)


def _options(module: Mapping[str, Any], path: Path) -> dict[str, Option]:
    options = module.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(each, Option) for each in options.values()):
        raise ScenarioError(f'{path.name}: options must be a dict like {{"speakers": Option(20, "how many speak")}}')
    return options


def _faults(module: Mapping[str, Any], path: Path) -> tuple[Fault, ...]:
    lines = module.get("faults", [])
    if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
        raise ScenarioError(f'{path.name}: faults must be a list of lines, like ["30s kill shard"]')
    try:
        return tuple(parse_faults(lines))
    except ValueError as error:
        raise ScenarioError(f"{path.name}: {error}") from error


def _classes(module: Mapping[str, Any], path: Path) -> tuple[type[Person], ...]:
    classes = [each for each in _own(module, Person) if not each.abstract]
    if len({each.__name__ for each in classes}) < len(classes):
        raise ScenarioError(f"{path.name} has two classes of one name: rename one")
    for each in classes:
        wrong = _what_is_wrong(each)
        if wrong:
            raise ScenarioError(f"{path.name}: {each.__name__}{wrong}")
    spawned = tuple(each for each in classes if each.weight > 0 or each.fixed_count > 0)
    if not spawned:
        why = "all of its classes have weight 0" if classes else "it needs a class that inherits from User or Reader"
        raise ScenarioError(f"{path.name} has nobody to spawn: {why}")
    return spawned


def _what_is_wrong(each: type[Person]) -> str:
    """The rest of a sentence that begins with the class's name; empty when it can be spawned."""
    if not _is_number(each.weight) or each.weight < 0:
        return f".weight is {each.weight!r}: it must be a number, 0 or more"
    if not isinstance(each.fixed_count, int) or not 0 <= each.fixed_count <= _FIXED_COUNT_MAX:
        return f".fixed_count is {each.fixed_count!r}: it must be a whole number, 0 or more"
    if isinstance(each.rooms, str) or not all(isinstance(room, str) for room in each.rooms):
        return '.rooms must be a list of names, like ["square/main"]'
    for room in each.rooms:
        if parse_room(room) is None:
            return f".rooms names {room!r}: a room is called like square/main, in small letters, digits and - . _"
    joined = each.rooms_each or len(each.rooms)
    if not isinstance(each.rooms_each, int) or not 0 <= joined <= min(len(each.rooms), ROOMS_PER_CLIENT_MAX):
        return f" would be in {joined} of {len(each.rooms)} rooms: at most {ROOMS_PER_CLIENT_MAX}, and no more than there are"
    if each.host is not None and not re.match(r"wss?://[^/]", str(each.host)):
        return f".host is {each.host!r}: it must begin with ws:// or wss://"
    if issubclass(each, Reader):
        return _what_is_wrong_with_reader(each)
    return _what_is_wrong_with_user(each) if issubclass(each, User) else " inherits from neither User nor Reader"


def _what_is_wrong_with_reader(each: type[Reader]) -> str:
    if not each.rooms:
        return ' has nothing to read: give it rooms = ["square/main"]'
    if not _is_number(each.audit_share) or not 0 <= each.audit_share <= 1:
        return f".audit_share is {each.audit_share!r}: it must be from 0 to 1"
    return ""


def _what_is_wrong_with_user(each: type[User]) -> str:
    if not tasks_of(each):
        hint = ": did you mean tasks instead of task?" if hasattr(each, "task") else ": mark a method with @task"
        return f" has nothing to do{hint}"
    if not callable(each.wait_time):
        return f".wait_time is {each.wait_time!r}: write between(1, 5), constant(1) or a method"
    if each.arrivals is not None and not isinstance(each.arrivals, Arrivals):
        return f".arrivals is {each.arrivals!r}: write per_second(20)"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _has(what: str, names: Iterable[str]) -> str:
    return f"{what} {', '.join(sorted(names))}" if list(names) else "it has none"
