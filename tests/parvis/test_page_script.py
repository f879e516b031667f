"""api/static/conversation.js in a real browser, against a gateway that does what is rare on purpose."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
import trio

from tests.support.browser import Window, window
from tests.support.fake_gateway import FakeConnection, FakeGateway, fake_gateway
from tests.support.talk import ROOM

on_a_thread = trio.to_thread.run_sync


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with window(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
async def gateway(person: Window) -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as faked:
        yield faked
        # Away from the page: the next test must not meet this one's reconnects.
        await on_a_thread(person.driver.get, "about:blank")


async def enter(person: Window, gateway: FakeGateway, **joined: object) -> FakeConnection:
    """Through the door; the connection that is in the room."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(on_a_thread, person.enter, gateway.page_url, "Ada", ROOM))
        connection = await gateway.connection()
        await connection.welcome(**joined)  # type: ignore[arg-type]
    return connection


async def test_after_goaway_the_next_connection_opens_first_and_nothing_is_lost(person: Window, gateway: FakeGateway) -> None:
    old = await enter(person, gateway)
    await old.event(1, "one")
    await old.tell("goaway", deadline_ms=10_000, retry_after_ms=0)
    new = await gateway.connection()
    hello = await new.hear("hello")
    assert hello["session"] == "s"
    assert hello["joins"][0]["since"] == {"epoch": "e1", "offset": 1, "chain": ""}
    # Both are open now: what comes on the old one is shown, and dropped when it comes again.
    await old.event(2, "two")
    await on_a_thread(person.wait_lines, ["one", "two"])
    assert not old.closed.is_set()
    joined = {"t": "joined", "n": 0, "room": ROOM, "epoch": "e1", "offset": 3, "since": 1, "asked": True, "recovered": True}
    await new.tell("welcome", v=1, server="f", session="s", guest="g", author="me", name="Ada", ping_ms=25_000, joins=[joined])
    await new.event(2, "two")
    await new.event(3, "three")
    with trio.fail_after(30):
        await old.closed.wait()
    await on_a_thread(person.wait_lines, ["one", "two", "three"])
    assert await on_a_thread(person.remarks) == []


async def test_what_was_not_sent_is_said_exactly(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway, offset=10)
    await connection.event(11, "eleven")
    await connection.tell("skipped", room=ROOM, first=12, last=20)
    await connection.event(21, "after the gap")
    # One that nobody announced is told, too.
    await connection.event(30, "thirty")
    await on_a_thread(person.wait_lines, ["eleven", "after the gap", "thirty"])
    first, second = await on_a_thread(person.remarks)
    assert first.startswith("9 lines are not shown: 12 to 20")
    assert second.startswith("8 lines are not shown: 22 to 29")


async def test_a_resume_that_cannot_be_whole_says_what_is_missing(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await connection.event(1, "one")
    await on_a_thread(person.wait_lines, ["one"])
    await connection.close(3008, "too slow")
    again = await gateway.connection()
    await again.welcome(offset=900, since=850, asked=True, reason="limit")
    await again.event(851, "much later")
    await on_a_thread(person.wait_lines, ["one", "much later"])
    assert await on_a_thread(person.remarks) == ["849 lines are not shown: 2 to 850 (limit)."]


async def test_a_new_epoch_begins_anew_and_says_so(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await connection.event(1, "old record", by="me")
    await connection.tell("reset", room=ROOM, epoch="e2", offset=0, reason="diverged")
    await connection.event(1, "new record")
    await on_a_thread(person.wait_lines, ["old record", "new record"])
    assert await on_a_thread(person.remarks) == ["This room's record begins anew here (diverged)."]
    await connection.close(3001)
    again = await gateway.connection()
    hello = await again.welcome(epoch="e3", offset=0, asked=True, reason="epoch")
    assert hello["joins"][0]["since"]["epoch"] == "e2"
    await on_a_thread(person.wait, lambda: len(person.remarks()) == 2, "the second beginning")


async def test_what_has_no_outcome_is_sent_again_with_the_same_id_and_shown_once(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await on_a_thread(person.say, "said once")
    first = await connection.hear("publish")
    await connection.close(3001)
    again = await gateway.connection()
    await again.welcome(offset=0)
    second = await again.hear("publish")
    assert (second["id"], second["n"], second["text"]) == (first["id"], first["n"], "said once")
    assert await on_a_thread(person.waiting) == ["said once"]
    await again.tell("unknown", n=second["n"], room=ROOM, id=second["id"], retry_after_ms=10)
    third = await again.hear("publish")
    assert third["id"] == first["id"]
    refusal = {"code": "too_fast", "message": "Slow down.", "temporary": True, "retry_after_ms": 10}
    await again.tell("refused", n=third["n"], room=ROOM, id=third["id"], **refusal)
    fourth = await again.hear("publish")
    assert fourth["id"] == first["id"]
    # It had arrived the first time: the answer is the first one's place, and the event has that place.
    await again.tell("ack", n=fourth["n"], room=ROOM, id=fourth["id"], epoch="e1", offset=1, at=1, duplicate=True)
    assert await on_a_thread(person.waiting) == ["said once"]
    await again.event(1, "said once", by="me", message_id=first["id"])
    await on_a_thread(person.wait_lines, ["said once"])
    assert await on_a_thread(person.waiting) == []


async def test_an_acknowledged_line_that_was_skipped_does_not_wait_for_ever(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await on_a_thread(person.say, "mine")
    publish = await connection.hear("publish")
    await connection.tell("ack", n=publish["n"], room=ROOM, id=publish["id"], epoch="e1", offset=1, at=1)
    await connection.tell("skipped", room=ROOM, first=1, last=5)
    await on_a_thread(person.wait, lambda: person.waiting() == [], "the line is settled")


@pytest.mark.parametrize("code", [3500, 3999, 1009])
async def test_a_close_code_that_says_stop_is_obeyed(person: Window, gateway: FakeGateway, code: int) -> None:
    connection = await enter(person, gateway)
    await connection.close(code, "You are not allowed here.")
    await on_a_thread(person.wait_state, "You are not allowed here.")
    with trio.move_on_after(1.5) as patience:
        await gateway.connection()
    assert patience.cancelled_caught, "it came back"


async def test_a_removed_line_is_hidden_before_its_event_and_stays_so(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await connection.event(1, "a secret")
    await connection.tell("hide", room=ROOM, offset=1)
    await on_a_thread(person.wait_lines, ["removed"])
    await connection.tell("event", room=ROOM, offset=2, at=1, kind="edit", by="other", name="o", id="y", text="again", target=1)
    await connection.event(3, "next")
    await on_a_thread(person.wait_lines, ["removed", "next"])


async def test_a_busy_server_is_asked_again_when_it_says(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await connection.close(3001)
    busy = await gateway.connection()
    await busy.hear("hello")
    await busy.tell("refused", n=0, code="busy", message="The service is busy.", temporary=True, retry_after_ms=1200)
    await busy.close(3013)
    await (await gateway.connection()).welcome()
    await on_a_thread(person.wait_state, "Connected")


async def test_pings_are_answered_with_how_far_the_reader_is(person: Window, gateway: FakeGateway) -> None:
    connection = await enter(person, gateway)
    await connection.event(1, "one")
    await connection.tell("ping")
    assert (await connection.hear("pong"))["seen"] == {ROOM: 1}
