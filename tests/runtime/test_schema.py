"""The table of settings: immutable, closed, with defaults inside its own bounds."""

import msgspec
import pytest

from runtime.schema import GatewaySettings, Section, Settings
from wire import limits

SECTIONS = [field.type for field in msgspec.structs.fields(Settings) if issubclass(field.type, Section)] + [Settings]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_the_defaults_are_within_their_own_bounds(section: type[Section]) -> None:
    assert msgspec.convert(msgspec.to_builtins(section()), section) == section()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_section_takes_no_key_that_is_not_its_own(section: type[Section]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"no_such_key": 1}, section)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_section_cannot_be_changed(section: type[Section]) -> None:
    name = msgspec.structs.fields(section)[0].name
    with pytest.raises(AttributeError):
        setattr(section(), name, "other")


def test_an_operator_may_tighten_a_protocol_bound_and_not_loosen_it() -> None:
    assert msgspec.convert({"frame_bytes_max": 2048}, GatewaySettings).frame_bytes_max == 2048
    with pytest.raises(msgspec.ValidationError, match=str(limits.CLIENT_FRAME_BYTES_MAX)):
        msgspec.convert({"frame_bytes_max": limits.CLIENT_FRAME_BYTES_MAX + 1}, GatewaySettings)


def test_a_gateway_with_a_certificate_is_reached_by_wss() -> None:
    assert GatewaySettings().websocket_scheme == "ws"
    assert GatewaySettings(tls_certificate="a.pem", tls_key="a.key").websocket_scheme == "wss"
