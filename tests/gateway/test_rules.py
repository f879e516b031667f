"""Rules are the settings that concern one client."""

from gateway.rules import session_rules
from runtime.schema import GatewaySettings, RoomSettings


def test_rules_follow_the_settings() -> None:
    rules = session_rules(GatewaySettings(publish_rate_per_s=7.0, publish_burst=9), RoomSettings(namespaces=["town"]))
    assert (rules.publish_rate_per_s, rules.publish_burst, rules.namespaces) == (7.0, 9, frozenset({"town"}))
