"""A real journal and the memory model, side by side through any history: the same outcomes, the same rooms."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import CommitVerdict, Erasure, Journal, Snapshot, StaleMap, Write
from broker.record import Head
from tests.support.journal_writes import START_MS, RoomWriter, row, tables_in
from wire.names import Epoch, Slot, TableName, Term

ROOMS = ("test/a", "test/b", "test/c")
# What a shard may believe wrongly, besides being right.
BELIEFS = st.sampled_from(
    [*["right"] * 5, "fenced", "ahead", "behind", "other", "other epoch", "rows ahead", "rows behind"]
)  # fmt: skip
OFFSETS = st.integers(0, 30)
TEXTS = st.lists(st.text(max_size=5), max_size=4)
KEYS = st.sampled_from(["a", "aa", "a!", "b", "\u00f6", "\U0001f600"])
ROWS = st.dictionaries(st.tuples(st.sampled_from(["votes", "vote"]), KEYS), st.none() | st.text(max_size=3), max_size=4)
STATES = st.none() | st.binary(max_size=5)
CHOICES = st.tuples(BELIEFS, TEXTS, st.booleans(), st.lists(OFFSETS, max_size=3), ROWS, STATES)
Rows = dict[tuple[str, str], str | None]


class JournalsAgree(RuleBasedStateMachine):
    """One shard of three rooms in two slots, writing the same to both journals; subclasses say how the real one is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.model = MemoryJournal("store-1")
        self.real = self.opened()
        self.writers = {room: RoomWriter(room, slot=n % 2, term=0) for n, room in enumerate(ROOMS)}
        self.epochs = 0

    def opened(self) -> Journal:
        """The real journal, again with what it has; empty for the first time of this object."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.real.close()

    @rule(slots=st.lists(st.integers(0, 1)), version=st.integers(0, 3))
    def claim(self, slots: list[int], version: int) -> None:
        def claimed(journal: Journal) -> object:
            try:
                return journal.claim([Slot(slot) for slot in slots], version, "shard-1")
            except StaleMap as refused:
                return refused.asked, refused.newest

        terms = claimed(self.model)
        assert claimed(self.real) == terms
        if isinstance(terms, dict):
            for writer in self.writers.values():
                writer.term = terms.get(writer.slot, writer.term)

    @rule(group=st.dictionaries(st.sampled_from(ROOMS), CHOICES))
    def commit(self, group: dict[str, tuple[str, list[str], bool, list[int], Rows, bytes | None]]) -> None:
        writes = [self.write(room, *choice) for room, choice in group.items()]
        outcomes = list(self.model.commit(writes))
        assert list(self.real.commit(writes)) == outcomes
        for write, outcome in zip(writes, outcomes, strict=True):
            if outcome.verdict is CommitVerdict.COMMITTED:
                self.writers[write.room].head, self.writers[write.room].rows_seq = write.head, write.rows_seq

    def write(
        self, room: str, belief: str, texts: list[str], new_epoch: bool, erase: list[int], rows: Rows, state: bytes | None
    ) -> Write:
        writer = self.writers[room]
        head, term, rows_seq = writer.head, writer.term, writer.rows_seq
        base = {
            "ahead": Head(head.epoch, head.offset + 2, head.chain, head.at),
            "behind": Head(head.epoch, max(0, head.offset - 1), head.chain, head.at),
            "other": Head(head.epoch, head.offset, b"other content...", head.at),
            "other epoch": Head(Epoch("never-was"), head.offset, head.chain, head.at),
        }.get(belief, head)
        if belief == "fenced":
            writer.term = Term(term - 1)
        writer.rows_seq = max(0, rows_seq + {"rows ahead": 1, "rows behind": -1}.get(belief, 0))
        self.epochs += 1
        last = len(texts) if new_epoch and texts else base.offset + len(texts)
        write = writer.write(
            *texts, base=base, new_epoch=f"epoch-{self.epochs}" if new_epoch and texts else None,
            erasures=[Erasure(offset, f"reason {n}") for n, offset in enumerate(erase)],
            rows=[row(key, value, table) for (table, key), value in rows.items()] if last else [],
            snapshot=Snapshot((last + 1) // 2, state) if last and state is not None else None,
        )
        writer.term, writer.rows_seq = term, rows_seq
        return write

    @rule(
        room=st.sampled_from(ROOMS), keep_after=st.integers(-1, 30), before=st.integers(0, 100), least=st.integers(0, 6),
        age=st.none() | st.integers(0, 100),
    )
    def retain(self, room: str, keep_after: int, before: int, least: int, age: int | None) -> None:
        asked = (self.writers[room].room, keep_after, START_MS + before, least, 0 if age is None else START_MS + age)
        assert self.model.retain(*asked) == self.real.retain(*asked)

    @rule()
    def idle(self) -> None:
        self.real.idle()

    @rule()
    def reopen(self) -> None:
        self.real.close()
        self.real = self.opened()

    @rule(
        room=st.sampled_from(ROOMS), events=OFFSETS, size=st.integers(0, 2000), since=st.integers(0, 100), least=st.integers(0, 9)
    )
    def load(self, room: str, events: int, size: int, since: int, least: int) -> None:
        name = self.writers[room].room
        loads = [journal.load(name, events, size, START_MS + since, least) for journal in (self.model, self.real)]
        assert loads[0] == loads[1]

    @rule(room=st.sampled_from(ROOMS), epoch=st.integers(0, 9), after=st.integers(-2, 30), limit=OFFSETS)
    def read(self, room: str, epoch: int, after: int, limit: int) -> None:
        name, epoch_name = self.writers[room].room, Epoch(f"epoch-{epoch}" if epoch else "epoch-a")
        assert self.model.read(name, epoch_name, after, limit) == self.real.read(name, epoch_name, after, limit)

    @rule(room=st.sampled_from(ROOMS), after=st.just("") | KEYS, limit=st.integers(0, 5))
    def rows(self, room: str, after: str, limit: int) -> None:
        name = self.writers[room].room
        assert self.model.rows(name, TableName("vote"), after, limit) == self.real.rows(name, TableName("vote"), after, limit)

    @invariant()
    def all_is_the_same(self) -> None:
        assert self.model.newest_map_version() == self.real.newest_map_version()
        for writer in self.writers.values():
            assert self.model.load(writer.room, 99, 99_999, 0, 99) == self.real.load(writer.room, 99, 99_999, 0, 99)
            assert tables_in(self.model, writer.room, "votes", "vote") == tables_in(self.real, writer.room, "votes", "vote")


AGREEMENT = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
