"""Who was revoked leaves in turns, says nothing meanwhile, and comes back in a slot."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.evictions import EVICTIONS_PER_TURN, Evictions
from gateway.revocations import Revocation, revocation_text
from tests.gateway.test_control import attached, frame_of
from tests.support.gateway_rig import Rig, RigClient
from tests.support.tokens import token, verifier
from wire.client_messages import Hello, JoinRequest, Publish, Refresh, Refreshed, Refused

ROOM = "square/main"


@given(st.lists(st.lists(st.integers(0, 2000), max_size=900), max_size=4), st.floats(1, 5000))
def test_each_leaves_once_and_no_faster_than_it_can_be_taken_in_again(crowds: list[list[int]], accepts_per_s: float) -> None:
    evictions: Evictions[int] = Evictions(accepts_per_s)
    for crowd in crowds:
        evictions.add(crowd)
    wanted = list(dict.fromkeys(client for crowd in crowds for client in crowd))
    taken: list[tuple[int, int]] = []
    while evictions:
        turn = evictions.take()
        assert 0 < len(turn) <= EVICTIONS_PER_TURN
        taken += turn
    assert [client for client, _ in taken] == wanted
    assert [slot for _, slot in taken] == [int(1000 * place / accepts_per_s) for place in range(len(wanted))]
    assert evictions.take() == []


def test_who_is_revoked_while_others_wait_comes_back_after_them() -> None:
    evictions: Evictions[int] = Evictions(1000)
    evictions.add(range(EVICTIONS_PER_TURN + 1))
    evictions.take()
    evictions.add([-1])
    assert evictions.take() == [(EVICTIONS_PER_TURN, EVICTIONS_PER_TURN), (-1, EVICTIONS_PER_TURN + 1)]
    evictions.add([-2])
    assert evictions.take() == [(-2, 0)]


def crowd_of(rig: Rig, count: int) -> list[RigClient]:
    clients = [rig.client() for _ in range(count)]
    for place, client in enumerate(clients):
        client.say(Hello(1, token=token(now_s=rig.now, sub=f"u{place}", caps={"*": "read publish"}), joins=[JoinRequest(ROOM)]))
        client.told()
    return clients


def revoke_everybody(rig: Rig) -> None:
    rig.gateway.control.on_attached(attached(frame_of(1, revocation_text(Revocation()), int(rig.now * 1000))))


def test_everybody_goes_in_turns_and_comes_back_in_slots() -> None:
    rig = Rig(tokens=verifier(), accepts_per_s=100)
    clients = crowd_of(rig, 2 * EVICTIONS_PER_TURN + 1)
    revoke_everybody(rig)
    closing = [sum(client.client.closing for client in clients)]
    while rig.gateway.evict_some():
        closing.append(sum(client.client.closing for client in clients))
    assert closing == [EVICTIONS_PER_TURN, 2 * EVICTIONS_PER_TURN]
    assert all(client.client.closing for client in clients)
    slots = []
    for client in clients:
        told = [message for message in client.told() if isinstance(message, Refused)]
        assert [(message.n, message.code) for message in told] == [(0, "token_revoked")] * len(told)
        slots.append(told[0].retry_after_ms if told else 0)
    assert slots == [10 * place for place in range(len(clients))]


def test_who_waits_to_be_closed_says_nothing_more_and_a_newer_token_saves_them() -> None:
    rig = Rig(tokens=verifier())
    clients = crowd_of(rig, EVICTIONS_PER_TURN + 2)
    last, other = clients[-1], clients[-2]
    other_token = token(now_s=rig.now + 20, sub=f"u{len(clients) - 2}", caps={"*": "read publish"})
    revoke_everybody(rig)
    (no,) = last.say(Publish(1, ROOM, "m1", "one more thing"))
    assert isinstance(no, Refused)
    assert (no.code, no.temporary, rig.router.commands) == ("token_revoked", False, [])
    rig.now += 20
    assert isinstance(other.say(Refresh(2, other_token))[0], Refreshed)
    assert other.say(Publish(3, ROOM, "m2", "good evening")) == []
    assert len(rig.router.commands) == 1
    assert not rig.gateway.evict_some()
    assert (last.client.closing, other.client.closing) == (True, False)
