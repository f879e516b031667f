"""docs/protocol.md says what wire/ does: messages, fields, codes and limits, in both directions."""

import re

import pytest

from tests.support.protocol_doc import PROTOCOL_PAGE, Section, field_rows, protocol_sections, struct_words
from wire import client_messages, limits
from wire.client_codec import BadMessage, Form, decode_client_message, decode_server_message
from wire.client_messages import ClientMessage, JoinRequest, Position, ServerMessage
from wire.codes import CLOSE_SENTENCES, REFUSAL_BY_CODE, STOP_BELOW_3000, CloseCode, Refusal, ResumeReason, may_reconnect

SECTIONS = protocol_sections()
CLIENT_PART, SERVER_PART, PARTS = "Messages of a client", "Messages of a gateway", "Parts of messages"
STRUCTS = [*ClientMessage.__subclasses__(), *ServerMessage.__subclasses__(), Position, JoinRequest]

# Sections of wire/limits.py of which every bound concerns a client, and single ones from others.
LIMIT_SECTIONS = ("names", "what people write", "client frames", "one client")
MORE_LIMITS = {
    "OUTBOX_BEHIND_BYTES_MAX", "FEED_RING_EVENTS_MAX", "ROOM_TAIL_EVENTS_MAX", "HISTORY_EVENTS_MAX", "HISTORY_BYTES_MAX",
    "JOIN_HISTORY_EVENTS_DEFAULT", "MESSAGE_ID_WINDOW_S", "MESSAGE_IDS_PER_ROOM_MIN", "EDITS_PER_MESSAGE_MAX",
    "TOKEN_LIFETIME_MAX_S", "TOKEN_LEEWAY_S", "TOKEN_GRACE_S", "CONTROL_DOUBT_S", "CAPABILITY_PATTERNS_MAX",
    "SIGNALS_PER_S_MAX", "COUNT_WAIT_MIN_S", "COUNT_WAIT_MAX_S", "COUNT_SHARE_MIN", "COUNT_SENDS_PER_S_MAX",
    "RECONNECT_BASE_S", "RECONNECT_CAP_S", "RECONNECT_UNOPENED_MIN_S", "RECONNECT_UNOPENED_MAX_S", "DRAIN_DEADLINE_S",
}  # fmt: skip


def unquoted(cell: str) -> str:
    return cell.strip("`")


def titles_under(part: str) -> set[str]:
    return {section.title for section in SECTIONS.values() if section.parents and section.parents[-1] == part}


def test_every_message_has_its_section_and_every_section_its_message() -> None:
    assert titles_under(CLIENT_PART) == {struct_words(kind) for kind in ClientMessage.__subclasses__()}
    assert titles_under(SERVER_PART) == {struct_words(kind) for kind in ServerMessage.__subclasses__()}
    assert titles_under(PARTS) == {struct_words(Position), struct_words(JoinRequest)}


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_the_fields_of_a_message_are_those_of_its_table(struct: type) -> None:
    rows = SECTIONS[struct_words(struct)].rows()
    assert [(unquoted(row[0]), row[1], row[2]) for row in rows] == field_rows(struct)
    assert all(row[3] for row in rows), "each field says what it means"


def test_the_subprotocols_are_those_of_the_code() -> None:
    assert [unquoted(row[0]) for row in SECTIONS["Connecting"].rows()] == [form.value for form in Form]
    assert client_messages.PROTOCOL_VERSION == 1


def test_refusal_codes_are_those_of_the_code() -> None:
    told = [(unquoted(row[0]), row[1] == "yes", int(row[2]), row[3]) for row in SECTIONS["Refusal codes"].rows()]
    kinds = [refusal.kind for refusal in Refusal]
    assert told == [(kind.code, kind.temporary, kind.retry_after_ms, kind.sentence) for kind in kinds]


def test_resume_reasons_are_those_of_the_code() -> None:
    assert [unquoted(row[0]) for row in SECTIONS["Resuming"].rows()] == [reason.value for reason in ResumeReason]


def test_close_codes_are_those_of_the_code() -> None:
    told = [(int(row[0]), row[1], row[2]) for row in SECTIONS["Codes in use"].rows()]
    assert told == [(int(c), "reconnect" if may_reconnect(c) else "stop", CLOSE_SENTENCES[c]) for c in CloseCode]


def test_the_ranges_of_close_codes_say_what_the_code_does() -> None:
    exceptions = {int(number) for number in re.findall(r"\d{4}", SECTIONS["Close codes"].rows()[0][1])}
    assert exceptions == set(STOP_BELOW_3000)
    for low, high, verdict in [(3000, 3499, "reconnect"), (3500, 3999, "stop"), (4000, 4499, "reconnect"), (4500, 4999, "stop")]:
        row = next(row for row in SECTIONS["Close codes"].rows() if row[0].startswith(str(low)))
        assert row[1] == verdict
        assert {may_reconnect(code) for code in range(low, high + 1)} == {verdict == "reconnect"}


def limits_of_clients() -> dict[str, float]:
    """The bounds in wire/limits.py that concern a client, by name."""
    names, section = set(MORE_LIMITS), ""
    with open(limits.__file__) as source:
        for line in source:
            if heading := re.match(r"# --- (.*?) -+$", line):
                section = heading[1]
            elif (constant := re.match(r"([A-Z_]+) = ", line)) and section in LIMIT_SECTIONS:
                names.add(constant[1])
    return {name: getattr(limits, name) for name in names}


def test_the_limits_are_those_of_the_code() -> None:
    told = {row[0]: float(row[1]) for row in SECTIONS["Limits"].rows()}
    assert told == {name: float(value) for name, value in limits_of_clients().items()}


def test_every_limit_and_code_that_the_text_names_exists() -> None:
    text = PROTOCOL_PAGE.read_text()
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)*_(?:MAX|MIN|S|MS|BURST|DEFAULT)\b", text))
    assert named
    assert not {name for name in named if not hasattr(limits, name)}
    in_limits = {word for row in SECTIONS["Limits"].rows() for word in re.findall(r"`(\w+)`", row[2])}
    fields = {"limit", "more", "ping_ms", "deadline_ms"}
    assert in_limits - fields <= set(REFUSAL_BY_CODE)
    closes = {int(code) for code in re.findall(r"\bclosed? (?:with|code|the connection with)? ?(\d{4})\b", text)}
    assert closes
    assert closes <= {int(code) for code in CloseCode}


def test_every_line_of_the_annotated_session_is_a_message() -> None:
    section: Section = SECTIONS["A session, annotated"]
    (block,) = section.blocks("session")
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    assert len(lines) > 10
    for line in lines:
        side, payload = line[0], line[2:].encode()
        if side == ">":
            assert not isinstance(decode_client_message(payload, Form.JSON), BadMessage), line
        else:
            assert side == "<", line
            decode_server_message(payload, Form.JSON)


def test_the_javascript_client_knows_only_messages_that_exist() -> None:
    (code,) = SECTIONS["A whole client in JavaScript"].blocks("js")
    kinds = {struct_words(kind) for kind in (*ClientMessage.__subclasses__(), *ServerMessage.__subclasses__())}
    read = set(re.findall(r'm\.t === "(\w+)"', code))
    sent = set(re.findall(r't: "(\w+)"', code))
    assert read | sent <= kinds
    assert {"welcome", "joined", "event", "ack", "refused", "unknown", "ping", "skipped", "reset", "goaway"} <= read
    assert client_messages.SUBPROTOCOL_JSON in code
    stopping = re.search(r"stopping = \[([\d, ]+)\]", code)
    assert stopping is not None
    assert {int(number) for number in stopping[1].split(",")} == set(STOP_BELOW_3000)
