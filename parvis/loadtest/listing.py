"""`--list` and `--show-task-ratio`: a scenario's classes and options, and how often each task is picked.  Pure."""

from collections import Counter
from collections.abc import Iterator

from loadtest.people.scenario import Cast, Scenario
from loadtest.people.users import Reader


def classes_of(scenario: Scenario) -> list[str]:
    """A line for each class that can be spawned."""
    lines = []
    for each in scenario.classes:
        kind = "reader" if issubclass(each, Reader) else "user"
        count = f"{each.fixed_count} of them" if each.fixed_count else f"weight {each.weight:g}"
        lines.append(f"{each.__name__:<20} {kind}, {count}")
    return lines


def options_of(scenario: Scenario) -> list[str]:
    """A line for each option of the scenario's own, as it is set."""
    lines = []
    for name, option in scenario.options.items():
        text = f"-o {name}={option.default}"
        lines.append(f"{text:<20} {option.help}".rstrip())
    return lines


def task_ratios(cast: Cast) -> list[str]:
    """Each class's share of the users that come by weight, and below it each task's share of what they do."""
    classes = cast.classes.values()
    weight = sum(each.weight for each in classes if not each.fixed_count)
    lines = []
    for each in classes:
        share = f"{each.fixed_count} users" if each.fixed_count else f"{each.weight / weight:6.1%}"
        lines.append(f"{share:>10}  {each.__name__}")
        lines += _tasks(cast, each, 1.0, 1)
    return lines


def _tasks(cast: Cast, holder: type, share: float, depth: int) -> Iterator[str]:
    tasks = cast.tasks.tasks(holder)
    for each, times in Counter(tasks).items():
        own = share * times / len(tasks)
        yield f"{own:>10.1%}  {'  ' * depth}{each.__name__}"
        if isinstance(each, type):
            yield from _tasks(cast, each, own, depth + 1)

