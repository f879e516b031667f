"""What a scenario can ask about its run."""

import pytest

from loadtest.people.environment import REASON_CHARACTERS_MAX, Environment
from loadtest.people.hooks import Events


def test_options_are_attributes_as_in_locust() -> None:
    environment = Environment(Events(), [], {"speakers": 3})
    assert environment.parsed_options.speakers == environment.options["speakers"] == 3


def test_the_host_is_the_first_gateway_if_there_is_any() -> None:
    assert Environment(Events(), ["ws://a", "ws://b"]).host == "ws://a"
    assert Environment(Events(), []).host is None


def test_a_scenario_that_has_seen_enough_says_why_once() -> None:
    environment = Environment(Events(), [])
    assert environment.runner.wish == ""
    environment.runner.quit("the room is full")
    environment.runner.stop("and so am I")
    assert environment.runner.wish == "the scenario ended it: the room is full"
    silent, long = Environment(Events(), []), Environment(Events(), [])
    silent.runner.quit()
    long.runner.quit("x" * 1000)
    assert (silent.runner.wish, len(long.runner.wish)) == ("the scenario ended it", REASON_CHARACTERS_MAX)


def test_an_exit_code_is_not_set_by_hand() -> None:
    environment = Environment(Events(), [])
    assert environment.process_exit_code is None
    with pytest.raises(AttributeError, match="say what must not be with --fail-if"):
        environment.process_exit_code = 1
