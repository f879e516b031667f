"""Laws of an audit: any honest telling of a log is clean, and one fault in it is found, however often the client comes back."""

from hypothesis import given
from hypothesis import strategies as st

from client.effects import ConnectionId
from loadtest.audits.audit import Audit
from loadtest.audits.sightings import Sightings
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.figures.tally import Tally
from wire.client_messages import AnyServerMessage, Event, Hello, Joined, JoinRequest, Position, Skipped, Welcome

ROOM = "town/square"
HEAD = 30


def said(offset: int) -> Event:
    text = stamp_text(f"message {offset}", ROOM, offset, 0, offset)
    return Event(ROOM, offset, offset, "message", "g", "Ada", message_id("k7", 0, offset), text)


class Telling:
    """A log of HEAD events, told over connections that begin at some offsets and overlap by some events."""

    def __init__(self, cuts: list[int], overlap: int, skips: dict[int, int]) -> None:
        self.frames: list[tuple[int, AnyServerMessage | None]] = []
        """(connection, message) in the order of their arrival; None: the connection ends."""
        starts = [0, *sorted(set(cuts))]
        for number, (since, until) in enumerate(zip(starts, [*starts[1:], HEAD], strict=True)):
            joined = Joined(0, ROOM, "e1", until, since, asked=number > 0, recovered=number > 0)
            self.frames.append((number, Welcome(1, "s", "s", "g", "a", "n", 1, [joined])))
            offset = since + 1
            while offset <= until:
                last = min(offset + skips.get(offset, 0) - 1, until)
                if last >= offset:
                    self.frames.append((number, Skipped(ROOM, offset, last)))
                    offset = last + 1
                else:
                    self.frames.append((number, said(offset)))
                    offset += 1
            if until < HEAD:
                # The old connection goes on for a while beside the new one, or breaks at once.
                late = [(number, said(each)) for each in range(until + 1, min(until + overlap, HEAD) + 1)]
                self.frames += [*late, (number, None)]
        self.starts = starts

    def audit(self) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
        tally = Tally()
        audit = Audit("auditor", "k7", tally, Sightings("k7", tally))
        for number, message in self.frames:
            connection = ConnectionId(number)
            if message is None:
                audit.ended(connection)
                continue
            if isinstance(message, Welcome):
                since = self.starts[number]
                audit.sent(connection, Hello(1, joins=[JoinRequest(ROOM, Position("e1", since) if number else None)]))
            audit.received(connection, message, 10**6)
        audit.close({ROOM: ("e1", HEAD)})
        _, counts, findings = tally.take()
        return [(finding.kind, finding.offset, finding.count) for finding in findings], counts

    def event_frames(self) -> list[int]:
        """Places of frames that are events, followed on their connection by the next event."""
        frames = self.frames
        return [
            place
            for place, (number, message) in enumerate(frames[:-1])
            if isinstance(message, Event) and frames[place + 1][0] == number and isinstance(frames[place + 1][1], Event)
        ]


CUTS = st.lists(st.integers(1, HEAD - 1), max_size=4)
TELLINGS = st.builds(Telling, CUTS, st.integers(0, 5), st.dictionaries(st.integers(1, HEAD), st.integers(1, 4), max_size=3))


@given(TELLINGS)
def test_an_honest_telling_is_clean(telling: Telling) -> None:
    findings, counts = telling.audit()
    assert findings == []
    skipped = sum(each.last - each.first + 1 for _, each in telling.frames if isinstance(each, Skipped))
    # What was skipped on one connection and came on another that overlapped is no hole.
    assert counts.get("skipped", 0) <= skipped


@given(TELLINGS, st.data())
def test_one_fault_is_found_and_named(telling: Telling, data: st.DataObject) -> None:
    places = telling.event_frames()
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    kind = data.draw(st.sampled_from(["lost", "duplicated", "reordered"]))
    number, event = telling.frames[place]
    assert isinstance(event, Event)
    match kind:
        case "lost":
            del telling.frames[place]
        case "duplicated":
            telling.frames.insert(place, (number, event))
        case "reordered":
            telling.frames[place : place + 2] = reversed(telling.frames[place : place + 2])
    findings, _ = telling.audit()
    assert len(findings) == 1
    found, offset, count = findings[0]
    assert (offset, count) == (event.offset, 1)
    # A hole in what a resume promised has a name of its own.
    assert found == kind or (kind, found, number > 0) == ("lost", "resume_gap", True)
