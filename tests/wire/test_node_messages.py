"""Link messages: total, identical after a round trip, and readable one version on."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import node_messages
from wire.errors import PeerError
from wire.node_messages import (
    LINK_VERSION,
    LINK_VERSION_MIN,
    Attach,
    Attached,
    Batch,
    Committed,
    Leaving,
    Members,
    NodeFrame,
    NodeMessage,
    PublishCommand,
    author_tag,
    decode_node_message,
    encode_node_message,
)

KINDS = NodeMessage.__subclasses__()

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
naturals = st.integers(0, 2**63 - 1)
frames = st.builds(NodeFrame, naturals, st.integers(0, 3), st.integers(0, 2**32 - 1), st.binary(max_size=100))
messages: st.SearchStrategy[NodeMessage] = st.one_of(
    st.builds(Attach, texts, naturals, texts, naturals, st.binary(max_size=8), naturals),
    st.builds(Members, st.lists(st.tuples(texts, naturals), max_size=5)),
    st.builds(PublishCommand, naturals, texts, texts, texts, texts, texts, texts, naturals),
    st.builds(
        Attached, texts, naturals, naturals, texts, naturals, naturals, st.binary(max_size=8), st.booleans(), texts,
        st.lists(frames, max_size=4), naturals,
    ),
    st.builds(Batch, texts, naturals, st.binary(max_size=8), st.lists(frames, max_size=4)),
    st.builds(Committed, naturals, texts, naturals, naturals, st.booleans()),
    st.builds(Leaving),
)  # fmt: skip


def verdict_of(data: bytes) -> NodeMessage | PeerError:
    """What a link makes of one frame; any other exception is a bug."""
    try:
        return decode_node_message(data)
    except PeerError as error:
        return error


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_peer_error(data: bytes) -> None:
    assert isinstance(verdict_of(data), NodeMessage | PeerError)


@given(messages)
def test_encode_then_decode_is_identity(message: NodeMessage) -> None:
    assert decode_node_message(encode_node_message(message)) == message


@given(st.data())
def test_a_changed_byte_does_no_harm(data: st.DataObject) -> None:
    frame = bytearray(encode_node_message(data.draw(messages)))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(verdict_of(bytes(frame)), NodeMessage | PeerError)


def test_every_message_is_an_array_with_its_own_number_in_front() -> None:
    tags = [kind.__struct_config__.tag for kind in KINDS]
    assert all(isinstance(tag, int) for tag in tags)
    assert len(set(tags)) == len(tags)
    assert all(kind.__struct_config__.array_like and kind.__struct_config__.frozen for kind in KINDS)
    assert msgspec.msgpack.decode(encode_node_message(Leaving()))[0] == Leaving.__struct_config__.tag


@given(messages)
def test_a_newer_version_may_add_fields_at_the_end(message: NodeMessage) -> None:
    newer = [*msgspec.msgpack.decode(encode_node_message(message)), "a field of the next version"]
    # Only a message without optional fields of its own can have an unknown one directly behind.
    assert decode_node_message(msgspec.msgpack.encode(newer)) == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_older_version_may_leave_out_fields_that_have_a_default(kind: type[NodeMessage]) -> None:
    fields = msgspec.structs.fields(kind)
    flags = [field.required for field in fields]
    assert flags == sorted(flags, reverse=True), "fields with a default come last"


def test_the_versions_overlap_by_one() -> None:
    assert 1 <= LINK_VERSION_MIN <= LINK_VERSION <= LINK_VERSION_MIN + 1


def test_every_message_is_among_those_that_can_be_decoded() -> None:
    union = msgspec.inspect.type_info(node_messages.AnyNodeMessage)
    assert isinstance(union, msgspec.inspect.UnionType)
    assert {each.cls for each in union.types if isinstance(each, msgspec.inspect.StructType)} == set(KINDS)


def test_an_author_tag_is_stable_and_32_bits() -> None:
    assert author_tag("g-ada") == author_tag("g-ada") < 2**32
    assert author_tag("g-ada") != author_tag("g-bob")
    assert author_tag("") == 0x1271CF25


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_frames_stay_the_bytes_they_are(size: int) -> None:
    frame = bytes(size)
    batch = Batch("a/b", 1, b"", [NodeFrame(1, 0, 0, frame)])
    decoded = decode_node_message(encode_node_message(batch))
    assert isinstance(decoded, Batch)
    assert decoded.frames[0].frame == frame
