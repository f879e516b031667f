"""The fake that fails on purpose: the contract holds while nothing is armed, and a fault does what it says."""

import random
import threading

import pytest

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import Journal, Unavailable
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.journal_contract import JournalContract, Reopen
from tests.support.journal_writes import RoomWriter
from wire.names import Slot


class TestFaultyJournalWithoutFaults(JournalContract):
    @pytest.fixture
    def reopen(self) -> Reopen:
        journal = FaultyJournal(MemoryJournal("store-1"), random.Random(1))
        return lambda: journal


@pytest.fixture
def store() -> Journal:
    store = MemoryJournal("store-1")
    store.claim([Slot(7)], 1, "shard-1")
    return store


def offset(store: Journal) -> int:
    room = store.load(RoomWriter().room, 10, 10_000, 0, 10)
    return room.head.offset if room else 0


@pytest.mark.parametrize(("fault", "kept"), [(Fault.BEFORE, 0), (Fault.AFTER, 1)])
def test_a_fault_before_the_write_keeps_nothing_and_one_after_it_keeps_all(store: Journal, fault: Fault, kept: int) -> None:
    faulty, writer = FaultyJournal(store, random.Random(1)), RoomWriter()
    faulty.fail("commit", fault)
    with pytest.raises(Unavailable):
        writer.commit(faulty, "one")
    assert offset(store) == kept
    assert (faulty.calls["commit"], faulty.done["commit"], faulty.failed["commit"]) == (1, kept, 1)


def test_a_fault_during_the_write_is_a_coin_of_the_seed() -> None:
    def kept(seed: int) -> list[int]:
        store = MemoryJournal("store-1")
        store.claim([Slot(7)], 1, "shard-1")
        faulty = FaultyJournal(store, random.Random(seed))
        faulty.fail("commit", Fault.DURING, times=20)
        outcomes = []
        for n in range(20):
            with pytest.raises(Unavailable):
                faulty.commit([RoomWriter(f"test/room-{n}").write("one")])
            outcomes.append(faulty.done["commit"])
        return outcomes

    assert kept(1) == kept(1)
    assert 0 < kept(1)[-1] < 20
    assert kept(1) != kept(2)


@pytest.mark.parametrize("call", ["claim", "load", "read", "retain", "newest_map_version"])
def test_every_call_can_fail_as_often_as_it_was_armed(store: Journal, call: str) -> None:
    faulty, room = FaultyJournal(store, random.Random(1)), RoomWriter().room
    calls = {
        "claim": lambda: faulty.claim([Slot(1)], 1, "shard-1"),
        "load": lambda: faulty.load(room, 1, 1, 0, 1),
        "read": lambda: faulty.read(room, RoomWriter().head.epoch, 0, 1),
        "retain": lambda: faulty.retain(room, 0, 0, 0),
        "newest_map_version": lambda: faulty.newest_map_version(),
    }
    faulty.fail(call, Fault.BEFORE, times=2)  # type: ignore[arg-type]  # one of the literals, by the parameters above
    for _ in range(2):
        with pytest.raises(Unavailable):
            calls[call]()
    calls[call]()
    faulty.fail(call, Fault.BEFORE)  # type: ignore[arg-type]  # as above
    faulty.heal()
    calls[call]()


def test_a_held_call_waits_for_its_gate_and_then_happens(store: Journal) -> None:
    faulty, gate = FaultyJournal(store, random.Random(1)), threading.Event()
    faulty.hold("commit", gate)
    thread = threading.Thread(target=lambda: RoomWriter().commit(faulty, "one"))
    thread.start()
    assert offset(store) == 0
    gate.set()
    thread.join()
    assert offset(store) == 1
