"""What a reader of a terminal sees: sentences, steady colours, and nothing that moves the cursor."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.updates import Connected, Connecting, Gap, JoinRefused, Reconnecting, Stopped, Update
from parvis.chat_transcript import Transcript, close_sentence, colour_of, refusal_line, safe
from wire.client_messages import Count, Event, Hide, Joined, Refused, Reset, Skipped, Stale, Unknown

ROOM = "square/main"
AT = 1_790_000_000_000  # 13:33 UTC


def transcript() -> Transcript:
    made = Transcript(ROOM, UTC)
    made.lines_of(Connected("gateway-1", "g-ada", "Ada"))
    return made


def message(offset: int, text: str, by: str = "g-bob", name: str = "Bob", **fields: object) -> Event:
    return Event(ROOM, offset, AT, "message", by, name, "i", text, **fields)  # type: ignore[arg-type]


def shown(made: Transcript, update: Update) -> list[str]:
    return [line.plain for line in made.lines_of(update)]


def test_a_message_has_time_number_name_and_text() -> None:
    assert shown(transcript(), message(57, "good evening")) == ["14:13 #57 Bob: good evening"]


def test_our_own_messages_say_so() -> None:
    assert shown(transcript(), message(57, "hi", "g-ada", "Ada")) == ["14:13 #57 Ada (you): hi"]


def test_further_lines_are_indented() -> None:
    assert shown(transcript(), message(1, "a\nb")) == ["14:13 #1 Bob: a", "      b"]


def test_edits_name_the_message_they_edit() -> None:
    edit = Event(ROOM, 9, AT, "edit", "g-bob", "Bob", "i", "better", 7)
    assert shown(transcript(), edit) == ["14:13 #7 Bob (edited): better"]


def test_a_removal_is_told_once_by_the_signal_or_by_its_event() -> None:
    made = transcript()
    made.lines_of(message(7, "oops"))
    assert shown(made, Hide(ROOM, 7)) == ["- #7 by Bob was removed"]
    assert shown(made, Event(ROOM, 9, AT, "delete", "g-bob", "Bob", "i", target=7)) == []
    assert shown(made, Event(ROOM, 10, AT, "delete", "g-eve", "Eve", "i", target=3)) == ["- #3 was removed"]


def test_what_was_removed_before_we_came_is_a_line_for_the_message_and_none_for_its_edits() -> None:
    made = transcript()
    assert shown(made, Event(ROOM, 3, AT, "message", removed="author")) == ["- #3 was removed"]
    assert shown(made, Event(ROOM, 4, AT, "edit", target=3, removed="author")) == []
    assert shown(made, Event(ROOM, 5, AT, "delete", "g-bob", "Bob", "i", target=3)) == []


def test_the_same_author_has_the_same_colour_whatever_the_name() -> None:
    made = transcript()
    styles = []
    for name in ("Bob", "Robert"):
        (line,) = made.lines_of(message(1, "x", "g-bob", name))
        styles.append([span.style for span in line.spans])
    assert styles[0] == styles[1]
    assert colour_of("g-bob") in styles[0]
    assert len({colour_of(f"g-{n}") for n in range(100)}) > 10


NASTY = "\x1b[2J\x1b]0;title\x07a\x9b31mb\rc\u202ed\u200be\x00f\ud800"


@pytest.mark.parametrize(
    "update",
    [
        message(1, NASTY),
        message(1, "x", name=NASTY),
        Reconnecting(1.0, 3001, NASTY),
        Stopped(3507, NASTY),
        Connected("g", "a", NASTY),
        JoinRefused(ROOM, Refused(0, "x", NASTY)),
    ],
)
def test_nothing_of_others_moves_the_cursor(update: Update) -> None:
    for line in shown(transcript(), update):
        assert not {char for char in line if not char.isprintable()}


@given(st.text())
def test_safe_text_has_no_controls(text: str) -> None:
    assert all(char == "\n" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in safe(text))


def test_markup_in_texts_is_not_read() -> None:
    (line,) = transcript().lines_of(message(1, "[red]hi[/red]"))
    assert line.plain.endswith(": [red]hi[/red]")


@pytest.mark.parametrize(
    ("update", "line"),
    [
        (Joined(0, ROOM, "e", 9, 0, present=1), f"- you are in {ROOM}, 1 person here"),
        (Joined(0, ROOM, "e", 9, 0, present=214), f"- you are in {ROOM}, 214 people here"),
        (Joined(0, ROOM, "e", 9, 8, asked=True, recovered=True), "- back in the room, 1 message to catch up with"),
        (Reconnecting(2.34, 3012, ""), "! connection lost (No answer to a ping; reconnect and resume), trying again in 2.3 s"),
        (Reconnecting(2.34, 1006, ""), "! connection lost (no goodbye was said), trying again in 2.3 s"),
        (Stopped(3507, ""), "! disconnected for good: This client is not allowed here."),
        (Stale(ROOM, False), "- up to date again"),
        (Skipped(ROOM, 4, 8), "- 5 messages left out (#4 to #8); /history shows them"),
        (Gap(ROOM, 4, 5), "- #4 to #5 did not come; asking for them"),
        (Reset(ROOM, "e2", 0, "epoch"), "- some messages were missed: the log of the room is another one now"),
        (Event(ROOM, 1, AT, "epoch"), "- the room's log begins anew here"),
    ],
)
def test_what_happens_is_said_in_sentences(update: Update, line: str) -> None:
    assert shown(transcript(), update) == [line]


@pytest.mark.parametrize(
    "update",
    [
        Count(ROOM, 3),
        Connecting("ws://a"),
        Connected("g", "a", "n", moved=True),
        Stopped(1000, "done"),
        Joined(0, ROOM, "e", 9, 9, asked=True, recovered=True),
        Joined(0, ROOM, "e", 9, 3, asked=True, reason="limit"),
    ],
)
def test_what_a_reader_need_not_know_is_not_said(update: Update) -> None:
    assert shown(transcript(), update) == []


def test_it_knows_the_head_count_the_state_and_the_earliest_line() -> None:
    made = transcript()
    made.lines_of(Count(ROOM, 7))
    made.lines_of(Stale(ROOM, True))
    for offset in (12, 13, 11):
        made.lines_of(message(offset, "x"))
    assert (made.present, made.is_stale, made.is_connected, made.first_shown) == (7, True, True, 11)
    made.lines_of(Reconnecting(1.0, 1006, ""))
    assert not made.is_connected


def test_history_is_framed_and_its_end_is_said() -> None:
    made = transcript()
    lines = [line.plain for line in made.lines_of_history((message(1, "a"), message(2, "b")))]
    assert lines == ["- earlier:", "14:13 #1 Bob: a", "14:13 #2 Bob: b", "- now:"]
    assert [line.plain for line in made.lines_of_history(())] == ["- there is nothing earlier"]


def test_refusals_are_plain_sentences() -> None:
    fast = Refused(1, "too_fast", "Too many messages; slow down.", True, 1500)
    assert refusal_line(fast, "message").plain == "! your message was refused: Too many messages; slow down. Try again in 1.5 s."
    late = Refused(1, "too_old", "This message is too old to be changed.")
    assert refusal_line(late, "edit").plain == "! your edit was refused: This message is too old to be changed."
    assert "not known" in refusal_line(Unknown(1, ROOM, "m"), "message").plain


def test_close_codes_are_words() -> None:
    assert close_sentence(3012) == "No answer to a ping; reconnect and resume."
    assert close_sentence(4321) == "code 4321"
