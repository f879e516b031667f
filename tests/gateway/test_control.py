"""The control feed: each revocation is told once, in order, whatever breaks on the way."""

from collections.abc import Sequence
from math import inf

import pytest

from gateway.control import ControlFeed
from gateway.revocations import Revocation, parse_revocation, revocation_text
from tests.support.gateway_rig import Rig, RigClient
from tests.support.tokens import token, verifier
from wire.client_codec import Form, encode
from wire.client_messages import Delete, Edit, Event, Hello, JoinRequest, Publish, Refused, Revoke, Welcome
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import CONTROL_DOUBT_S
from wire.names import CONTROL_ROOM
from wire.node_messages import Attached, AttachRefused, Batch, CommandRefused, Committed, NodeFrame


def frame_of(offset: int, text: str = "", at_ms: int = 0, kind: str = "message") -> NodeFrame:
    text = text or revocation_text(Revocation(author=f"u-{offset}"))
    event = Event(CONTROL_ROOM, offset, at_ms, kind, "u-mod", "Mod", f"r{offset}", text)
    return NodeFrame(offset, 0, 1, encode(event, Form.MSGPACK))


def attached(*frames: NodeFrame, since: int = 0, epoch: str = "e1") -> Attached:
    return Attached(CONTROL_ROOM, 1, 1, epoch, since + len(frames), since, b"", False, "", list(frames))


def batch(*frames: NodeFrame) -> Batch:
    return Batch(CONTROL_ROOM, 1, bytes(8), list(frames))


class Ear:
    def __init__(self) -> None:
        self.now = 0.0
        self.heard: list[str] = []
        self.reattached = 0
        self.feed = ControlFeed(self._hear, self._again, lambda: self.now)

    def _hear(self, revoked: Sequence[tuple[Revocation, float]]) -> None:
        self.heard += [revocation.author for revocation, _ in revoked]

    def _again(self, _: ControlFeed) -> None:
        self.reattached += 1


def test_what_the_shard_remembers_and_what_comes_after_is_told_once() -> None:
    ear = Ear()
    ear.feed.on_attached(attached(frame_of(1), frame_of(2)))
    ear.feed.on_batch(batch(frame_of(2), frame_of(3)))
    assert ear.heard == ["u-1", "u-2", "u-3"]
    position = ear.feed.position()
    assert position is not None
    assert (position.epoch, position.offset) == ("e1", 3)


def test_a_jump_is_answered_by_an_attach_and_nothing_is_lost() -> None:
    ear = Ear()
    ear.feed.on_attached(attached(frame_of(1)))
    ear.feed.on_batch(batch(frame_of(3)))
    assert (ear.heard, ear.reattached) == (["u-1"], 1)
    ear.feed.on_attached(attached(frame_of(2), frame_of(3), since=1))
    assert ear.heard == ["u-1", "u-2", "u-3"]


def test_another_epoch_is_read_from_its_beginning() -> None:
    ear = Ear()
    ear.feed.on_attached(attached(frame_of(1), frame_of(2)))
    ear.feed.on_attached(attached(frame_of(1), epoch="e2"))
    assert ear.heard == ["u-1", "u-2", "u-1"]


def test_what_is_no_revocation_is_passed_over() -> None:
    ear = Ear()
    ear.feed.on_attached(attached(frame_of(1, "what a newer gateway says"), frame_of(2, kind="epoch"), frame_of(3)))
    assert ear.heard == ["u-3"]


def test_nobody_is_counted_or_seen_in_the_services_own_room() -> None:
    ear = Ear()
    ear.feed.tell_seen_again()
    assert (ear.feed.members(), ear.feed.take_seen()) == (0, b"")


def test_it_knows_since_when_it_may_miss_something() -> None:
    ear = Ear()
    assert ear.feed.unsure_since == 0.0
    ear.feed.on_attached(attached())
    assert ear.feed.unsure_since == inf
    ear.now = 5.0
    ear.feed.on_detached()
    ear.now = 6.0
    ear.feed.on_detached()
    assert ear.feed.unsure_since == 5.0
    ear.feed.on_attached(attached())
    ear.feed.on_doubt(True)
    assert ear.feed.unsure_since == 6.0
    ear.feed.on_doubt(False)
    assert ear.feed.unsure_since == inf
    ear.now = 9.0
    ear.feed.on_attach_refused(AttachRefused(CONTROL_ROOM, 1, "busy", ""))
    assert ear.feed.unsure_since == 9.0


# --- at a gateway ------------------------------------------------------------------------------


def revoke(rig: Rig, revocation: Revocation) -> None:
    rig.gateway.control.on_attached(attached(frame_of(1, revocation_text(revocation), int(rig.now * 1000))))


def fresh(rig: Rig, **changed: object) -> str:
    return token(now_s=rig.now, **changed)  # type: ignore[arg-type]


def test_an_account_that_is_revoked_is_closed_and_its_token_is_refused_and_a_newer_one_is_taken() -> None:
    rig = Rig(tokens=verifier())
    ada, bob, text = rig.client(), rig.client(), fresh(rig)
    ada.say(Hello(1, token=text))
    bob.say(Hello(1, token=fresh(rig, sub="bob")))
    revoke(rig, Revocation(author="u-ada"))
    assert (ada.client.closing, bob.client.closing) == (True, False)
    with pytest.raises(PeerError) as caught:
        rig.client().say(Hello(1, token=text))
    assert caught.value.code is CloseCode.TOKEN_REVOKED
    rig.now += 20
    assert rig.client().say(Hello(1, token=fresh(rig)))


def test_one_session_is_revoked_and_the_accounts_other_one_stays() -> None:
    rig = Rig(tokens=verifier())
    one, other = rig.client(), rig.client()
    for client in (one, other):
        client.say(Hello(1, token=fresh(rig)))
    revoke(rig, Revocation(session=one.client.session.id))
    assert (one.client.closing, other.client.closing) == (True, False)


@pytest.mark.parametrize("by_session", [False, True])
def test_a_guest_that_is_revoked_comes_back_as_somebody_else(by_session: bool) -> None:
    rig = Rig()
    guest = rig.client()
    (welcome,) = guest.say(Hello(1))
    assert isinstance(welcome, Welcome)
    rig.now += 1
    session = guest.client.session
    revoke(rig, Revocation(session=session.id) if by_session else Revocation(author=session.author))
    assert guest.client.closing
    (again,) = rig.client().say(Hello(1, guest=welcome.guest, session=welcome.session))
    assert isinstance(again, Welcome)
    assert again.author != welcome.author
    assert again.session != welcome.session


def test_only_who_may_moderate_the_services_own_room_can_revoke() -> None:
    rig = Rig(tokens=verifier())
    for caps, allowed in (({"*": "read moderate host"}, False), ({"parvis/control": "moderate"}, True)):
        client = rig.client()
        client.say(Hello(1, token=fresh(rig, sub="mod", caps=caps)))
        answers = client.say(Revoke(1, "r1", author="u-ada"))
        assert [getattr(answer, "code", "") for answer in answers] == ([] if allowed else ["not_allowed"])
    ((command, _),) = rig.router.commands
    assert (command.room, command.kind, command.author) == (CONTROL_ROOM, "message", "u-mod")
    assert parse_revocation(command.text) == Revocation(author="u-ada")


ROOM = "square/main"


def refusals(rig: Rig, *clients: RigClient) -> list[list[str]]:
    """What each is told that says a line now; what was let through is committed."""
    told = []
    for client in clients:
        answers = client.say(Publish(7, ROOM, f"m{rig.now:g}", "good evening"))
        for command, answer in rig.router.commands:
            answer(Committed(command.request, "e1", 4, 0))
        rig.router.commands.clear()
        told.append([answer.code for answer in answers if isinstance(answer, Refused)])
    return told


def test_a_gateway_that_is_cut_off_refuses_who_begins_to_speak_until_it_hears_again() -> None:
    rig = Rig()
    speaker, reader = rig.client(), rig.client()
    for client in (speaker, reader):
        client.say(Hello(1, joins=[JoinRequest(ROOM)]))
    assert refusals(rig, speaker) == [[]]
    rig.gateway.control.on_detached()
    rig.now += CONTROL_DOUBT_S - 0.1
    assert refusals(rig, speaker) == [[]]
    rig.now += 0.1
    assert refusals(rig, speaker, reader) == [[], ["cut_off"]]
    assert rig.counters.control_unsure() == pytest.approx(CONTROL_DOUBT_S)
    # Nobody loses a reader for it, nor the way in, nor what a room is better without.
    welcome = rig.client().say(Hello(1, joins=[JoinRequest(ROOM)]))[0]
    assert isinstance(welcome, Welcome)
    assert reader.say(Delete(8, ROOM, "d1", 1)) == []
    (no,) = reader.say(Edit(9, ROOM, "e1", 1, "other words"))
    assert isinstance(no, Refused)
    assert (no.code, no.temporary, no.room, no.id) == ("cut_off", True, ROOM, "e1")
    rig.gateway.control.on_attached(attached())
    assert refusals(rig, speaker, reader) == [[], []]
    assert rig.counters.control_unsure() == 0.0


def test_who_was_only_refused_has_not_spoken() -> None:
    rig = Rig()
    client = rig.client()
    client.say(Hello(1, joins=[JoinRequest(ROOM)]))
    client.say(Publish(1, ROOM, "m1", "too soon"))
    ((command, answer),) = rig.router.commands
    answer(CommandRefused(command.request, "too_fast", ""))
    rig.router.commands.clear()
    rig.gateway.control.on_detached()
    rig.now += CONTROL_DOUBT_S
    assert refusals(rig, client) == [["cut_off"]]


def test_a_gateway_that_is_cut_off_still_passes_revocations_on() -> None:
    rig = Rig(tokens=verifier())
    moderator = rig.client()
    moderator.say(Hello(1, token=fresh(rig, sub="mod", caps={"parvis/control": "moderate"})))
    rig.gateway.control.on_detached()
    rig.now += CONTROL_DOUBT_S
    assert moderator.say(Revoke(1, "r1", author="u-ada")) == []
    assert len(rig.router.commands) == 1
