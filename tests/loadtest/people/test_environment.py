"""What a scenario can ask about its run."""

from loadtest.people.environment import Environment
from loadtest.people.hooks import Events


def test_options_are_attributes_as_in_locust() -> None:
    environment = Environment(Events(), [], {"speakers": 3})
    assert environment.parsed_options.speakers == environment.options["speakers"] == 3


def test_the_host_is_the_first_gateway_if_there_is_any() -> None:
    assert Environment(Events(), ["ws://a", "ws://b"]).host == "ws://a"
    assert Environment(Events(), []).host is None
