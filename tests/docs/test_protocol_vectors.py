"""The conformance vectors hold for our own codec and our own client."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.session_vectors import Player
from wire.client_codec import (
    BadMessage,
    Form,
    decode_client_message,
    decode_server_message,
    encode,
    is_unknown_server_kind,
)
from wire.client_messages import ClientMessage, Page, ServerMessage
from wire.errors import PeerError

VECTORS = json.loads((Path(__file__).parents[2] / "docs" / "protocol-vectors.json").read_text())


def decode(data: bytes, form: Form, side: str) -> Any:
    return decode_client_message(data, form) if side == "client" else decode_server_message(data, form)


def as_json(message: Any, form: Form) -> Any:
    """The message as the vectors write it: a page's events lie in it as bytes of its own form."""
    if isinstance(message, Page) and form is Form.MSGPACK:
        events = [msgspec.Raw(encode(decode_server_message(bytes(raw), form), Form.JSON)) for raw in message.events]
        message = msgspec.structs.replace(message, events=events)
    return json.loads(encode(message, Form.JSON))


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["json_text"][:60])
def test_a_message_is_the_same_in_both_forms_and_in_both_directions(vector: Any) -> None:
    text, packed = vector["json_text"].encode(), bytes.fromhex(vector["msgpack_hex"])
    assert json.loads(text) == vector["json"]
    for data, form in ((text, Form.JSON), (packed, Form.MSGPACK)):
        message = decode(data, form, vector["side"])
        assert not isinstance(message, BadMessage), message
        assert as_json(message, form) == vector["json"]
        assert encode(message, form) == data


@pytest.mark.parametrize("side", [ClientMessage, ServerMessage])
def test_every_kind_of_message_has_a_vector(side: type) -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in side.__subclasses__()}
    name = "client" if side is ClientMessage else "gateway"
    assert {vector["json"]["t"] for vector in VECTORS["messages"] if vector["side"] == name} == kinds


@pytest.mark.parametrize("vector", VECTORS["malformed"], ids=lambda vector: f"{vector['form'][-7:]}: {vector['why']}")
def test_malformed_bytes_have_their_verdict(vector: Any) -> None:
    form = Form(vector["form"])
    data = vector["text"].encode() if "text" in vector else bytes.fromhex(vector["hex"])
    if "close" in vector:
        with pytest.raises(PeerError) as raised:
            decode_client_message(data, form)
        assert raised.value.code == vector["close"]
    else:
        message = decode_client_message(data, form)
        assert isinstance(message, BadMessage)
        assert (message.refusal.kind.code, message.n) == (vector["refusal"], vector["n"])


@pytest.mark.parametrize("vector", VECTORS["from_newer_gateway"], ids=lambda vector: vector["json_text"][:60])
def test_what_a_newer_gateway_says_is_ignored_not_refused(vector: Any) -> None:
    for data, form in ((vector["json_text"].encode(), Form.JSON), (bytes.fromhex(vector["msgpack_hex"]), Form.MSGPACK)):
        if vector["taken_as"] == "ignored":
            assert is_unknown_server_kind(data, form)
        else:
            assert as_json(decode_server_message(data, form), form) == vector["taken_as"]


@pytest.mark.parametrize("session", VECTORS["sessions"], ids=lambda session: session["name"])
def test_our_client_lives_through_the_session_as_it_should(session: Any) -> None:
    player = Player()
    for step in session["steps"]:
        player.play(step)
        player.check(step.get("expect", {}))
