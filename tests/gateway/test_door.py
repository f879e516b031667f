"""The door: who comes in, as whom, with which permissions, and until when."""

from math import inf

import pytest

from tests.support.gateway_fakes import ROOM
from tests.support.gateway_rig import GRACE_S, Rig, RigClient
from tests.support.tokens import token, verifier
from wire.capabilities import NOTHING
from wire.client_messages import Hello, Join, Joined, JoinRequest, Left, Publish, Refresh, Refreshed, Refused, Welcome
from wire.codes import CloseCode
from wire.errors import PeerError

READ_AND_SPEAK = {"town/*": "read publish"}


def rig(**settings: object) -> Rig:
    return Rig(tokens=verifier(), **settings)  # type: ignore[arg-type]


def fresh(it: Rig, **changed: object) -> str:
    return token(now_s=it.now, **{"caps": READ_AND_SPEAK, **changed})  # type: ignore[arg-type]


def enter(it: Rig, text: str = "", **hello: object) -> tuple[RigClient, Welcome]:
    client = it.client()
    (welcome, *_) = client.say(Hello(1, token=text, joins=[JoinRequest(ROOM, limit=0)], **hello))  # type: ignore[arg-type]
    assert isinstance(welcome, Welcome)
    return client, welcome


def closed_with(it: Rig, text: str = "") -> CloseCode:
    with pytest.raises(PeerError) as caught:
        it.client().say(Hello(1, token=text))
    assert not text or text not in caught.value.message
    return caught.value.code


def test_a_token_names_its_author_and_ends() -> None:
    it = rig()
    client, welcome = enter(it, fresh(it, name="Ada"), name="Somebody Else")
    assert (welcome.author, welcome.name, welcome.guest, welcome.expires_ms) == ("u-ada", "Ada", "", 290_000)
    assert client.client.session.expires_at == it.now + 290


def test_without_a_name_in_the_token_its_owner_says_one() -> None:
    it = rig()
    assert enter(it, fresh(it), name="Ada L.")[1].name == "Ada L."


def test_a_guest_does_not_end_and_comes_back_as_the_same() -> None:
    it = rig()
    client, first = enter(it)
    assert first.author.startswith("g-")
    assert (first.expires_ms, client.client.session.expires_at) == (0, inf)
    assert enter(it, guest=first.guest)[1].author == first.author


def test_an_account_keeps_its_session_and_a_guest_cannot_take_it() -> None:
    it = rig()
    _, first = enter(it, fresh(it, sub="a.b"))
    assert enter(it, fresh(it, sub="a.b"), session=first.session)[1].session == first.session
    assert enter(it, session=first.session)[1].session != first.session


def test_a_guests_text_beside_a_token_counts_for_nothing() -> None:
    it = rig()
    _, guest = enter(it)
    assert enter(it, fresh(it), guest=guest.guest)[1].author == "u-ada"


def test_a_token_that_is_not_taken_ends_the_connection_with_its_own_code() -> None:
    it = rig()
    assert closed_with(it, fresh(it, exp=it.now)) is CloseCode.TOKEN_EXPIRED
    assert closed_with(it, fresh(it, aud="elsewhere")) is CloseCode.TOKEN_INVALID
    assert closed_with(it, "nonsense") is CloseCode.TOKEN_INVALID
    assert it.gateway.clients == {}


def test_where_no_tokens_are_taken_one_is_refused_and_not_ignored() -> None:
    it = Rig()
    assert closed_with(it, fresh(it)) is CloseCode.TOKEN_INVALID


def test_where_guests_may_do_nothing_a_token_is_needed() -> None:
    it = Rig(tokens=verifier(), guests_may=NOTHING)
    assert closed_with(it) is CloseCode.FORBIDDEN
    assert enter(it, fresh(it))[1].author == "u-ada"


def test_rooms_that_a_token_does_not_grant_are_refused_in_the_welcome() -> None:
    it = rig()
    client = it.client()
    (welcome,) = client.say(Hello(1, token=fresh(it), joins=[JoinRequest("city/hall"), JoinRequest(ROOM, limit=0)]))
    assert isinstance(welcome, Welcome)
    no, joined = welcome.joins
    assert isinstance(no, Refused)
    assert (no.code, no.room) == ("not_allowed", "city/hall")
    assert isinstance(joined, Joined)
    assert "city/hall" not in it.gateway.feeds


def test_a_refresh_goes_on_under_the_newer_token() -> None:
    it = rig()
    client, _ = enter(it, fresh(it))
    it.now += 200
    assert client.say(Refresh(3, fresh(it))) == [Refreshed(3, 290_000)]
    it.now += 290 + GRACE_S - 1
    it.gateway.tick()
    assert not client.client.closing
    it.now += 2
    it.gateway.tick()
    assert client.client.closing
    assert it.counters.closed[str(int(CloseCode.TOKEN_EXPIRED))] == 1


def test_who_does_not_refresh_speaks_until_the_grace_is_over() -> None:
    it = rig()
    client, _ = enter(it, fresh(it))
    guest, _ = enter(it)
    it.now += 290 + GRACE_S - 1
    it.gateway.tick()
    assert client.say(Publish(1, ROOM, "m", "x")) == []
    it.now += 2
    it.gateway.tick()
    assert client.client.closing
    assert not guest.client.closing
    assert it.gateway.feeds[ROOM].member_count() == 1


def test_a_clock_that_is_set_does_not_end_a_token() -> None:
    it = rig()
    client, _ = enter(it, fresh(it))
    # The wall is asked once, at the hello; what is kept is a time on the clock that never goes back.
    it.wall_ahead_s = 10_000.0
    it.now += 290 + GRACE_S - 1
    it.gateway.tick()
    assert not client.client.closing
    it.wall_ahead_s = -10_000.0
    it.now += 2
    it.gateway.tick()
    assert client.client.closing


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"sub": "eve"}, "token_invalid"), ({"iss": "x"}, "token_invalid"), ({"exp": 1000.0}, "token_expired")],
)
def test_a_refresh_that_is_not_taken_changes_nothing(changed: dict[str, object], code: str) -> None:
    it = rig()
    client, _ = enter(it, fresh(it))
    before = client.client.session.expires_at
    (no,) = client.say(Refresh(4, fresh(it, **changed)))
    assert isinstance(no, Refused)
    assert (no.n, no.code, no.temporary) == (4, code, False)
    assert client.client.session.expires_at == before
    assert not client.client.closing


def test_a_guest_becomes_nobody_else_on_its_connection() -> None:
    it = rig()
    client, _ = enter(it)
    (no,) = client.say(Refresh(1, fresh(it)))
    assert isinstance(no, Refused)
    assert no.code == "token_invalid"


def test_a_refresh_that_grants_less_takes_the_client_out_of_rooms() -> None:
    it = rig()
    client, _ = enter(it, fresh(it))
    refreshed, left = client.say(Refresh(1, fresh(it, caps={"town/hall": "read"})))
    assert isinstance(refreshed, Refreshed)
    assert left == Left(0, ROOM)
    assert it.gateway.feeds[ROOM].member_count() == 0
    (no,) = client.say(Join(2, ROOM))
    assert isinstance(no, Refused)
    assert no.code == "not_allowed"


def test_nothing_is_kept_of_who_has_left() -> None:
    it = rig()
    client, _ = enter(it, fresh(it))
    it.gateway.ended(client.client)
    it.now += 1000
    it.gateway.tick()
    assert it.counters.closed[str(int(CloseCode.TOKEN_EXPIRED))] == 0
