"""Known ids: found by author and id, kept for a window, never without bound."""

from broker.ids import MessageIds, body_hash_of, kept_since_ms
from broker.journal.protocol import IdRow
from wire.limits import MESSAGE_ID_WINDOW_S, MESSAGE_IDS_PER_ROOM_MAX, MESSAGE_IDS_PER_ROOM_MIN
from wire.names import Epoch

EPOCH = Epoch("e")
WINDOW_MS = int(MESSAGE_ID_WINDOW_S * 1000)


def row(number: int, at: int) -> IdRow:
    return IdRow("ann", f"m{number}", number, at, bytes(8))


def filled(count: int, at: int = 0) -> MessageIds:
    ids = MessageIds()
    for number in range(count):
        ids.add(row(number, at), EPOCH)
    return ids


def test_an_id_is_found_by_its_author_only() -> None:
    ids = filled(1)
    known = ids.find("ann", "m0")
    assert known is not None
    assert (known.row, known.epoch) == (row(0, 0), EPOCH)
    assert ids.find("bob", "m0") is None


def test_the_newest_ids_stay_however_old_they_are() -> None:
    ids = filled(MESSAGE_IDS_PER_ROOM_MIN + 10)
    ids.expire(10 * WINDOW_MS)
    assert len(ids) == MESSAGE_IDS_PER_ROOM_MIN
    assert ids.find("ann", "m9") is None
    assert ids.find("ann", "m10") is not None


def test_an_id_within_its_window_stays_however_many_follow() -> None:
    ids = filled(MESSAGE_IDS_PER_ROOM_MIN + 10, at=1000)
    ids.expire(1000 + WINDOW_MS)
    assert len(ids) == MESSAGE_IDS_PER_ROOM_MIN + 10
    assert ids.since_ms(5000) == kept_since_ms(5000)


def test_beyond_the_bound_the_oldest_go_early_and_the_journal_may_forget_them_too() -> None:
    ids = MessageIds()
    for number in range(MESSAGE_IDS_PER_ROOM_MAX + 5):
        ids.add(row(number, number), EPOCH)
    ids.expire(MESSAGE_IDS_PER_ROOM_MAX)
    assert len(ids) == MESSAGE_IDS_PER_ROOM_MAX
    assert ids.since_ms(MESSAGE_IDS_PER_ROOM_MAX) == 5


def test_the_hash_of_a_body_covers_kind_target_and_text_and_nothing_slides() -> None:
    bodies = [("message", 0, "a"), ("edit", 0, "a"), ("message", 1, "a"), ("message", 0, "b"), ("edit", 10, ""), ("edit", 1, "0")]
    assert len({body_hash_of(*body) for body in bodies}) == len(bodies)
    assert body_hash_of("message", 0, "a") == body_hash_of("message", 0, "a")


def test_the_ids_of_one_log_beyond_an_offset_are_found_whatever_stands_around_them() -> None:
    ids = MessageIds()
    for epoch, numbers in (("older", range(1, 4)), (EPOCH, range(4, 9)), ("next", range(20, 22))):
        for number in numbers:
            ids.add(row(number, number), Epoch(epoch))
    assert sorted(ids.rows_after(EPOCH, 6)) == [7, 8]
    assert ids.rows_after(EPOCH, 7)[8].id == "m8"
    assert ids.rows_after(EPOCH, 8) == {}
