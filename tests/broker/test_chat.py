"""The chat feature alone: who may change what, and what a removal takes along."""

from broker.chat import REMOVED_BY_AUTHOR, Chat, Removal
from broker.record import Entry
from tests.support.shard_driver import delete, edit, message
from wire.codes import Refusal
from wire.limits import EDITS_PER_MESSAGE_MAX


def entry(offset: int, kind: str = "message", author: str = "ann", target: int = 0) -> Entry:
    return Entry(offset, 1000 + offset, kind, b"", b"", author, f"m{offset}", b"", target)


def chat_with(*entries: Entry) -> Chat:
    chat = Chat()
    for each in entries:
        chat.apply(each)
    return chat


def test_a_message_erases_nothing() -> None:
    assert chat_with().decide(message(1)) == ()


def test_a_message_may_be_edited_by_its_author_so_often_and_no_more() -> None:
    edits = [entry(1 + number, "edit", target=1) for number in range(1, EDITS_PER_MESSAGE_MAX)]
    chat = chat_with(entry(1), *edits)
    assert chat.decide(edit(90, 1)) == ()
    chat.apply(entry(50, "edit", target=1))
    assert chat.decide(edit(91, 1)) is Refusal.EDIT_LIMIT
    assert not isinstance(chat.decide(delete(92, 1)), Refusal)


def test_an_edit_or_a_delete_is_no_message() -> None:
    chat = chat_with(entry(1), entry(2, "edit", target=1))
    assert chat.decide(edit(9, 2)) is Refusal.NO_SUCH_MESSAGE
    assert chat.decide(delete(9, 0)) is Refusal.NO_SUCH_MESSAGE


def test_a_removal_takes_the_edits_along() -> None:
    chat = chat_with(entry(1), entry(2), entry(3, "edit", target=1))
    assert chat.decide(delete(9, 1)) == [
        Removal(1, 1001, "message", 0, REMOVED_BY_AUTHOR),
        Removal(3, 1003, "edit", 1, REMOVED_BY_AUTHOR),
    ]
    assert chat.decide(delete(9, 1, author="bob")) is Refusal.FORBIDDEN


def test_what_a_stored_removal_took_along_is_known_while_its_target_is_in_reach() -> None:
    chat = chat_with(entry(1), entry(2), entry(3, "edit", target=1))
    removal = entry(4, "delete", target=1)
    assert chat.removals_of(removal) == chat.decide(delete(9, 1))
    assert chat.removals_of(entry(4)) == ()
    chat.apply(removal)
    chat.apply(entry(5, "edit", target=1))
    chat.forget_before(2)
    assert chat.removals_of(entry(6, "delete", target=1)) is None


def test_a_removed_message_is_no_message_whoever_asks() -> None:
    chat = chat_with(entry(1), entry(2, "delete", target=1))
    assert chat.decide(delete(9, 1)) is Refusal.NO_SUCH_MESSAGE
    assert chat.decide(edit(9, 1, author="bob")) is Refusal.NO_SUCH_MESSAGE


def test_what_is_out_of_reach_is_too_old_and_costs_no_memory() -> None:
    chat = chat_with(entry(1), entry(2), entry(3))
    chat.forget_before(3)
    chat.forget_before(2)
    assert chat.decide(edit(9, 2)) is Refusal.TOO_OLD
    assert chat.decide(edit(9, 3)) == ()
    assert list(chat.state()[1]) == [3]


def test_an_edit_of_something_out_of_reach_changes_nothing() -> None:
    chat = Chat(reach=5)
    chat.apply(entry(5, "edit", target=2))
    chat.apply(entry(6, "delete", target=3))
    assert chat.state() == (5, {})
