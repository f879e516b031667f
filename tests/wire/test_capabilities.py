"""Capabilities: what a table grants, and that it never grants more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.capabilities import NOTHING, Action, parse_capabilities
from wire.limits import CAPABILITY_PATTERNS_MAX
from wire.names import parse_room

ROOMS = ["town/square", "town/hall", "city/square", "parvis/control"]


def granted(table: dict[str, str], action: Action) -> list[str]:
    capabilities = parse_capabilities(table)
    return [room for room in ROOMS if capabilities.allow(action, room)]


@pytest.mark.parametrize(
    ("table", "readable"),
    [
        ({}, []),
        ({"*": "publish"}, []),
        ({"*": "read"}, ["town/square", "town/hall", "city/square"]),
        ({"town/*": "read"}, ["town/square", "town/hall"]),
        ({"town/s*": "read"}, ["town/square"]),
        ({"town/square": "publish read"}, ["town/square"]),
        ({"town/hall": "read", "city/*": "read moderate"}, ["town/hall", "city/square"]),
        ({"par*": "read", "p*": "read"}, []),
        ({"parvis/*": "read"}, ["parvis/control"]),
        ({"parvis/control": "read"}, ["parvis/control"]),
    ],
)
def test_a_table_grants_what_its_patterns_say(table: dict[str, str], readable: list[str]) -> None:
    assert granted(table, Action.READ) == readable


def test_all_patterns_that_fit_count_together() -> None:
    capabilities = parse_capabilities({"*": "read", "town/*": "publish", "town/square": "moderate"})
    held = [action for action in Action if capabilities.allow(action, "town/square")]
    assert held == [Action.READ, Action.PUBLISH, Action.MODERATE]
    assert not capabilities.allow(Action.PUBLISH, "city/square")


@pytest.mark.parametrize("pattern", ["", "Town/*", "*/square", "town/**", "to*n/square", "town/square\n", "/x", "a" * 98])
def test_what_is_no_pattern_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no room pattern"):
        parse_capabilities({pattern: "read"})


def test_a_word_that_is_no_action_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="'town/\\*' grants 'write'; an action is one of read, publish, ask"):
        parse_capabilities({"town/*": "read write"})


def test_patterns_are_bounded() -> None:
    with pytest.raises(ValueError, match="exceed"):
        parse_capabilities({f"town/{number}": "read" for number in range(CAPABILITY_PATTERNS_MAX + 1)})


def test_people_of_one_role_share_one_object() -> None:
    assert parse_capabilities({"a/*": "read", "b/*": "read"}) is parse_capabilities({"b/*": "read", "a/*": "read"})


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=4), st.sampled_from(ROOMS))
def test_any_table_is_read_or_refused_and_grants_only_what_it_names(table: dict[str, str], room: str) -> None:
    assert parse_room(room)
    try:
        capabilities = parse_capabilities(table)
    except ValueError:
        capabilities = NOTHING
    for action in Action:
        if capabilities.allow(action, room):
            assert any(room.startswith(pattern.rstrip("*")) and action.value in words for pattern, words in table.items())
