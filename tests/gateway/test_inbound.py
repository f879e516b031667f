import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from gateway.deflate import deflated_bytes_max
from gateway.inbound import InboundFrames
from tests.support.deflating import agreed, deflated
from tests.support.edge_server import client_frame, client_header
from wire.client_codec import Form
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT
from wire.limits import CLIENT_FRAGMENTS_MAX

MAX = 1000
CONTINUATION = 0x0
RSV1 = 4
Seen = list[bytes | tuple[str, bytes] | tuple[str, int]]


def collect(
    data: bytes, *, form: Form = Form.MSGPACK, cuts: tuple[int, ...] = (), bytes_max: int = MAX, deflates: bool = False
) -> Seen:
    """All that comes out of `data`, fed in pieces; an error is the last entry."""
    frames = InboundFrames(form, bytes_max, deflates=deflates)
    seen: Seen = []
    for start, end in itertools.pairwise(sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})):
        frames.feed(data[start:end])
        try:
            while (event := frames.next_event()) is not None:
                if isinstance(event, bytes):
                    seen.append(event)
                elif isinstance(event, CloseConnection):
                    return [*seen, ("close", int(event.code))]
                else:
                    seen.append((type(event).__name__, bytes(event.payload)))
        except PeerError as error:
            return [*seen, ("error", int(error.code))]
    return seen


def test_messages_come_out_whole_and_in_order() -> None:
    data = client_frame(OPCODE_BINARY, b"one") + client_frame(OPCODE_BINARY, b"") + client_frame(OPCODE_BINARY, b"three" * 40)
    assert collect(data) == [b"one", b"", b"three" * 40]


def test_text_comes_out_as_the_bytes_it_is() -> None:
    assert collect(client_frame(OPCODE_TEXT, "grüß".encode()), form=Form.JSON) == ["grüß".encode()]


def test_fragments_are_joined_even_when_a_character_is_cut() -> None:
    text = "aä€😀".encode()
    for cut in range(len(text) + 1):
        data = client_frame(OPCODE_TEXT, text[:cut], fin=False) + client_frame(CONTINUATION, text[cut:])
        assert collect(data, form=Form.JSON) == [text]


def test_control_frames_pass_between_fragments() -> None:
    data = (
        client_frame(OPCODE_BINARY, b"a", fin=False)
        + client_frame(OPCODE_PING, b"p")
        + client_frame(CONTINUATION, b"b", fin=False)
        + client_frame(OPCODE_PONG, b"")
        + client_frame(CONTINUATION, b"c")
    )
    assert collect(data) == [("Ping", b"p"), ("Pong", b""), b"abc"]


def test_a_close_frame_is_the_last_thing_seen() -> None:
    assert collect(client_frame(OPCODE_CLOSE, b"\x03\xe9bye") + client_frame(OPCODE_BINARY, b"x")) == [("close", 1001)]
    assert collect(client_frame(OPCODE_CLOSE, b"")) == [("close", 1005)]
    assert collect(client_frame(OPCODE_CLOSE, b"\x0f\xa1")) == [("close", 4001)]


_WRONG = [
    ("unmasked", client_frame(OPCODE_BINARY, b"x", masked=False), CloseCode.PROTOCOL),
    ("a reserved bit", client_frame(OPCODE_BINARY, b"x", rsv=4), CloseCode.PROTOCOL),
    ("a reserved bit of a ping", client_frame(OPCODE_PING, b"x", rsv=1), CloseCode.PROTOCOL),
    ("a reserved opcode", client_frame(0x3, b"x"), CloseCode.PROTOCOL),
    ("a reserved control opcode", client_frame(0xB, b"x"), CloseCode.PROTOCOL),
    ("a fragmented ping", client_frame(OPCODE_PING, b"x", fin=False), CloseCode.PROTOCOL),
    ("a large ping", client_frame(OPCODE_PING, b"x" * 126), CloseCode.PROTOCOL),
    ("a continuation of nothing", client_frame(CONTINUATION, b"x"), CloseCode.PROTOCOL),
    ("a new message within one", client_frame(OPCODE_BINARY, fin=False) + client_frame(OPCODE_BINARY), CloseCode.PROTOCOL),
    ("a close code below 1000", client_frame(OPCODE_CLOSE, b"\x00\x01"), CloseCode.PROTOCOL),
    ("a close code that is never sent", client_frame(OPCODE_CLOSE, b"\x03\xed"), CloseCode.PROTOCOL),
    ("an unassigned close code", client_frame(OPCODE_CLOSE, b"\x07\xd0"), CloseCode.PROTOCOL),
    ("half a close code", client_frame(OPCODE_CLOSE, b"\x03"), CloseCode.PROTOCOL),
    ("a close reason that is not text", client_frame(OPCODE_CLOSE, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
    ("a length of 2^63, whose first bit must be 0", client_header(OPCODE_BINARY, 2**63), CloseCode.PROTOCOL),
    ("a length of 2^63 - 1", client_header(OPCODE_BINARY, 2**63 - 1), CloseCode.TOO_BIG),
    ("a length in too many bytes", b"\x82\xfe\x00\x05", CloseCode.PROTOCOL),
    ("text where binary is agreed", client_frame(OPCODE_TEXT, b"x"), CloseCode.UNSUPPORTED_DATA),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in _WRONG], ids=[case[0] for case in _WRONG])
def test_what_breaks_the_protocol_is_refused_with_its_code(data: bytes, code: CloseCode) -> None:
    before = client_frame(OPCODE_BINARY, b"good")
    assert collect(before + data) == [b"good", ("error", int(code))]


def test_binary_where_text_is_agreed_is_refused() -> None:
    assert collect(client_frame(OPCODE_BINARY, b"x"), form=Form.JSON) == [("error", 1003)]


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"ok\x80ok", b"\xf5\x80\x80\x80"])
def test_text_that_is_not_utf_8_is_refused(text: bytes) -> None:
    assert collect(client_frame(OPCODE_TEXT, text), form=Form.JSON) == [("error", 1007)]


def test_the_bound_is_on_the_message_and_is_told_from_the_header() -> None:
    assert collect(client_frame(OPCODE_BINARY, b"x" * MAX)) == [b"x" * MAX]
    assert collect(client_header(OPCODE_BINARY, MAX + 1)) == [("error", 1009)]
    first = client_frame(OPCODE_BINARY, b"x" * (MAX - 1), fin=False)
    assert collect(first + client_frame(CONTINUATION, b"y")) == [b"x" * (MAX - 1) + b"y"]
    assert collect(first + client_header(CONTINUATION, 2)) == [("error", 1009)]


def test_the_bound_starts_anew_with_each_message() -> None:
    one = client_frame(OPCODE_BINARY, b"x" * (MAX // 2), fin=False) + client_frame(CONTINUATION, b"x" * (MAX // 2))
    assert collect(one * 3) == [b"x" * MAX] * 3


def test_fragments_are_counted_even_when_they_are_empty() -> None:
    """Of 100,000 empty fragments not one is large."""
    more = client_frame(CONTINUATION, fin=False)
    fitting = client_frame(OPCODE_BINARY, fin=False) + more * (CLIENT_FRAGMENTS_MAX - 2)
    assert collect(fitting + client_frame(CONTINUATION, b"end")) == [b"end"]
    assert collect(fitting + more * 2) == [("error", 1009)]


def test_a_header_in_pieces_is_counted_once() -> None:
    """wsproto asks the extension again for a header whose mask has not arrived."""
    first, last = client_frame(OPCODE_BINARY, b"x" * 200, fin=False), client_frame(CONTINUATION, b"x" * 200)
    data = first + client_frame(CONTINUATION, b"x" * 200, fin=False) * 3 + last
    assert collect(data, cuts=tuple(range(len(data)))) == [b"x" * MAX]


def test_it_is_at_rest_exactly_between_messages() -> None:
    data = client_frame(OPCODE_BINARY, b"ab", fin=False) + client_frame(OPCODE_PING, b"p")
    data += client_frame(CONTINUATION, b"c" * 130)
    frames = InboundFrames(Form.MSGPACK, MAX)
    assert frames.is_at_rest
    for place in range(len(data)):
        frames.feed(data[place : place + 1])
        while frames.next_event() is not None:
            pass
        assert frames.is_at_rest == (place == len(data) - 1)


def test_errors_never_quote_what_a_person_wrote() -> None:
    frames = InboundFrames(Form.JSON, MAX)
    frames.feed(client_frame(OPCODE_TEXT, b"secret \xff"))
    with pytest.raises(PeerError) as raised:
        frames.next_event()
    assert raised.value.message == "a text was not UTF-8"


_cuts = st.lists(st.integers(min_value=0), max_size=12).map(tuple)

# --- where compression was agreed on -------------------------------------------------------------------


def test_deflated_messages_and_plain_ones_come_out_alike() -> None:
    data = client_frame(OPCODE_BINARY, deflated(b"one" * 99), rsv=RSV1) + client_frame(OPCODE_BINARY, b"two")
    data += client_frame(OPCODE_BINARY, deflated(b""), rsv=RSV1) + client_frame(OPCODE_BINARY, deflated(b"three"), rsv=RSV1)
    assert collect(data, deflates=True) == [b"one" * 99, b"two", b"", b"three"]
    text = client_frame(OPCODE_TEXT, deflated("grüß".encode() * 99), rsv=RSV1)
    assert collect(text, form=Form.JSON, deflates=True) == ["grüß".encode() * 99]


def test_a_deflated_message_may_be_cut_anywhere_with_control_frames_between() -> None:
    whole = deflated("aä€😀".encode() * 20)
    for cut in range(len(whole) + 1):
        data = client_frame(OPCODE_TEXT, whole[:cut], fin=False, rsv=RSV1) + client_frame(OPCODE_PING, b"p")
        data += client_frame(CONTINUATION, whole[cut:])
        assert collect(data, form=Form.JSON, deflates=True) == [("Ping", b"p"), "aä€😀".encode() * 20]


_BOMB = deflated(bytes(2**20))
_WRONG_WHEN_AGREED = [
    ("deflated without agreement", False, client_frame(OPCODE_BINARY, deflated(b"x"), rsv=RSV1), CloseCode.PROTOCOL),
    ("a deflated ping", True, client_frame(OPCODE_PING, b"x", rsv=RSV1), CloseCode.PROTOCOL),
    ("a deflated close", True, client_frame(OPCODE_CLOSE, b"\x03\xe8", rsv=RSV1), CloseCode.PROTOCOL),
    ("another reserved bit", True, client_frame(OPCODE_BINARY, deflated(b"x"), rsv=RSV1 | 2), CloseCode.PROTOCOL),
    ("the bit on a later fragment", True,
     client_frame(OPCODE_BINARY, deflated(b"x"), fin=False, rsv=RSV1) + client_frame(CONTINUATION, rsv=RSV1), CloseCode.PROTOCOL),
    ("the bit on a later fragment only", True,
     client_frame(OPCODE_BINARY, fin=False) + client_frame(CONTINUATION, deflated(b"x"), rsv=RSV1), CloseCode.PROTOCOL),
    ("a continuation of nothing", True,
     client_frame(OPCODE_BINARY, deflated(b"good"), rsv=RSV1) + client_frame(CONTINUATION, b"x"), CloseCode.PROTOCOL),
    ("a bomb", True, client_frame(OPCODE_BINARY, _BOMB, rsv=RSV1), CloseCode.TOO_BIG),
    ("one byte too many", True, client_frame(OPCODE_BINARY, deflated(bytes(MAX + 1)), rsv=RSV1), CloseCode.TOO_BIG),
    ("a bomb in fragments", True,
     client_frame(OPCODE_BINARY, _BOMB[:100], fin=False, rsv=RSV1) + client_frame(CONTINUATION, _BOMB[100:]), CloseCode.TOO_BIG),
    ("rubbish", True, client_frame(OPCODE_BINARY, b"\xff" * 20, rsv=RSV1), CloseCode.INVALID_DATA),
    ("nothing at all", True, client_frame(OPCODE_BINARY, b"", rsv=RSV1), CloseCode.INVALID_DATA),
    ("half a message", True, client_frame(OPCODE_BINARY, deflated(b"x" * 99)[:-2], rsv=RSV1), CloseCode.INVALID_DATA),
    ("the context of the message before", True,
     client_frame(OPCODE_BINARY, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=RSV1)
     + client_frame(OPCODE_BINARY, b"\xf2\x00\x11\x00\x00", rsv=RSV1), CloseCode.INVALID_DATA),
]  # fmt: skip


@pytest.mark.parametrize(
    ("deflates", "data", "code"), [case[1:] for case in _WRONG_WHEN_AGREED], ids=[case[0] for case in _WRONG_WHEN_AGREED]
)
def test_what_breaks_the_rules_of_compression_is_refused_with_its_code(deflates: bool, data: bytes, code: CloseCode) -> None:
    seen = collect(client_frame(OPCODE_BINARY, b"good") + data, deflates=deflates)
    assert seen[0] == b"good"
    assert seen[-1] == ("error", int(code))


def test_deflated_text_that_is_not_utf_8_is_refused() -> None:
    data = client_frame(OPCODE_TEXT, deflated(b"\xff" * 50), rsv=RSV1)
    assert collect(data, form=Form.JSON, deflates=True) == [("error", 1007)]


def test_the_bound_is_on_what_comes_out_and_nearly_the_same_on_what_comes_in() -> None:
    assert collect(client_frame(OPCODE_BINARY, deflated(bytes(MAX)), rsv=RSV1), deflates=True) == [bytes(MAX)]
    rough = Random(1).randbytes(MAX)
    assert collect(client_frame(OPCODE_BINARY, deflated(rough), rsv=RSV1), deflates=True) == [rough]
    too_long = client_header(OPCODE_BINARY, deflated_bytes_max(MAX) + 1, rsv=RSV1)
    assert collect(too_long, deflates=True) == [("error", 1009)]
    assert collect(client_frame(OPCODE_BINARY, bytes(MAX + 1)), deflates=True) == [("error", 1009)]


def test_it_is_at_rest_behind_a_deflated_message() -> None:
    data = client_frame(OPCODE_BINARY, deflated(b"x" * 99)[:4], fin=False, rsv=RSV1)
    data += client_frame(CONTINUATION, deflated(b"x" * 99)[4:])
    frames = InboundFrames(Form.MSGPACK, MAX, deflates=True)
    for place in range(len(data)):
        frames.feed(data[place : place + 1])
        while frames.next_event() is not None:
            pass
        assert frames.is_at_rest == (place == len(data) - 1)


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 20)), min_size=1, max_size=8), st.data())
@settings(deadline=None)
def test_what_wsproto_deflates_as_a_client_is_what_comes_out(messages: list[tuple[bytes, int]], data: st.DataObject) -> None:
    client = Connection(ConnectionType.CLIENT, extensions=[agreed()])
    stream = b""
    wanted: Seen = []
    for part, times in messages:
        payload = (part * times)[:MAX]
        cut = data.draw(st.integers(0, len(payload)))
        stream += client.send(BytesMessage(payload[:cut], message_finished=False)) + client.send(Ping(b"p"))
        stream += client.send(BytesMessage(payload[cut:]))
        wanted += [("Ping", b"p"), payload]
    assert collect(stream, cuts=data.draw(_cuts), deflates=True) == wanted


_opcodes = st.sampled_from([0x0, 0x1, 0x2, 0x8, 0x9, 0xA])
_frames = st.builds(
    lambda opcode, payload, fin, rsv: client_frame(opcode, payload, fin=fin, rsv=rsv),
    _opcodes, st.binary(max_size=300) | st.binary(max_size=300).map(deflated), st.booleans(), st.sampled_from([0, 0, 0, RSV1]),
)  # fmt: skip
_streams = st.lists(_frames | st.binary(max_size=20), max_size=12).map(b"".join)


@given(_streams, _cuts, st.sampled_from(Form), st.booleans())
@settings(max_examples=300, deadline=None)
def test_however_the_stream_is_cut_the_same_comes_out(data: bytes, cuts: tuple[int, ...], form: Form, deflates: bool) -> None:
    assert collect(data, form=form, cuts=cuts, deflates=deflates) == collect(data, form=form, deflates=deflates)


@given(st.binary(max_size=400), st.sampled_from(Form))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_events_or_a_peer_error(data: bytes, form: Form) -> None:
    seen = collect(data, form=form)
    assert sum(len(entry) for entry in seen if isinstance(entry, bytes)) <= len(data)


@given(_streams, st.sampled_from(Form))
@settings(max_examples=300, deadline=None)
def test_with_compression_too_and_no_message_is_larger_than_the_bound(data: bytes, form: Form) -> None:
    for entry in collect(data, form=form, deflates=True):
        assert not isinstance(entry, bytes) or len(entry) <= MAX


@given(st.lists(st.binary(max_size=300) | st.text(max_size=100), min_size=1, max_size=8), st.sampled_from(Form))
@settings(deadline=None)
def test_what_wsproto_sends_as_a_client_is_what_comes_out(messages: list[bytes | str], form: Form) -> None:
    client = Connection(ConnectionType.CLIENT)
    wanted: Seen = []
    data = b""
    for message in messages:
        payload = message.encode() if isinstance(message, str) else message
        if form is Form.MSGPACK:
            data += client.send(BytesMessage(payload))
        else:
            text = payload.decode("latin-1")
            payload = text.encode()
            data += client.send(TextMessage(text))
        wanted.append(payload)
        data += client.send(Ping(b"p")) + client.send(Pong(b"q"))
        wanted += [("Ping", b"p"), ("Pong", b"q")]
    assert collect(data, form=form) == wanted
