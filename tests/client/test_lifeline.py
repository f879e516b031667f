"""Which connections there are: one current, at most one on its way, old ones retiring."""

from random import Random

from client.effects import Close, Effect, Emit, Open
from client.lifeline import ABNORMAL, ConnectionState, Lifeline
from client.updates import Connecting, Reconnecting
from wire.client_messages import Goaway, Welcome
from wire.limits import CLIENT_PING_SLACK_S, HANDSHAKE_DEADLINE_S, RECONNECT_BASE_S

WELCOME = Welcome(1, "g", "s", "g", "a", "n", 25_000)


def started() -> tuple[Lifeline, list[Effect], ConnectionState]:
    effects: list[Effect] = []
    lifeline = Lifeline(["ws://a"], Random(1), effects)
    lifeline.open_next(0.0)
    assert lifeline.next is not None
    return lifeline, effects, lifeline.next


def open_at_of(lifeline: Lifeline) -> float:
    assert lifeline.open_at is not None
    return lifeline.open_at


def test_opening_says_so_and_bounds_the_handshake() -> None:
    lifeline, effects, conn = started()
    assert effects == [Emit(Connecting("ws://a")), Open(conn.id, "ws://a")]
    assert lifeline.deadlines() == [HANDSHAKE_DEADLINE_S]


def test_a_welcome_makes_it_current_with_the_announced_patience() -> None:
    lifeline, _, conn = started()
    assert not lifeline.welcomed(conn, WELCOME, 1.0)
    assert (lifeline.current, lifeline.next) == (conn, None)
    assert conn.silent_until() == 25.0 + CLIENT_PING_SLACK_S


def test_goaway_opens_the_next_in_its_slot_and_the_old_one_retires() -> None:
    lifeline, effects, old = started()
    lifeline.welcomed(old, WELCOME, 1.0)
    lifeline.told_to_leave(old, Goaway(10_000, 350), 2.0)
    lifeline.told_to_leave(old, Goaway(1, 1), 2.0)
    assert lifeline.open_at == 2.35
    effects.clear()
    lifeline.open_next(2.35)
    assert len(effects) == 1, "nothing visible happens"
    new = lifeline.next
    assert new is not None
    assert lifeline.welcomed(new, WELCOME, 2.5)
    assert lifeline.retiring() == [old]
    assert 12.0 in lifeline.deadlines()
    assert lifeline.lost(old, ABNORMAL, "", 3.0)
    assert lifeline.open_at is None


def test_losing_the_current_one_comes_back_and_says_so() -> None:
    lifeline, effects, conn = started()
    lifeline.welcomed(conn, WELCOME, 1.0)
    effects.clear()
    assert lifeline.lost(conn, 3008, "slow", 5.0)
    delay = open_at_of(lifeline) - 5.0
    assert RECONNECT_BASE_S <= delay <= 2 * RECONNECT_BASE_S
    assert effects == [Emit(Reconnecting(delay, 3008, "slow"))]


def test_a_code_that_says_stop_is_told() -> None:
    lifeline, _, conn = started()
    assert not lifeline.lost(conn, 3501, "", 1.0)
    assert lifeline.open_at is None


def test_a_successor_that_fails_is_tried_again_quietly_while_the_old_one_lives() -> None:
    lifeline, effects, old = started()
    lifeline.welcomed(old, WELCOME, 1.0)
    lifeline.told_to_leave(old, Goaway(10_000, 0), 2.0)
    lifeline.open_next(2.0)
    effects.clear()
    assert lifeline.next is not None
    lifeline.never_opened(lifeline.next, "nobody", 2.1)
    assert open_at_of(lifeline) > 3.0
    assert effects == []
    before = lifeline.open_at
    lifeline.lost(old, 3001, "drain", 2.2)
    assert open_at_of(lifeline) <= (before or 0)
    assert any(isinstance(effect, Emit) for effect in effects)


def test_losing_the_old_one_while_the_next_is_opening_waits_for_that() -> None:
    lifeline, effects, old = started()
    lifeline.welcomed(old, WELCOME, 1.0)
    lifeline.told_to_leave(old, Goaway(10_000, 0), 2.0)
    lifeline.open_next(2.0)
    effects.clear()
    lifeline.lost(old, 3001, "drain", 2.1)
    assert lifeline.open_at is None
    assert effects == [Emit(Reconnecting(0.0, 3001, "drain"))]


def test_advice_given_before_the_close_is_kept() -> None:
    lifeline, _, conn = started()
    conn.retry_after_s = 7.0
    lifeline.lost(conn, 3013, "busy", 1.0)
    assert 8.0 <= open_at_of(lifeline) <= 8.0 + RECONNECT_BASE_S


def test_the_end_says_goodbye_everywhere() -> None:
    lifeline, effects, conn = started()
    effects.clear()
    lifeline.end()
    assert effects == [Close(conn.id, 1000, "")]
    assert lifeline.deadlines() == []
