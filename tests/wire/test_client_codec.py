"""The client codec is total, bounded and strict, in both forms."""

import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.client_codec import (
    BadMessage,
    Form,
    decode_client_message,
    decode_server_message,
    encode,
    is_unknown_server_kind,
    recode_event,
)
from wire.client_messages import (
    INTEGER_MAX,
    Ack,
    ClientMessage,
    Count,
    Delete,
    Edit,
    Event,
    Hello,
    History,
    Join,
    JoinRequest,
    Leave,
    Ping,
    Pong,
    Position,
    Publish,
    Refused,
    Rename,
    ServerMessage,
    Welcome,
)
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import CLIENT_FRAME_BYTES_MAX, HISTORY_EVENTS_MAX, TEXT_BYTES_MAX

FORMS = st.sampled_from(Form)
# What decoding a hostile frame may allocate at its peak.  Measured: 2 KiB, and 22 KiB for 60 KiB of JSON escapes;
# a decoder that built what it refuses took 73 MiB.
DECODED_BYTES_MAX = CLIENT_FRAME_BYTES_MAX

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
numbers = st.integers(0, 2**31 - 1)
offsets = st.integers(0, INTEGER_MAX)
positions = st.builds(Position, texts.map(lambda text: text[:32]), offsets, st.sampled_from(["", "00112233445566aa"]))
rooms = texts
limits = st.integers(0, HISTORY_EVENTS_MAX)
join_requests = st.builds(JoinRequest, rooms, st.none() | positions, limits)
client_messages: st.SearchStrategy[ClientMessage] = st.one_of(
    st.builds(Hello, st.integers(0, 1000), texts, texts, texts, texts, st.lists(join_requests, max_size=5)),
    st.builds(Join, numbers, rooms, st.none() | positions, limits),
    st.builds(Leave, numbers, rooms),
    st.builds(Publish, numbers, rooms, texts, texts),
    st.builds(Edit, numbers, rooms, texts, offsets, texts),
    st.builds(Delete, numbers, rooms, texts, offsets),
    st.builds(History, numbers, rooms, texts.map(lambda text: text[:32]), st.none() | offsets, st.none() | offsets),
    st.builds(Rename, numbers, texts),
    st.builds(Pong, st.dictionaries(rooms, offsets, max_size=5)),
)
# Maps that nearly are messages: the right kinds with the wrong fields, and the reverse.
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=10
)
near_maps = st.fixed_dictionaries(
    {"t": st.sampled_from(["hello", "join", "publish", "edit", "history", "pong", "event", "shout"]) | scalars},
    optional=dict.fromkeys(("n", "room", "id", "text", "target", "since", "limit", "seen", "v", "joins", "extra"), values),
)


def verdict_of(data: bytes, form: Form) -> ClientMessage | BadMessage | PeerError:
    """What a gateway makes of one frame; any other exception is a bug."""
    try:
        return decode_client_message(data, form)
    except PeerError as error:
        return error


def server_verdict_of(data: bytes, form: Form) -> ServerMessage | PeerError:
    try:
        return decode_server_message(data, form)
    except PeerError as error:
        return error


@given(FORMS, st.binary(max_size=300))
def test_any_bytes_are_a_message_or_one_of_two_errors(form: Form, data: bytes) -> None:
    verdict = verdict_of(data, form)
    assert isinstance(verdict, ClientMessage | BadMessage) or verdict.code == CloseCode.BAD_REQUEST


@given(near_maps)
def test_any_map_is_a_message_or_one_of_two_errors(near: dict[str, object]) -> None:
    verdict = verdict_of(msgspec.msgpack.encode(near), Form.MSGPACK)
    n = near.get("n", 0)
    if isinstance(verdict, PeerError):
        assert verdict.code == CloseCode.BAD_REQUEST
        assert not isinstance(near["t"], str) or type(n) is not int or n >= 2**63, "a map with kind and number is refused by name"
    elif isinstance(verdict, BadMessage):
        assert verdict.refusal in {Refusal.BAD_MESSAGE, Refusal.UNKNOWN_KIND}
        assert 0 <= verdict.n < 2**31


@given(FORMS, st.data())
def test_a_changed_byte_does_no_harm(form: Form, data: st.DataObject) -> None:
    frame = bytearray(encode(data.draw(client_messages), form))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert verdict_of(bytes(frame), form) is not None
    assert server_verdict_of(bytes(frame), form) is not None


@given(FORMS, st.binary(max_size=300))
def test_any_bytes_are_a_server_message_or_an_error(form: Form, data: bytes) -> None:
    verdict = server_verdict_of(data, form)
    assert isinstance(verdict, ServerMessage) or verdict.code == CloseCode.BAD_REQUEST
    assert is_unknown_server_kind(data, form) in {True, False}


@given(FORMS, client_messages)
def test_encode_then_decode_is_identity(form: Form, message: ClientMessage) -> None:
    assert decode_client_message(encode(message, form), form) == message


@given(FORMS, texts, offsets, texts)
def test_encode_then_decode_is_identity_for_events(form: Form, room: str, offset: int, text: str) -> None:
    event = Event(room, offset, offset, "message", text, text, text, text, offset, text)
    assert decode_server_message(encode(event, form), form) == event


@given(texts, offsets, texts)
def test_an_event_recoded_is_the_same_event(room: str, offset: int, text: str) -> None:
    event = Event(room, offset, 7, "edit", "a", text, "i", text, offset)
    assert recode_event(encode(event, Form.MSGPACK)) == encode(event, Form.JSON)


def nested_lists(depth: int) -> bytes:
    return b"\x91" * depth


def map_of(entries: int, entry: bytes) -> bytes:
    return b"\xdf" + entries.to_bytes(4, "big") + entry * entries


FULL = CLIENT_FRAME_BYTES_MAX
BOMBS: dict[str, tuple[Form, Callable[[], bytes]]] = {
    "lists in lists": (Form.MSGPACK, lambda: nested_lists(FULL)),
    "maps in maps": (Form.MSGPACK, lambda: (b"\x81\xa1a" * FULL)[:FULL]),
    "a map of empty maps": (Form.MSGPACK, lambda: map_of(FULL // 3 - 2, b"\xa1a\x80")),
    "a list of empty maps": (Form.MSGPACK, lambda: b"\xdd" + (FULL - 5).to_bytes(4, "big") + b"\x80" * (FULL - 5)),
    "a kind, then empty maps": (Form.MSGPACK, lambda: b"\x82\xa1t\xa5hello\xa1x\xdd\x00\x00\xf0\x00" + b"\x80" * 0xF000),
    "joins of empty maps": (Form.MSGPACK, lambda: b"\x83\xa1t\xa5hello\xa1v\x01\xa5joins\xdd\x00\x00\xf0\x00" + b"\x80" * 0xF000),
    "a pong of many rooms": (Form.MSGPACK, lambda: b"\x82\xa1t\xa4pong\xa4seen" + map_of(12_000, b"\xa1a\x00")),
    "a pong of many different rooms": (
        Form.MSGPACK,
        lambda: b"\x82\xa1t\xa4pong\xa4seen\xde\x1f\x40" + b"".join(b"\xa5%05d\x00" % i for i in range(8000)),
    ),
    "a list that says 4 billion": (Form.MSGPACK, lambda: b"\x82\xa1t\xa5hello\xa5joins\xdd\xff\xff\xff\xff"),
    "a text that says 4 billion": (Form.MSGPACK, lambda: b"\x81\xa1t\xdb\xff\xff\xff\xff"),
    "extensions": (Form.MSGPACK, lambda: b"\x82\xa1t\xa5hello\xa1x\xdd\x00\x00\x50\x00" + b"\xd4\x01\x00" * 0x5000),
    "NaN as keys": (Form.MSGPACK, lambda: map_of(FULL // 10 - 1, b"\xcb\x7f\xf8" + bytes(6) + b"\xc0")),
    "one key many times": (Form.MSGPACK, lambda: map_of(FULL // 5 - 2, b"\xa1t\xa2hi")),
    "JSON lists in lists": (Form.JSON, lambda: b"[" * FULL),
    "JSON maps in maps": (Form.JSON, lambda: (b'{"t":' * FULL)[:FULL]),
    "JSON lists behind a kind": (Form.JSON, lambda: b'{"t":"hello","x":' + b"[" * 60_000),
    "JSON empty maps": (Form.JSON, lambda: b'{"t":"hello","v":1,"joins":[' + b"{}," * 21_000 + b"{}]}"),
    "JSON one key many times": (Form.JSON, lambda: b"{" + b'"t":"hello",' * 5000 + b'"t":"x"}'),
    "JSON a number of many digits": (Form.JSON, lambda: b'{"t":"leave","n":' + b"9" * 60_000 + b"}"),
    "JSON escapes": (Form.JSON, lambda: b'{"t":"leave","n":1,"room":"' + b"\\u0041" * 10_000 + b'"}'),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_costs_little_memory(name: str) -> None:
    form, build = BOMBS[name]
    data = build()
    assert len(data) <= CLIENT_FRAME_BYTES_MAX
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        verdict = verdict_of(data, form)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert isinstance(verdict, BadMessage | PeerError)
    assert len(verdict.detail if isinstance(verdict, BadMessage) else verdict.message) < 200
    assert peak <= DECODED_BYTES_MAX


@pytest.mark.parametrize("form", Form)
def test_a_frame_beyond_the_bound_is_not_even_looked_at(form: Form) -> None:
    with pytest.raises(PeerError) as raised:
        decode_client_message(b" " * (CLIENT_FRAME_BYTES_MAX + 1), form)
    assert raised.value.code == CloseCode.TOO_BIG


@pytest.mark.parametrize("form", Form)
def test_a_refusal_names_the_field_and_never_what_was_written(form: Form) -> None:
    secret = "my secret opinion"
    near = {"t": "publish", "n": 7, "room": 1, "id": "a", "text": secret}
    data = msgspec.json.encode(near) if form is Form.JSON else msgspec.msgpack.encode(near)
    message = decode_client_message(data, form)
    assert isinstance(message, BadMessage)
    assert message.n == 7
    assert "$.room" in message.detail
    too_long = {"t": "publish", "n": 7, "room": "a/b", "id": "a", "text": secret * TEXT_BYTES_MAX}
    message = decode_client_message(msgspec.msgpack.encode({**too_long, "text": secret * 1000}), Form.MSGPACK)
    assert isinstance(message, BadMessage)
    assert secret not in message.detail


def test_the_last_of_two_equal_keys_counts() -> None:
    assert decode_client_message(b'{"t":"leave","n":1,"room":"a/b","room":"c/d"}', Form.JSON) == Leave(1, "c/d")


@pytest.mark.parametrize("form", Form)
def test_a_gateways_message_is_no_clients(form: Form) -> None:
    message = decode_client_message(encode(Ping(), form), form)
    assert isinstance(message, BadMessage)
    assert message.refusal is Refusal.UNKNOWN_KIND


@pytest.mark.parametrize("form", Form)
def test_servers_leave_out_defaults_and_clients_need_not_name_them(form: Form) -> None:
    packed = msgspec.json.decode if form is Form.JSON else msgspec.msgpack.decode
    assert packed(encode(Count("a/b", 0), form)) == {"t": "count", "room": "a/b", "present": 0}
    assert packed(encode(Ack(1, "a/b", "i", "e", 1, 2), form)) == {
        "t": "ack", "n": 1, "room": "a/b", "id": "i", "epoch": "e", "offset": 1, "at": 2,
    }  # fmt: skip
    encoder = msgspec.json.encode if form is Form.JSON else msgspec.msgpack.encode
    assert decode_client_message(encoder({"t": "hello", "v": 1}), form) == Hello(1)


@pytest.mark.parametrize("form", Form)
def test_a_welcomes_joins_keep_their_kinds(form: Form) -> None:
    refused = Refused(0, "bad_room", "no", room="X")
    welcome = Welcome(1, "g", "s", "g", "a", "n", 25_000, [refused])
    assert decode_server_message(encode(welcome, form), form) == welcome


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ('{"t":"sparkle"}', True),
        ('{"t":"publish"}', True),
        ('{"t":"event"}', False),
        ('{"t":7}', False),
        ("[]", False),
        ("", False),
    ],
)
def test_an_unknown_kind_is_told_from_a_broken_message(text: str, unknown: bool) -> None:
    assert is_unknown_server_kind(text.encode(), Form.JSON) is unknown
