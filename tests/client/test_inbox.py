"""Updates that wait for the program: bounded, in order, and every hole announced."""

from hypothesis import given
from hypothesis import strategies as st

from client.inbox import Inbox
from client.updates import Connected, Reconnecting, Update
from wire.client_messages import Count, Event, Hide, Joined, Reset, Skipped

ROOM, OTHER = "square/main", "square/other"


def event(offset: int, room: str = ROOM, text: str = "x") -> Event:
    return Event(room, offset, 1000, "message", text=text)


def drained(inbox: Inbox) -> list[Update]:
    taken = []
    while len(inbox):
        taken.append(inbox.take())
    return taken


def test_what_fits_comes_out_as_it_went_in() -> None:
    inbox = Inbox(updates_max=10)
    updates: list[Update] = [event(1), Count(ROOM, 3), event(2), Hide(ROOM, 1), event(1, OTHER)]
    for update in updates:
        inbox.offer(update)
    assert drained(inbox) == updates


def test_what_does_not_fit_is_announced_exactly() -> None:
    inbox = Inbox(updates_max=2)
    for offset in range(1, 8):
        inbox.offer(event(offset))
        inbox.offer(event(offset, OTHER))
    assert drained(inbox) == [event(1), event(1, OTHER), Skipped(ROOM, 2, 7), Skipped(OTHER, 2, 7)]
    inbox.offer(event(8))
    assert drained(inbox) == [event(8)]


def test_of_signals_and_states_the_latest_is_kept() -> None:
    inbox = Inbox(updates_max=1)
    inbox.offer(event(1))
    for present in range(5):
        inbox.offer(Count(ROOM, present))
    inbox.offer(Reconnecting(1.0, 1006, ""))
    inbox.offer(Connected("g", "a", "n"))
    inbox.offer(Reconnecting(2.0, 1006, ""))
    assert drained(inbox) == [event(1), Count(ROOM, 4), Connected("g", "a", "n"), Reconnecting(2.0, 1006, "")]


def test_a_reset_replaces_what_was_left_out_of_the_old_log() -> None:
    inbox = Inbox(updates_max=1)
    inbox.offer(event(1))
    inbox.offer(event(2))
    inbox.offer(Reset(ROOM, "e2", 0))
    inbox.offer(event(1))
    inbox.offer(event(2))
    assert drained(inbox) == [event(1), Reset(ROOM, "e2", 0), Skipped(ROOM, 1, 2)]


def test_bytes_are_bounded_too_and_one_update_always_fits() -> None:
    inbox = Inbox(bytes_max=10_000)
    inbox.offer(event(1, text="x" * 8000))
    inbox.offer(event(2, text="x" * 8000))
    assert drained(inbox) == [event(1, text="x" * 8000), Skipped(ROOM, 2, 2)]


actions = st.lists(st.sampled_from(["event", "other", "count", "skip", "reset", "joined", "take"]), max_size=60)


@given(actions, st.integers(1, 5))
def test_whatever_the_pace_a_reader_of_it_sees_contiguous_offsets(script: list[str], updates_max: int) -> None:
    inbox, heads, seen = Inbox(updates_max), {ROOM: 0, OTHER: 0}, {ROOM: 0, OTHER: 0}

    def read() -> None:
        update = inbox.take()
        match update:
            case Event(room=room, offset=offset):
                assert offset == seen[room] + 1
                seen[room] = offset
            case Skipped(room=room, first=first, last=last):
                assert first == seen[room] + 1
                seen[room] = last
            case Reset(room=room, offset=offset):
                seen[room] = offset
            case _:
                pass

    for action in script:
        match action:
            case "event" | "other":
                room = ROOM if action == "event" else OTHER
                heads[room] += 1
                inbox.offer(event(heads[room], room))
            case "count":
                inbox.offer(Count(ROOM, 1))
            case "joined":
                inbox.offer(Joined(0, ROOM, "e", heads[ROOM], heads[ROOM], recovered=True))
            case "skip":
                inbox.offer(Skipped(ROOM, heads[ROOM] + 1, heads[ROOM] + 3))
                heads[ROOM] += 3
            case "reset":
                heads[ROOM] = 0
                inbox.offer(Reset(ROOM, "e2", 0))
            case "take" if len(inbox):
                read()
        assert len(inbox) <= updates_max + 2 * 5
    while len(inbox):
        read()
    assert seen == heads
