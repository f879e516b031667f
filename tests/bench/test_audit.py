"""The auditors find what was planted."""

from dataclasses import replace

import pytest

from bench.audit import Findings, audit, text_ends_with_its_id
from wire.client_codec import Form, encode
from wire.client_messages import Count, Event, Ping, Reset, ServerMessage, Skipped
from wire.frames import OPCODE_BINARY, OPCODE_PING, frame

ROOM = "bench/r000"
CLEAN = Findings(events=5)


def event(offset: int, *, id: str = "", text: str | None = None, room: str = ROOM) -> Event:
    id = id or f"00-{offset}"
    return Event(room, offset, 1_800_000_000_000, "message", "author", "name", id, f"...{id}" if text is None else text)


def written(*messages: ServerMessage) -> bytes:
    return b"".join(frame(OPCODE_BINARY, encode(message, Form.MSGPACK)) for message in messages)


def test_a_whole_stream_in_order_is_clean() -> None:
    stream = written(*map(event, range(8, 11)), Ping(), Count(ROOM, 3)) + frame(OPCODE_PING, b"") + written(event(11), event(12))
    findings = audit(stream, ROOM, 7)
    assert findings == CLEAN
    assert findings.clean


@pytest.mark.parametrize(
    ("offsets", "findings"),
    [
        ([1, 2, 4, 5, 6], replace(CLEAN, lost=1)),
        ([1, 2, 3, 3, 4, 5], replace(CLEAN, repeated=1)),
        ([1, 3, 2, 4, 5], replace(CLEAN, reordered=1)),
        ([0, 1, 2, 3, 4, 5], replace(CLEAN, repeated=1)),
        ([5, 4, 3, 2, 1], replace(CLEAN, reordered=4)),
    ],
    ids=["lost", "repeated", "reordered", "older than the join", "backwards"],
)
def test_a_planted_fault_of_order_is_found(offsets: list[int], findings: Findings) -> None:
    assert audit(written(*map(event, offsets)), ROOM, 0) == findings
    assert not findings.clean
    assert not findings.honest


@pytest.mark.parametrize(
    "altered",
    [event(3, text="...something else"), event(3, text=""), event(3, id="00-2"), event(3, room="bench/r001")],
    ids=["text", "no text", "id of another", "room"],
)
def test_planted_other_content_is_found(altered: Event) -> None:
    stream = written(event(1), event(2), altered, event(4), event(5))
    assert audit(stream, ROOM, 0) == replace(CLEAN, altered=1)


def test_an_announced_loss_is_honest_and_no_whole_stream() -> None:
    findings = audit(written(event(1), Skipped(ROOM, 2, 3), event(4)), ROOM, 0)
    assert (findings.announced, findings.lost) == (2, 2)
    assert findings.honest
    assert not findings.clean


@pytest.mark.parametrize(
    "told", [Skipped(ROOM, 2, 2), Skipped(ROOM, 2, 4), Reset(ROOM, "other", 3)], ids=["less", "more", "reset"]
)
def test_a_loss_that_was_announced_wrongly_is_found(told: ServerMessage) -> None:
    findings = audit(written(event(1), told, event(4), event(5)), ROOM, 0)
    assert findings.lost == 2
    assert not findings.honest


def test_a_text_shorter_than_its_id_holds_the_ids_end() -> None:
    assert text_ends_with_its_id("-5", "00-5")
    assert not text_ends_with_its_id("-6", "00-5")
